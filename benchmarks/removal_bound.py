"""How well glasses come off after so many pictures when the truth, which no user has, teaches E_c and D1 of `mask`.

    python benchmarks/removal_bound.py runs/two-folders/pictures [--images 40000] [--start mask-glasses] [--out results.jsonl]

FOLDER is drawn by other_art.py. The networks of the model to start from learn from pairs of the training split, a picture with the part
and the same one without it, half of them mirrored, with the losses and the optimiser of `mask`; then the error ratio of removals of the
test split is measured, D1's whole picture by the last weights. It says what to ask of a time, not of the networks.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from record import record

from unweave.data import Folders, load
from unweave.data.feed import to_float
from unweave.machine import pick_precision
from unweave.metrics import edits, transfer
from unweave.models import load as load_model
from unweave.schedules import value

AROUND = 1  # pixels around the true mask that are to be replaced as well: edges are soft


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--start", default="mask-glasses")
    options.add_argument("--images", type=int, default=40000)
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--split", default="test", choices=("val", "test"))
    options.add_argument("--pairs", type=int, default=500)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    wish = options.parse_args()

    model = load_model(wish.start)
    folders = Folders(str(wish.folder / "a"), str(wish.folder / "b"))
    lessons = load(folders, model.size, "train")
    rows = np.arange(lessons.lengths["b"])
    worn, clean = lessons.take("b", rows), lessons.truth.clean(rows)
    mask = transfer.dilate(lessons.truth.mask(rows) > 0, AROUND)

    group = model.groups["autoencoder"]
    parameters = [p for network in (model.common, model.background) for p in network.requires_grad_(True).train().parameters()]
    optimiser, generator = group.optimiser.build(parameters), torch.Generator().manual_seed(wish.seed)
    steps, begun = wish.images // wish.batch, time.perf_counter()
    for step in range(steps):
        which = torch.randint(len(rows), (wish.batch,), generator=generator)
        x, y, covered = to_float(worn[which]), to_float(clean[which]), mask[which, None].float()
        if step % 2:
            x, y, covered = x.flip(3), y.flip(3), covered.flip(3)
        with torch.autocast("cpu", torch.bfloat16, enabled=pick_precision(torch.device("cpu")) == "bf16"):
            total = model.seen((x, covered, y)).total
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(parameters, group.clip)
        for settings in optimiser.param_groups:
            settings["lr"] = value(group.optimiser.lr, step / steps)
        optimiser.step()
    seconds = round(time.perf_counter() - begun)

    pairs = edits.test_pairs(load(folders, model.size, wish.split), wish.pairs)
    assert pairs.clean is not None and pairs.mask is not None
    made = edits.apply(lambda b: model.draw(model.common(b)).clamp(-1, 1), pairs.b)
    figures = edits.against_truth("removal", made, pairs.b, pairs.clean, pairs.mask)
    left = figures["removal_error_ratio"]
    print(f"{wish.images} pictures in {seconds} s: removal_error_ratio {left.value:.2f} [{left.low:.2f}, {left.high:.2f}]")
    found = {name: asdict(figure) for name, figure in figures.items()}
    record(wish.out, wish.seed, start=wish.start, images=wish.images, training_seconds=seconds, measures=found)


if __name__ == "__main__":
    main()
