"""The main job, from nothing to pictures: what the shipped model does, then a model trained before your eyes.

Faces and frames of all pictures and figures are of the test split: no model has seen them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from unweave.cli import UsageError, result, say
from unweave.cli.parsing import Flag, option, parse

if TYPE_CHECKING:
    from PIL.Image import Image

    from unweave.data.dataset import Dataset
    from unweave.method import Method

SHIPPED, DATA = "mask-glasses", "faces:glasses"
PAIRS = 60  # test pairs that are measured: enough to see what is good, few enough not to wait for
FIGURES = {
    "mask_iou": "overlap of the mask with the true one (1 is perfect; no mask was ever shown in training)",
    "removal_error_ratio": "error left after taking glasses off (0 is perfect, 1 is doing nothing)",
    "transfer_error_ratio": "error left after putting glasses on (0 is perfect, 1 is doing nothing)",
    "part_match": "share of transfers nearest to this donor's glasses among ten donors' (chance is 0.1)",
    "outside_change": "change outside the glasses, in grey levels of 255",
}


@dataclass(kw_only=True)
class Demo:
    """The main job, from nothing to pictures, on built-in cartoon faces.

    Shows what the shipped model does, then trains one from nothing, and shows and measures that.
    """

    minutes: Annotated[float, option("M")] = 2.0
    """How long to train; 2 if not given. What is visible then is shown: good models take longer."""
    no_train: Flag = False
    """Only show the shipped model."""
    out: Annotated[str, option("DIR", "-o")] = "runs/demo"
    """Folder for the pictures and the run; runs/demo if not given."""
    device: Annotated[str, option("D")] = "auto"
    """cpu, cuda, cuda:1, mps; auto takes the best."""


def command(argv: list[str]) -> int:
    """unweave demo [--minutes 2 | --no-train] [-o DIR]"""
    wish = parse(Demo, argv, "demo")
    if wish.minutes <= 0:
        raise UsageError(f"--minutes takes a number above 0, not {wish.minutes:g}; --no-train trains nothing.")
    from unweave import edits, models
    from unweave.data import load
    from unweave.machine import place

    out, device = Path(wish.out), place(wish.device).device
    edits.folder(out)
    sheets: list[Path] = []
    usable: str | Path = SHIPPED
    if SHIPPED in models.shipped():
        started = time.monotonic()
        model = models.load(SHIPPED, device)
        test = load(f"{DATA}@test", model.size, n=PAIRS)
        sheets.append(edits.save_image(sheet(model, test), out / "shipped.png"))
        say(f"The shipped model {SHIPPED}, on faces and glasses it has never seen ({time.monotonic() - started:.0f} s): {sheets[-1]}")
    elif wish.no_train:
        say("No model ships with this version, so there is nothing to show without training.")
        return 1
    if not wish.no_train:
        run = _train(wish, out)
        usable = usable if sheets else run
        model = models.load(run, device)
        test = load(f"{DATA}@test", model.size, n=PAIRS)
        sheets.append(edits.save_image(sheet(model, test), out / "trained.png"))
        say(f"\nThe model trained just now: {sheets[-1]}")
        _measure(model, test)
    say(
        "\nNow with your own pictures. Her glasses on him:\n"
        f"  unweave transfer {usable} --from her.png --onto him.png -o out\n"
        "Any other part, learned from a folder without it and one with it:\n"
        "  unweave train mask --data.a WITHOUT/ --data.b WITH/ --minutes 60\n"
    )
    for path in sheets:
        result(path)
    return 0


def sheet(model: Method, test: Dataset) -> Image:
    """What a mask model can do, on one picture: a grid of transfers, removals, and where it sees the part."""
    import torch

    from unweave import verbs
    from unweave.data.feed import to_float
    from unweave.pictures import Sheet, column, draw, overlay

    device = next(model.parameters()).device
    targets = to_float(test.take("a", range(4))).to(device)
    donors = to_float(test.take("b", range(6))).to(device)
    with torch.no_grad():
        grid = model.grid(targets, donors)
        clean, masks = verbs.removed(model, donors), verbs.segment(model, donors)
    assert clean.image is not None
    below = Sheet(
        [[None, *donors], [None, *clean.image], [None, *[overlay(picture, mask) for picture, mask in zip(donors, masks)]]],
        left=["", "taken off", "marked"],
    )
    return column([("The glasses of the people above, on the faces at the left", draw(grid)), ("Taken off, and marked", draw(below))])


def _train(wish: Demo, out: Path) -> Path:
    from unweave import recipe

    folder = next(path for path in (out / ("run" if n == 1 else f"run-{n}") for n in range(1, 10_000)) if not path.exists())
    say(
        f"\nTraining the same from nothing for {wish.minutes:g} minutes: faces without glasses, other faces with, and nothing else.\n"
        f"Pictures while it learns: {folder / 'samples'}"
    )
    run = recipe.train("mask", DATA, batch=16, minutes=wish.minutes, out=folder, device=wish.device)
    return run.path


def _measure(model: Method, test: Dataset) -> None:
    from unweave.evaluate import editor
    from unweave.metrics.edits import make, measure, test_pairs

    pairs = test_pairs(test, PAIRS)
    found = measure(make(editor(model), pairs), pairs)
    for name, meaning in FIGURES.items():
        if name in found:
            say(f"  {name:<21} {found[name].value:5.2f}   {meaning}")
