"""The commands that measure: evaluate, compare."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from unweave.cli import UsageError, result
from unweave.cli.parsing import count, option, parse, words
from unweave.cli.training import Data, source

if TYPE_CHECKING:
    from unweave.data import Source


@dataclass(kw_only=True)
class Evaluate(Data):
    """Measure a model on pictures it has never seen: a table here, a report with pictures in the folder."""

    model: Annotated[Positional[str], words("MODEL")]
    """A shipped name (unweave models), a run folder, a weights file, or OWNER/NAME on the Hugging Face hub."""
    spec: Annotated[Positional[str | None], words("DATA")] = None
    """The same as --data SPEC; the test split if none is named. A run folder's own data if nothing is named."""
    out: Annotated[str | None, option("DIR", "-o")] = None
    """Folder for the report; RUN/report, or runs/report-NAME for other models, if not given."""
    pairs: Annotated[int, option("N")] = 500
    """Test pairs that are edited; 500 if not given."""
    features: Annotated[str | None, option("FILE.npz")] = None
    """AlexNet's weights, for AlexNet-KID; UNWEAVE_FEATURES if not given."""
    device: Annotated[str, option("D")] = "auto"
    """cpu, cuda, cuda:1, mps; auto takes the best."""


@dataclass(kw_only=True)
class Compare(Data):
    """Measure several models on the same data, by the same judges: one table, and one page with their pictures side by side."""

    models: Annotated[Positional[list[str]], words("MODEL...")] = field(default_factory=list)
    """Shipped names, run folders, weights files, OWNER/NAME on the Hugging Face hub."""
    train: Annotated[list[str], option("METHODS")] = field(default_factory=list)
    """Methods to train first on the same data, each METHOD or METHOD:PRESET, into DIR/runs; runs that are there go on."""
    minutes: Annotated[float | None, option("M")] = None
    """Minutes for each of them."""
    images: Annotated[str | None, option("N")] = None
    """Or pictures that each reads, all sets together: 200k, 1.5M."""
    size: Annotated[int, option("S")] = 64
    """Side of their pictures in pixels; 64 if not given."""
    batch: Annotated[int, option("N")] = 32
    """Pictures of each set in a step of theirs; 32 if not given."""
    seed: Annotated[int, option("N")] = 0
    """Their seed."""
    out: Annotated[str | None, option("DIR", "-o")] = None
    """Folder for the report; runs/compare if not given."""
    pairs: Annotated[int, option("N")] = 500
    """Test pairs that are edited; 500 if not given."""
    features: Annotated[str | None, option("FILE.npz")] = None
    """AlexNet's weights, for AlexNet-KID; UNWEAVE_FEATURES if not given."""
    device: Annotated[str, option("D")] = "auto"
    """cpu, cuda, cuda:1, mps; auto takes the best."""


def compare(argv: list[str]) -> int:
    """unweave compare MODEL... --data SPEC [--train METHODS --minutes M] [-o DIR]"""
    wish = parse(Compare, argv, "compare")
    if not wish.models and not wish.train:
        raise UsageError("Name at least one model, or methods to train: unweave compare MODEL... --data SPEC --train METHODS --minutes M.")
    if wish.train and (wish.minutes is None) == (wish.images is None):
        raise UsageError("How long is each method to train? Say --minutes M or --images N, one of them.")
    if wish.pairs < 1:
        raise UsageError(f"--pairs takes a number above 0, not {wish.pairs}.")
    data = source(wish)
    images = None if wish.images is None else count(wish.images, "--images")
    from unweave import edits
    from unweave.compare import compare as measure

    out = edits.folder(Path(wish.out or "runs/compare"))
    found = measure(
        wish.models,
        data,
        out,
        train=wish.train,
        minutes=wish.minutes,
        images=images,
        size=wish.size,
        batch=wish.batch,
        seed=wish.seed,
        pairs=wish.pairs,
        features=wish.features,
        device=wish.device,
    )
    print(found)
    result(out / "index.html")
    return 0


def evaluate(argv: list[str]) -> int:
    """unweave evaluate MODEL DATA [-o DIR]"""
    wish = parse(Evaluate, argv, "evaluate")
    if wish.pairs < 1:
        raise UsageError(f"--pairs takes a number above 0, not {wish.pairs}.")
    from unweave import edits, machine, models
    from unweave.evaluate import evaluate as measure

    data = _data(wish)
    model = models.load(wish.model, machine.place(wish.device).device)
    folder = (Path(wish.model) / "report") if Path(wish.model).is_dir() else Path("runs", f"report-{Path(wish.model).stem}")
    out = edits.folder(Path(wish.out) if wish.out else folder)
    print(measure(model, data, out, wish.pairs, wish.features))
    result(out / "index.html")
    return 0


def _data(wish: Evaluate) -> Source:
    """The data that was named, or what a run was trained on (of which evaluation takes the test split)."""
    named = (wish.spec, wish.data, wish.data_a, wish.data_b, wish.data_images, wish.data_attributes, wish.data_classes, wish.data_motion)
    if any(named) or not (Path(wish.model) / "config.json").exists():
        return source(wish, wish.spec)
    from unweave import recipe
    from unweave.runs import Run

    return recipe.described(Run(wish.model).config["data"])
