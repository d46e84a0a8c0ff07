"""What each part of a method is worth: named variants of it, trained on as many pictures, measured on the same test pairs.

    python benchmarks/ablate.py runs/ablate [--method mask] [--images 200000] [--batch 16] [--seeds 1] [--only default,paper] \\
        [--docs] [--out results.jsonl]

VARIANTS has a table for each method that has been taken apart; of another its presets are compared. What cannot be had at --size is left
out, unless --only names it. Where a part is no setting, its variant is a small class of the method, here, which is entered in the table of
methods as long as this program runs: nothing else can load its runs.

FOLDER keeps each run and its report: what is finished is not done again, so the command can be stopped and given again, with more seeds
too. It ends with FOLDER/table.md. In brackets are 95 % intervals: of one seed the bootstrap's, over test pictures, and of several seeds
Student's around their mean, of a spread that is pooled over the variants: compare such as work, a broken one spreads otherwise. --docs
also writes the table into docs/methods/METHOD.md, between the two lines of MARKS.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import processor, record
from scipy.stats import t as student
from torch import Tensor

from unweave import losses, recipe
from unweave.errors import UserError
from unweave.evaluate import evaluate
from unweave.method import Adam, Batch, Method, Progress, Terms
from unweave.methods import METHODS, get
from unweave.methods.mask import Mask, MaskConfig
from unweave.metrics.intervals import Estimate
from unweave.metrics.table import find
from unweave.nn.disturb import Soiled, stickers
from unweave.report import figure, label
from unweave.runs import Run, write
from unweave.schedules import WarmDecay

DOCS = Path(__file__).parents[1] / "docs" / "methods"
MARKS = ("<!-- ablations: benchmarks/ablate.py writes what is between these lines -->", "<!-- end of ablations -->")
COLUMNS = (
    "mask_iou_clear",
    "mask_iou_tinted",
    "removal_error_ratio",
    "transfer_error_ratio",
    "removal_success",
    "transfer_success",
    "part_match",
    "outside_change",
    "outside_change_worst_block",
    "leakage_linear",
)


# -- variants that are no settings ---------------------------------------------------------------------------------------------


class NoStickers(Mask):
    """E_c sees pictures of a as they are, and learns that there is nothing to drop."""

    def seen(self, *parts: Soiled) -> Terms:
        return super().seen(*((behind, torch.zeros_like(covered), behind) for _, covered, behind in parts))


class OnePicture(Mask):
    """What E_c is to drop and what to put in its place are learned from one picture, so that the second is learned where it drops."""

    def seen(self, *parts: Soiled) -> Terms:
        soiled, covered, behind = (torch.cat(column) for column in zip(*parts, strict=True))
        common, drop = self.common.look(soiled)
        clean, terms, w = self.draw(common), Terms(), self.config
        terms.add("recon1_a", losses.absolute(clean, behind), w.recon1_a)
        terms.add("see_through", losses.absolute_inside(clean, behind, covered), w.see_through)
        terms.add("find", losses.covers(drop, (covered > 0.25).float()), w.find)
        return terms


class NoOwnTransfers(Mask):
    """All that E_c learns to see through are stickers and pieces of other pictures, to the end."""

    generator: torch.Generator | None = None

    def transfer_loss(self, batch: Batch, progress: Progress) -> Terms:
        self.generator = progress.generator
        return super().transfer_loss(batch, progress)

    def seen(self, *parts: Soiled) -> Terms:
        if self.generator is not None:  # the second stage, in which x comes second
            first, (_, _, a) = parts
            parts = first, (*stickers(a, self.generator), a)
        return super().seen(*parts)


class NoWindow(Mask):
    """E_s reads the whole picture, in place."""

    def part(self, x: Tensor, dropped: Tensor, unsteady: Tensor | float = 1.0) -> Tensor:
        return self.separate(torch.cat([x, dropped], dim=1))


class OneColour(Mask):
    """D2's raw colours are its own, as the paper's are; D1's picture does not shine through."""

    def paint(self, common: Tensor, separate: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        logits, _, colour = self.painter(common, separate).float().split((1, 1, 3), dim=1)
        return logits, colour.tanh()


class WithAdam(Mask):
    """The paper's optimiser and step size, decayed as Muon's is."""

    def __init__(self, config: MaskConfig):
        super().__init__(config)
        self.groups["autoencoder"] = replace(self.groups["autoencoder"], optimiser=Adam(WarmDecay(2e-4)))


class NoAverage(Mask):
    """Edits use the weights as they are."""

    def __init__(self, config: MaskConfig):
        super().__init__(config)
        self.groups["autoencoder"] = replace(self.groups["autoencoder"], ema=None)


@dataclass(frozen=True)
class Variant:
    """One row. what: in words. preset, settings: as `unweave train` takes them. kind: a class of the method. batch: its own, if any."""

    name: str
    what: str
    preset: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    kind: type[Method] | None = None
    batch: int | None = None


# The first is what the others are compared with. Of mask: the departures of the default, in their order on its page. Four have no row: the
# common code of pixels, the norms, which losses reach which networks, and the cycles that are left out would need networks and losses anew;
# the paper's preset has none of them.
VARIANTS: Mapping[str, tuple[Variant, ...]] = {
    "mask": (
        Variant("default", "as it is"),
        Variant("paper", "the preset `paper`, batches of 32", preset="paper", batch=32),
        Variant("no-stickers", "2: E_c learns from pictures as they are", settings={"alone": 0.0}, kind=NoStickers),
        Variant("grafts", "2: half of the stickers are pieces of other pictures", settings={"grafted": 0.5}),
        Variant("one-picture", "2: what to drop and what to put there are learned from one picture", kind=OnePicture),
        Variant("no-find", "2: it is not told where stickers are", settings={"find": 0.0}),
        Variant("no-see-through", "2: what is behind them counts no more than the rest", settings={"see_through": 0.0}),
        Variant("no-alone", "2: all learn at once", settings={"alone": 0.0}),
        Variant("no-own-transfers", "3: none of x, to the end", kind=NoOwnTransfers),
        Variant("no-window", "4: E_s reads the whole picture", kind=NoWindow),
        Variant("one-colour", "4: D1's picture does not shine through", kind=OneColour),
        Variant("no-whole", "5: raw colours count inside the mask only", settings={"whole": 0.0}),
        Variant("no-agree", "5: masks need not agree", settings={"agree": 0.0}),
        Variant("no-as-large", "5: masks need not be as large", settings={"as_large": 0.0}),
        Variant("no-idle", "6: E_c may drop what it puts back", settings={"idle": 0.0}),
        Variant("confusion-.005", "the paper's weight of L_DC", settings={"confusion": 0.005}),
        Variant("adam", "8: the paper's optimiser", kind=WithAdam),
        Variant("no-average", "8: the weights as they are", kind=NoAverage),
    ),
}


def variants(method: str) -> tuple[Variant, ...]:
    """Those of the table, or the method's presets."""
    return VARIANTS.get(method) or tuple(Variant(name, f"the preset `{name}`", preset=name) for name in get(method).PRESETS)


def entered(method: str, variant: Variant) -> str:
    """The name under which the table of methods has a variant: the method's own, or that of its class here."""
    if variant.kind is None:
        return method
    METHODS[f"{method}:{variant.name}"] = f"{__name__}:{variant.kind.__name__}"
    return f"{method}:{variant.name}"


def obstacle(variant: Variant, wish: argparse.Namespace) -> str | None:
    """Why this variant cannot be had at this size, if it cannot."""
    try:
        recipe.configure(entered(wish.method, variant), variant.preset, variant.settings, wish.size)
    except UserError as error:
        return str(error)
    return None


# -- training and measuring ----------------------------------------------------------------------------------------------------


def trained(variant: Variant, seed: int, wish: argparse.Namespace) -> Run:
    """The finished run of this variant and seed: trained, resumed or found. Leaves the program if it is interrupted."""
    path, method = wish.folder / f"{variant.name}-{seed}", entered(wish.method, variant)
    if (path / "config.json").exists():
        run = recipe.resume(path)
    else:
        asked = {"preset": variant.preset, "overrides": variant.settings, "size": wish.size, "batch": variant.batch or wish.batch}
        run = recipe.train(method, wish.data, **asked, images=wish.images, seed=seed, out=path)
    if not run.finished:
        sys.exit("Interrupted; give the same command again to go on.")
    return run


def measured(variant: Variant, seed: int, wish: argparse.Namespace) -> dict[str, Any]:
    """The report of this variant and seed as JSON values, from its file if it is there."""
    file = wish.folder / f"{variant.name}-{seed}.json"
    if not file.exists():
        run = trained(variant, seed, wish)
        report = evaluate(run, f"{wish.data}@test", pairs=wish.pairs)
        report.cost["training_minutes"] = round(run.facts["seconds"] / 60, 1)
        write(file, (json.dumps(report.json(), indent=2) + "\n").encode())
        print(f"{variant.name}, seed {seed}: measured", flush=True)
    return json.loads(file.read_text())


def settled(folder: Path, asked: Mapping[str, Any]) -> None:
    """A folder's runs are all of one kind. Raises UserError when what is asked now is not what was asked first."""
    file = folder / "asked.json"
    if not file.exists():
        write(file, (json.dumps(asked, indent=2) + "\n").encode())
    for name, before in json.loads(file.read_text()).items():
        if asked[name] != before:
            raise UserError(f"{folder} holds runs with {name} {before}, not {asked[name]}: give another folder.")


# -- the table -----------------------------------------------------------------------------------------------------------------


def over_seeds(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Estimate]:
    """One measure of each variant. Of one seed its own interval; of several the mean with Student's 95 % interval, whose spread is
    pooled over the variants (as in an analysis of variance), since two or three seeds alone tell next to nothing of theirs.
    """
    values = {name: np.asarray([one["value"] for one in seeds]) for name, seeds in found.items()}
    if (freedom := sum(len(x) - 1 for x in values.values())) == 0:
        return {name: Estimate(one["value"], one.get("low"), one.get("high"), one["n"]) for name, (one,) in found.items()}
    spread = np.sqrt(sum(((x - x.mean()) ** 2).sum() for x in values.values()) / freedom)
    half = {name: float(student.ppf(0.975, freedom) * spread / np.sqrt(len(x))) for name, x in values.items()}
    means = {name: float(x.mean()) for name, x in values.items()}
    return {name: Estimate(mean, mean - half[name], mean + half[name], len(values[name])) for name, mean in means.items()}


def table(found: Mapping[str, Sequence[Mapping[str, Any]]], known: Sequence[Variant]) -> list[str]:
    """Markdown: a line for each variant, a column for each measure, and the minutes of training; then what differs from the first."""
    of_all = [m for m in next(iter(found.values()))[0]["measures"] if all(m in r["measures"] for rows in found.values() for r in rows)]
    figures = {m: over_seeds({name: [r["measures"][m] for r in reports] for name, reports in found.items()}) for m in of_all}
    rows = {name: {m: figures[m][name] for m in of_all} for name in found}
    shown = [m for m in COLUMNS if m in of_all] or of_all
    heads = [f"{label(m)} {'↑' if find(m).better == 'higher' else '↓'}" for m in shown]
    what = {variant.name: variant.what for variant in known}
    lines = [f"| variant | | seeds | {' | '.join(heads)} | minutes |", "|" + "---|" * (len(shown) + 4)]
    for name, row in rows.items():
        minutes = np.mean([report["cost"]["training_minutes"] for report in found[name]])
        cells = [figure(row[m]) for m in shown]
        lines.append(f"| {name} | {what[name]} | {len(found[name])} | {' | '.join(cells)} | {minutes:.1f} |")
    return [*lines, "", *verdicts(rows, shown)]


def verdicts(rows: Mapping[str, Mapping[str, Estimate]], shown: Sequence[str]) -> list[str]:
    """For each variant, the measures on which it is worse or better than the first: intervals that do not touch."""
    first, *others = rows
    lines = []
    for name in others:
        sides: dict[str, list[str]] = {"worse": [], "better": []}
        for m in shown:
            own, base = rows[name][m], rows[first][m]
            if None not in (own.low, own.high, base.low, base.high) and (own.low > base.high or own.high < base.low):  # type: ignore[operator]
                sides["better" if (own.value > base.value) == (find(m).better == "higher") else "worse"].append(m)
        said = [f"{side} on {', '.join(measures)}" for side, measures in sides.items() if measures]
        lines.append(f"- {name} against {first}: {'; '.join(said) or 'not told apart'}.")
    return lines


def between(text: str, lines: Sequence[str]) -> str:
    """A page with these lines between its two marks, in place of what was there. Raises UserError unless each mark is there once."""
    whole = text.split("\n")
    places = [[i for i, line in enumerate(whole) if line.strip() == mark] for mark in MARKS]
    if [len(place) for place in places] != [1, 1] or places[0] > places[1]:
        raise UserError(f"The page has no place for the table: it needs the line {MARKS[0]} and, below it, the line {MARKS[1]}, once each.")
    (start,), (end,) = places
    return "\n".join([*whole[: start + 1], *lines, *whole[end:]])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--method", default="mask")
    options.add_argument("--data", default="faces:glasses")
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--images", type=int, default=200_000, help="pictures that each run reads")
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--batch", type=int, default=16, help="pictures of each set in a step")
    options.add_argument("--pairs", type=int, default=500, help="test pairs of an evaluation")
    options.add_argument("--only", help="some of the variants, by name, with commas between")
    options.add_argument("--docs", action="store_true", help="write the table into the method's page too")
    options.add_argument("--out", type=Path)
    wish = options.parse_args()
    started, known = time.perf_counter(), variants(wish.method)
    names = wish.only.split(",") if wish.only else [variant.name for variant in known]
    if unknown := sorted(set(names) - {variant.name for variant in known}):
        sys.exit(f"There is no variant {unknown[0]} of {wish.method}; there is: {', '.join(variant.name for variant in known)}.")
    asked = {key: getattr(wish, key) for key in ("method", "data", "images", "size", "batch", "pairs")}
    page = DOCS / f"{wish.method}.md"
    try:
        if wish.docs:
            between(page.read_text(), [])  # hours before it is needed
        settled(wish.folder, asked)
        obstacles = {} if wish.only else {variant.name: why for variant in known if (why := obstacle(variant, wish))}
        for name, why in obstacles.items():
            print(f"{name} is left out: {why}", flush=True)
        chosen = [variant for variant in known if variant.name in names and variant.name not in obstacles]
        found: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in chosen}
        for seed in range(wish.seeds):  # all variants with one seed, then the next: stopped early, rows are still comparable
            for variant in chosen:
                found[variant.name].append(measured(variant, seed, wish))
    except UserError as error:
        sys.exit(str(error))

    kind = (
        "95 % bootstrap intervals over test pictures"
        if wish.seeds == 1
        else "means over seeds, and Student's 95 % intervals of a spread pooled over variants"
    )
    about = (
        f"{wish.data}@test at {wish.size} px, {wish.images:,} pictures a run, batches of {wish.batch}, {wish.pairs} test pairs; {kind}. "
        f"{datetime.now(UTC):%d %B %Y}, {processor()}, {torch.get_num_threads()} threads."
    )
    lines = [about, "", *table(found, known)]
    write(wish.folder / "table.md", "\n".join([f"# Variants of {wish.method}", "", *lines, ""]).encode())
    if wish.docs:
        write(page, between(page.read_text(), ["", *lines, ""]).encode())
    print("\n".join(lines))
    minutes = round((time.perf_counter() - started) / 60, 1)
    measures = {name: [report["measures"] for report in reports] for name, reports in found.items()}
    record(wish.out, 0, **asked, seeds=wish.seeds, minutes=minutes, report=measures)


if __name__ == "__main__":
    main()
