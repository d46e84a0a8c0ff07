"""Several models on the same pictures, edited in the same pairs, judged by the same judges: one table, and their sheets side by side.

compare(["runs/mask", "runs/content"], "faces:glasses", out="leaderboard")
compare([], "faces:glasses", out="leaderboard", train=["fader", "content", "mask"], minutes=30)
"""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL.Image import Image

from unweave import models as trained
from unweave import recipe
from unweave.errors import UserError
from unweave.evaluate import evaluate
from unweave.metrics.intervals import Estimate
from unweave.metrics.table import find, ordered
from unweave.pictures import column
from unweave.recipe import Data
from unweave.report import STYLE, Figures, Report, embedded, figure, label, png, sheet_file, write_files
from unweave.runs import Run

# What a row says beside its figures, in this order: keys of `Report.cost`, and what they are called.
COSTS = {
    "training_images": "images read",
    "training_minutes": "minutes trained",
    "parameters": "parameters",
    "milliseconds_a_transfer": "ms a transfer",
}


@dataclass
class Comparison:
    """data: what was measured on. reports: one for each model, in the order given. baselines: figures of simple ways to do the job."""

    data: str
    reports: list[Report]
    baselines: dict[str, Figures] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    # -- as words ----------------------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> dict[str, Figures]:
        """Figures by row: the models, then the baselines."""
        return {report.model: report.measures for report in self.reports} | self.baselines

    @property
    def measures(self) -> list[str]:
        """The names of all figures that any row has."""
        return ordered(name for figures in self.rows.values() for name in figures)

    def best(self, measure: str) -> set[str]:
        """The models that are best at it: the first, and all whose intervals reach into its own. (Baselines do not compete.)"""
        known = {report.model: report.measures[measure] for report in self.reports if measure in report.measures}
        if len(known) < 2:
            return set()
        sign = 1 if find(measure).better == "higher" else -1
        first = max(known.values(), key=lambda e: sign * e.value)
        return {name for name, e in known.items() if _overlap(e, first)}

    def table(self, bold: tuple[str, str] = ("", "")) -> list[list[str]]:
        """Rows of words: a model or a baseline, its figures with their intervals, what it cost. bold: around a column's best figures."""
        names, costs = self.measures, [key for key in COSTS if any(key in report.cost for report in self.reports)]
        best = {name: self.best(name) for name in names}
        head = ["", *[f"{label(name)} {'↑' if find(name).better == 'higher' else '↓'}" for name in names], *[COSTS[key] for key in costs]]
        cost_of = {report.model: report.cost for report in self.reports}
        lines = [head]
        for row, figures in self.rows.items():
            cells = []
            for name in names:
                text = figure(figures.get(name))
                cells.append(f"{bold[0]}{text}{bold[1]}" if row in best[name] else text)
            paid = cost_of.get(row, {})
            lines.append([row, *cells, *[f"{paid[key]:,.4g}" if 0 < paid.get(key, 0) < 1000 else f"{paid[key]:,.0f}" if key in paid else ""
                                         for key in costs]])  # fmt: skip
        return lines

    def __str__(self) -> str:
        turned = list(zip(*self.table(("", " *")), strict=True))  # a terminal is narrow: figures down, models across
        widths = [max(len(cell) for cell in column) for column in zip(*turned, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in turned]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([f"{self.data}; 95 % intervals in brackets; * {REMARK}", *lines, *self.notes])

    def markdown(self) -> str:
        """The table as Markdown, with what each figure says below it."""
        first, *rest = [[cell.replace("|", "\\|") for cell in row] for row in self.table(("**", "**"))]
        lines = [f"# {self.data}\n", f"| {' | '.join(first)} |", "|" + "---|" * len(first)]
        lines += [f"| {' | '.join(row)} |" for row in rest]
        lines += ["", f"95 % bootstrap intervals in brackets. Bold: {REMARK}.", ""]
        return "\n".join([*lines, *[f"- {note}" for note in self.notes], *[f"- `{name}`: {find(name)}." for name in self.measures]]) + "\n"

    def json(self) -> dict[str, object]:
        """{"data", "rows": {name: {"measures": {name: {value, low, high, n, judge_accuracy?}}, "cost"}}, "baselines", "notes"}."""
        plain = {row: {name: e.plain() for name, e in figures.items()} for row, figures in self.rows.items()}
        rows = {report.model: {"measures": plain[report.model], "cost": report.cost} for report in self.reports}
        return {"data": self.data, "rows": rows, "baselines": {name: plain[name] for name in self.baselines}, "notes": self.notes}

    def csv(self) -> str:
        """One line a figure: row, kind (model, baseline or cost), measure, value, low, high, n, judge_accuracy."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["row", "kind", "measure", "value", "low", "high", "n", "judge_accuracy"])
        for row, figures in self.rows.items():
            for name, e in figures.items():
                judge = "" if e.judge_accuracy is None else e.judge_accuracy
                lines.writerow([row, "baseline" if row in self.baselines else "model", name, e.value, e.low, e.high, e.n, judge])
        for report in self.reports:
            lines.writerows([report.model, "cost", name, number, "", "", "", ""] for name, number in report.cost.items())
        return text.getvalue()

    def page(self) -> str:
        """One HTML page that needs no other file: the table, then each kind of sheet with the models side by side."""
        head, *rest = self.table(("\0", "\1"))  # marks that no name can hold, until the words are escaped
        cells = [[html.escape(cell).replace("\0", "<b>").replace("\1", "</b>") for cell in row] for row in rest]
        body = "".join(f"<tr><td>{'<td>'.join(row)}" for row in cells)
        title = html.escape(self.data)
        remarks = "".join(f"<li>{html.escape(note)}" for note in self.notes)
        meanings = "".join(f"<dt>{name}<dd>{html.escape(str(find(name)))}" for name in self.measures)
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{title}</title><style>{STYLE}{SIDES}</style><h1>{title}</h1>"
            f"<div class=wide><table><tr><th>{'<th>'.join(map(html.escape, head))}{body}</table></div>"
            f"<p>95 % bootstrap intervals in brackets. Bold: {REMARK}.<ul>{remarks}</ul>{self._sheets()}"
            f"<h2>What the figures say</h2><dl>{meanings}</dl></html>\n"
        )

    @property
    def sheets(self) -> dict[str, list[tuple[str, Image]]]:
        """Of each caption the models that have such a sheet, with it."""
        captions = dict.fromkeys(caption for report in self.reports for caption in report.sheets)
        return {c: [(report.model, report.sheets[c]) for report in self.reports if c in report.sheets] for c in captions}

    def _sheets(self) -> str:
        parts = []
        for caption, shown in self.sheets.items():
            columns = "".join(f"<figure><figcaption>{html.escape(name)}</figcaption>{embedded(sheet)}</figure>" for name, sheet in shown)
            parts.append(f"<h2>{html.escape(caption)}</h2><div class=sides>{columns}</div>")
        return "".join(parts)

    def write(self, out: str | Path) -> Path:
        """report.json, report.md, report.csv, index.html and sheets/*.png, the models one below the other, into the folder `out`;
        -> index.html. Raises UserError when that cannot be."""
        files: dict[str, str | bytes] = {
            "report.json": json.dumps(self.json(), indent=2) + "\n",
            "report.md": self.markdown(),
            "report.csv": self.csv(),
            "index.html": self.page(),
            **{sheet_file(caption): png(column(shown)) for caption, shown in self.sheets.items()},
        }
        return write_files(Path(out), files)


REMARK = "the best, and whatever its interval cannot be told from"
SIDES = """
body { max-width: none } td:nth-child(2) { font-weight: inherit } td:first-child { font-weight: 600 }
.sides { display: flex; gap: 1rem; overflow-x: auto }
figure { margin: 0; flex: 1 1 0; min-width: 22rem } figcaption { font-weight: 600 }
"""


def _overlap(one: Estimate, other: Estimate) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return one.value == other.value
    return one.low <= other.high and other.low <= one.high


# -- what is compared ----------------------------------------------------------------------------------------------------------


def compare(
    models: Sequence[Any],
    data: Data,
    out: str | Path | None = None,
    *,
    train: Sequence[str] = (),
    minutes: float | None = None,
    images: int | None = None,
    size: int = 64,
    batch: int = 32,
    seed: int = 0,
    pairs: int = 500,
    features: str | Path | None = None,
    device: str = "auto",
) -> Comparison:
    """Measure models on the same data, after training some.

    models: as `evaluate` takes them. data: a name, Folders, a Table; measured on its test split. out: folder of the report, and of the
    trained runs. train: methods to train first, METHOD or METHOD:PRESET, each for `minutes` or `images` (all sets together) at this size,
    batch and seed, into OUT/runs; a run that is there already goes on. pairs, features: as of `evaluate`.
    Raises UserError when there is nothing to compare, or when the models draw pictures of different sizes.
    """
    entries = [*models, *_train(train, data, out, minutes, images, size, batch, seed, device)]
    if not entries:
        raise UserError("Name at least one model to compare, or a method to train (--train content mask).")
    loaded = [trained.load(entry, device=_place(device)) if isinstance(entry, (str, Path)) else entry for entry in entries]
    sizes = sorted({model.size for model in loaded})
    if len(sizes) > 1:
        raise UserError(f"Models of {' and '.join(map(str, sizes))} pixels see different pictures: compare models of one size.")
    names, reports = _names(entries), []
    for name, entry, model in zip(names, entries, loaded, strict=True):
        report = evaluate(model, data, pairs=pairs, features=features)
        report.model = name
        report.cost = _training(entry) | report.cost
        reports.append(report)
    baselines: dict[str, Figures] = {}
    for report in reports:  # the same pairs and judges, so the same figures
        for name, figures in report.baselines.items():
            baselines[name] = {**figures, **baselines.get(name, {})}
    right = {name: e.judge_accuracy for report in reports for name, e in report.measures.items() if e.judge_accuracy is not None}
    notes = (
        ["Judges that are right on real test pictures: " + ", ".join(f"{name} {share:.1%}" for name, share in right.items())]
        if right
        else []
    )
    notes += dict.fromkeys(note for report in reports for note in report.notes)
    found = Comparison(reports[0].data, reports, baselines, notes)
    if out is not None:
        found.write(out)
    return found


def _train(
    train: Sequence[str], data: Any, out: Any, minutes: float | None, images: int | None, size: int, batch: int, seed: int, device: str
) -> list[Path]:
    if train and (out is None or (minutes is None) == (images is None)):
        raise UserError("To train before comparing, say a folder (-o DIR) and for how long: --minutes M or --images N, one of them.")
    folders: list[tuple[str, str | None, Path]] = []
    for wish in dict.fromkeys(train):
        method, _, preset = wish.partition(":")
        recipe.configure(method, preset or None, size=size)  # a wrong name is said before the first training
        folders.append((method, preset or None, Path(out, "runs", wish.replace(":", "-"))))
    for method, named, folder in folders:
        if (folder / "config.json").exists():
            recipe.resume(folder)
        else:
            recipe.train(
                method, data, preset=named, size=size, minutes=minutes, images=images, batch=batch, seed=seed, out=folder, device=device
            )
        if not Run(folder).finished:
            raise UserError(f"The training of {folder} was stopped, and saved: the same command goes on with it.")
    return [folder for _, _, folder in folders]


def _place(device: str) -> Any:
    from unweave.machine import place

    return place(device).device


def _names(entries: Sequence[Any]) -> list[str]:
    """What the models are called: their folder or file, with the folder above where two would be called the same, or a number."""
    paths = [
        Path(entry) if isinstance(entry, (str, Path)) else Path(str(getattr(entry, "name", type(entry).__name__))) for entry in entries
    ]
    short = [path.stem if path.suffix == ".safetensors" else path.name for path in paths]
    names = [f"{path.absolute().parent.name}/{one}" if short.count(one) > 1 else one for path, one in zip(paths, short)]
    return [name if names.index(name) == i else f"{name} ({names[: i + 1].count(name)})" for i, name in enumerate(names)]


def _training(entry: Any) -> dict[str, float]:
    """What the training of a run cost; of a file alone that is not known."""
    if not isinstance(entry, (str, Path)) or not (Path(entry) / "config.json").is_file():
        return {}
    facts = Run(entry).facts
    return {"training_images": facts["images"], "training_minutes": round(facts["seconds"] / 60, 1)}
