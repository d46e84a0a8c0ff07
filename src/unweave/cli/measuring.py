"""The command that measures: evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from unweave.cli import UsageError, result
from unweave.cli.parsing import option, parse, words
from unweave.cli.training import Data, source

if TYPE_CHECKING:
    from unweave.data import Folders, Table


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


def _data(wish: Evaluate) -> str | Folders | Table:
    """The data that was named, or what a run was trained on (of which evaluation takes the test split)."""
    named = wish.spec or wish.data or wish.data_a or wish.data_b or wish.data_images or wish.data_attributes
    if named or not (Path(wish.model) / "config.json").exists():
        return source(wish, wish.spec)
    from unweave import recipe
    from unweave.runs import Run

    return recipe.described(Run(wish.model).config["data"])
