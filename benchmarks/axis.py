"""The supervision axis: how far each method keeps the factors of rectangles apart, from no labels to all of them.

    python benchmarks/axis.py runs/axis [--seeds 5] [--images 300000] [--only ae,supervised] [--out results.jsonl]

Each row of ROWS is trained with every seed, at 32 px, on as many pictures; its codes are measured on pictures of the test split that it has
never seen, by all measures of codes and by its generator (what moves in the picture when one number of the code moves). Codes of more than
ten numbers, maps among them, are read by their first ten principal components. Two rows are no models: the true factors, and the true
factors turned by a random rotation, which know everything and keep nothing apart.

FOLDER keeps each run and its figures: what is finished is not done again, so the command can be stopped and given again. It ends with
FOLDER/table.md (mean over seeds and Student's 95 % interval) and FOLDER/generators.png.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from record import processor, record
from scipy.stats import t as student
from torch import Tensor

from unweave import recipe, runs
from unweave.codes import Codes
from unweave.data import Table, load
from unweave.data.feed import to_float, to_uint8
from unweave.data.files import write
from unweave.data.rectangles import draw as rectangle
from unweave.method import Method
from unweave.methods import METHODS, get
from unweave.metrics import factors
from unweave.metrics.generators import Moves, generator_matrix
from unweave.pictures import Sheet, beside, draw
from unweave.runs import Run

SIZE = 32
SPEC = "rectangles:position"
COMPONENTS = 10  # of a code with more numbers
MOVED = 200  # test pictures whose codes are moved
CHUNK = 250  # pictures in one call
AUTOENCODER = {"width": 16}  # rectangles of 32 px need no more

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One row of the table. told: what training is told beside the pictures. method, preset, settings: as `unweave train` takes them.

    data: "plain" | "sets" (a is violet, b any other colour). grid: reads grids of factors, each of 2^factors pictures.
    """

    name: str
    told: str
    method: str
    preset: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: str = "plain"
    grid: bool = False


# From none to full supervision. A method joins by a row; one that the table of methods lacks is left out with a note.
ROWS = (
    Row("ae", "nothing", "autoencoder", "ae", AUTOENCODER),
    Row("beta-vae", "nothing", "autoencoder", "beta-vae", AUTOENCODER),
    Row("tcvae", "nothing", "autoencoder", "tcvae", AUTOENCODER),
    Row("content", "two sets (violet or not)", "content", data="sets"),
    Row("fader", "one factor (colour)", "fader", settings={"attributes": ("colour",), "width": 16}),
    Row("supervised", "all factors", "autoencoder", "supervised", {**AUTOENCODER, "factors": 5}, grid=True),
)


# -- a model as numbers --------------------------------------------------------------------------------------------------------


class Numbers:
    """A model's codes as rows of numbers: short vectors and labels as they are, others by their first principal components."""

    def __init__(self, model: Method, pictures: Tensor):
        self.model, self.first, self.names = model, model.encode(pictures[:1]), [code.name for code in model.codes]
        self.bases: dict[str, tuple[Tensor, Tensor]] = {}
        codes = [model.encode(chunk) for chunk in pictures.split(CHUNK)]
        for code in model.codes:
            if self.first[code.name].numel() > COMPONENTS:
                rows = torch.cat([c[code.name].flatten(1) for c in codes]).float()
                self.bases[code.name] = (rows.mean(0), torch.pca_lowrank(rows, COMPONENTS)[2])

    def encode(self, pictures: Tensor) -> Tensor:
        """uint8 (N, 3, S, S) -> (N, D)"""
        parts = []
        for chunk in to_float(pictures).split(CHUNK):
            codes = self.model.encode(chunk)
            columns = [codes[name].flatten(1).float() for name in self.names]
            parts.append(torch.cat([self._down(name, x) for name, x in zip(self.names, columns)], 1))
        return torch.cat(parts)

    def decode(self, numbers: Tensor) -> Tensor:
        """(N, D) -> pictures (N, 3, S, S) in [-1, 1]; what was cut down is rebuilt of its components."""
        codes, at = {}, 0
        for name in self.names:
            shape = self.first[name].shape[1:]
            width = COMPONENTS if name in self.bases else shape.numel()
            x = numbers[:, at : at + width]
            if name in self.bases:
                mean, base = self.bases[name]
                x = mean + x @ base.T
            codes[name], at = x.reshape(len(x), *shape), at + width
        image = self.model.decode(Codes(**codes)).image
        assert image is not None
        return image

    def _down(self, name: str, x: Tensor) -> Tensor:
        if name not in self.bases:
            return x
        mean, base = self.bases[name]
        return (x - mean) @ base


def figures(encode: Callable[[Tensor, Array], Array], decode: Callable[[Tensor], Tensor]) -> tuple[dict[str, float], Moves]:
    """All measures of codes, and of the generator. encode: pictures and their factors -> (N, D). decode: (N, D) -> pictures in [-1, 1]."""
    truth = load(SPEC, SIZE, "test").truth
    test, known = truth.points(0, factors.POINTS_TEST), truth.points(factors.POINTS_TEST, factors.POINTS)
    codes, codes_test = encode(*known), encode(*test)
    found = {name: estimate.value for name, estimate in factors.measure(codes, known[1], codes_test, test[1]).items()}
    moves = generator_matrix(
        lambda c: decode(c["factors"]),
        Codes(factors=torch.from_numpy(codes_test[:MOVED]).float()),
        lambda pictures: truth.read(to_uint8(pictures)),
        truth.names,
    )
    return {**found, f"generator_matrix_n{MOVED}": moves.mean.value}, moves


@torch.no_grad()
def of_model(model: Method) -> tuple[dict[str, float], Moves]:
    numbers = Numbers(model, to_float(load(SPEC, SIZE, "train").take("image", range(2000))))
    return figures(lambda pictures, _: numbers.encode(pictures).double().numpy(), numbers.decode)


def turned(count: int, seed: int | None) -> tuple[dict[str, float], Moves]:
    """The true factors, turned by the rotation of a seed if one is given, and the true generator behind them."""
    turn = np.eye(count) if seed is None else factors.rotation(count, seed)
    names = load(SPEC, SIZE, "test").truth.names

    def decode(codes: Tensor) -> Tensor:
        true = codes.double().numpy() @ turn.T
        return to_float(torch.from_numpy(rectangle(true.clip(0, 1), names, SIZE)))

    return figures(lambda _, true: true @ turn, decode)


# -- training ------------------------------------------------------------------------------------------------------------------


def data_of(row: Row, folder: Path) -> str | Table:
    if row.data == "plain":
        return SPEC
    files = folder / "violet-or-not"
    if not (files / "truth.json").exists():  # which is written last
        write(load(SPEC, SIZE, "train"), files)
    return Table(str(files / "images"), str(files / "attributes.csv"), part="colour", above=0.05, below=0.05)


def trained(row: Row, seed: int, folder: Path, wish: argparse.Namespace) -> Run | None:
    """The finished run of this row and seed, trained, resumed or found; None if it was interrupted."""
    path = folder / f"{row.name}-{seed}"
    if (path / "config.json").exists():
        run = recipe.resume(path)
    else:
        pictures = 2 ** row.settings["factors"] if row.grid else 2 if row.data == "sets" else 1
        run = recipe.train(
            row.method,
            data_of(row, folder),
            preset=row.preset,
            overrides=row.settings,
            size=SIZE,
            batch=max(1, wish.batch // pictures),
            images=wish.images,
            seed=seed,
            out=path,
        )
    return run if run.finished else None


def learned(row: Row, seed: int, folder: Path, wish: argparse.Namespace) -> tuple[dict[str, float], Moves] | None:
    run = trained(row, seed, folder, wish)
    return None if run is None else of_model(runs.load(run.path, get))


# -- the table -----------------------------------------------------------------------------------------------------------------


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half width of Student's 95 % interval; no width for one value."""
    x = np.asarray(values)
    half = 0.0 if len(x) < 2 else float(student.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return float(x.mean()), half


def table(found: Mapping[str, list[dict[str, float]]], told: Mapping[str, str]) -> list[str]:
    """Markdown: a line for each row, a column for each measure."""
    measures = list(next(iter(found.values()))[0])
    lines = [f"| row | told | seeds | {' | '.join(measures)} |", "|" + "---|" * (3 + len(measures))]
    for name, seeds in found.items():
        cells = [f"{mean:.3f} ± {half:.3f}" if len(seeds) > 1 else f"{mean:.3f}" for mean, half in summary(seeds).values()]
        lines.append(f"| {name} | {told[name]} | {len(seeds)} | {' | '.join(cells)} |")
    return lines


def summary(seeds: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    return {name: interval([one[name] for one in seeds]) for name in seeds[0]}


def verdicts(found: Mapping[str, list[dict[str, float]]]) -> list[str]:
    """The two questions that the table is made for, answered from its figures."""
    means, lines = {name: summary(seeds) for name, seeds in found.items()}, []
    if "supervised" in means:
        others = {name: figures for name, figures in means.items() if name in {row.name for row in ROWS} - {"supervised"}}
        beaten = [
            f"{measure} ({name} {own[measure][0]:.3f})"
            for measure, (mean, half) in means["supervised"].items()
            for name, own in others.items()
            if own[measure][0] > mean + half
        ]
        lines.append(f"supervised is first, or tied within its interval, on every measure but: {', '.join(beaten) or 'none'}.")
    if {"ae", ROTATED} <= means.keys():
        for measure, (mean, half) in means["ae"].items():
            other, width = means[ROTATED][measure]
            apart = abs(mean - other) > half + width
            lines.append(
                f"{measure}: ae {mean:.3f} ± {half:.3f}, rotated {other:.3f} ± {width:.3f}: {'differ' if apart else 'not told apart'}."
            )
    return lines


# -- two generators side by side -----------------------------------------------------------------------------------------------


def generators(runs_of: Mapping[str, Path]) -> Image.Image:
    """Each number of a code swept, of a disentangled and of the entangled generator, from a flat red rectangle."""
    data = load(SPEC, SIZE, "test")
    start = np.full((1, len(data.names)), 0.5)
    start[0, :3] = 0.25, 0.75, 1.0
    pictures = to_float(torch.cat([torch.from_numpy(rectangle(start, data.names, SIZE)), data.take("image", range(200))]))
    titled = []
    for title, path in runs_of.items():
        model = runs.load(path, get)
        moves = of_moves(model, pictures[1:])
        with torch.no_grad():
            sheet = model.sweep(pictures)
        rows, left = [], []
        for label, cells in list(zip(sheet.left, sheet.rows))[: len(data.names)]:
            shares = moves.matrix[moves.numbers.index(label)]
            most = np.argsort(-shares)[:2]
            rows.append(cells)
            left.append(", ".join(f"{data.names[i]} {shares[i]:.0%}" for i in most) if shares.any() else "nothing")
        titled.append((title, draw(Sheet(rows, left=left), scale=2)))
    return beside(titled)


def of_moves(model: Method, pictures: Tensor) -> Moves:
    truth = load(SPEC, SIZE, "test").truth
    with torch.no_grad():
        codes = model.encode(pictures)
        return generator_matrix(lambda c: model.decode(c).image, codes, lambda x: truth.read(to_uint8(x)), truth.names)  # type: ignore[arg-type, return-value]


TRUE, ROTATED = "true factors", "true factors, rotated"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--images", type=int, default=300_000, help="pictures that each run reads")
    options.add_argument("--batch", type=int, default=64, help="pictures in a step; two grids of 32")
    options.add_argument("--only", help="some of the rows, by name, with commas between")
    options.add_argument("--out", type=Path)
    wish = options.parse_args()
    started, folder = time.perf_counter(), wish.folder
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [row for row in ROWS if wish.only is None or row.name in wish.only.split(",")]
    missing = [row.name for row in chosen if row.method not in METHODS]
    chosen = [row for row in chosen if row.method in METHODS]
    told = {TRUE: "is the truth", ROTATED: "is the truth"} | {row.name: row.told for row in chosen}

    def kept(name: str, seed: int, make: Callable[[], tuple[dict[str, float], Moves] | None]) -> dict[str, float]:
        path = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}.json"
        if not path.exists():
            before = time.perf_counter()
            made = make()
            if made is None:
                sys.exit("Interrupted; give the same command again to go on.")
            path.write_text(json.dumps(made[0]) + "\n")
            print(f"{name}, seed {seed}: measured, {time.perf_counter() - before:.0f} s in all", flush=True)
        return json.loads(path.read_text())

    count = len(load(SPEC, SIZE, "test", n=1).names)
    found = {TRUE: [kept(TRUE, 0, partial(turned, count, None))]}
    found[ROTATED] = [kept(ROTATED, seed, partial(turned, count, seed)) for seed in range(wish.seeds)]
    for row in chosen:
        found[row.name] = [kept(row.name, seed, partial(learned, row, seed, folder, wish)) for seed in range(wish.seeds)]

    lines = table(found, told)
    notes = [f"Left out, for want of the method: {', '.join(missing)}."] if missing else []
    about = (
        f"{SPEC} at {SIZE} px, {wish.images:,} pictures a run, batches of {wish.batch}; mean over seeds and Student's 95 % interval. "
        f"{datetime.now(UTC):%d %B %Y}, {processor()}, {torch.get_num_threads()} threads."
    )
    text = "\n".join(["# Supervision axis", "", about, "", *lines, "", *[f"- {line}" for line in [*verdicts(found), *notes]]]) + "\n"
    (folder / "table.md").write_text(text)
    print(text)
    if {"ae", "supervised"} <= found.keys():
        titles = {
            "disentangled (all factors told): a number moves one thing": folder / "supervised-0",
            "entangled (autoencoder): a number moves several": folder / "ae-0",
        }
        generators(titles).save(folder / "generators.png")
    asked = {"data": SPEC, "size": SIZE, "images": wish.images, "batch": wish.batch, "seeds": wish.seeds}
    record(
        wish.out, 0, **asked, minutes=round((time.perf_counter() - started) / 60, 1), report={name: summary(s) for name, s in found.items()}
    )


if __name__ == "__main__":
    main()
