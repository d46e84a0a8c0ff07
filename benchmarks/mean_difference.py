"""Sliders against the simple way: an autoencoder that nobody disentangled, edited along the difference of its mean codes.

    python benchmarks/mean_difference.py OUT [--run RUN] [--model fader-faces] [--factors 256] [--width 24] [--images 45k] [-n 500]

OUT/run is an `autoencoder` of the built-in faces, trained here unless another RUN is given. Test faces are moved along the slope of its
code over each attribute (`unweave.metrics.attributes.mean_difference`; of glasses and beard the difference of the means with and without),
as far as what is asked for lies from what is there. MODEL, which sets attributes, is asked for the same on the same faces, and the same
judge and the same true pictures measure both. OUT has a sheet of each slider of both.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from record import record

import unweave as uw
from unweave import recipe
from unweave.attributes import Attributes
from unweave.cli.parsing import count
from unweave.data.feed import to_float
from unweave.data.labelled import labelled
from unweave.metrics import attributes, intervals, judges, transfer
from unweave.metrics.intervals import Estimate
from unweave.pictures import draw


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("out", type=Path)
    words.add_argument("--run", type=Path, help="an autoencoder's run, finished first if it was stopped")
    words.add_argument("--model", default="fader-faces")
    words.add_argument("--data", default="faces", help="a built-in set with attributes")
    words.add_argument("--factors", type=int, default=256, help="numbers in the autoencoder's code")
    words.add_argument("--width", type=int, default=24)
    words.add_argument("--images", default="45k")
    words.add_argument("-n", type=int, default=500, help="test faces")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--out-rows", dest="rows", type=Path, help="a file of JSON lines to add the rows to")
    wish = words.parse_args()

    model = uw.load(wish.model).eval()
    model.redraws = True  # the codes are compared: both models draw whole pictures
    folder = wish.run or wish.out / "run"
    if (folder / "config.json").exists():
        recipe.resume(folder)
    else:
        recipe.train(
            "autoencoder",
            wish.data,
            overrides={"factors": wish.factors, "width": wish.width},
            size=model.size,
            images=count(wish.images, "--images"),
            seed=wish.seed,
            out=folder,
        )
    plain = uw.load(folder).eval()
    kinds: Attributes = model.attributes
    names = tuple(kind.name for kind in kinds)
    train, test = (labelled(uw.data(f"{wish.data}@{split}", size=model.size), names) for split in ("train", "test"))
    judge = judges.attribute_judge(train, kinds, seed=2)
    accuracies = judges.attribute_accuracy(judge, test, kinds)
    trial = attributes.trial(test, kinds, wish.n)
    edits: dict[str, tuple[Any, attributes.Edit]] = {
        "mean-difference": (plain, attributes.mean_difference(plain, train, names)),
        wish.model: (model, lambda x, own, name, value: model.set(x, {name: value})),
    }
    for row, (made_by, edit) in edits.items():
        figures = {"reconstruction_error": drawn_again(made_by, trial)}
        figures |= attributes.measure(edit, trial, kinds, judge, accuracies, test.truth)
        for caption, sheet in attributes.sliders(edit, trial, kinds).items():
            wish.out.mkdir(parents=True, exist_ok=True)
            draw(sheet).save(wish.out / f"{caption.split(':')[0]} {row}.png".replace(" ", "-"))
        record(
            wish.rows,
            wish.seed,
            row=row,
            faces=len(trial.rows),
            parameters=sum(p.numel() for p in made_by.parameters()),
            figures={name: figure.plain() for name, figure in figures.items()},
        )


@torch.no_grad()
def drawn_again(model: Any, trial: attributes.Trial) -> Estimate:
    """Error of the faces encoded and decoded, nothing changed."""
    chunks = [to_float(chunk) for chunk in trial.pictures.split(attributes.BATCH)]
    return intervals.mean(torch.cat([transfer.difference(model.decode(model.encode(x)).image, x).mean((1, 2)) for x in chunks]))


if __name__ == "__main__":
    main()
