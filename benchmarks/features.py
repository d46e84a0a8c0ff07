"""What kernel distances see: pictures spoilt in known ways, in % of the distance of blurred ones, by AlexNet's and by random features.

    python benchmarks/features.py [--features FILE.npz] [--data faces] [--size 64] [--out results.jsonl]

A thousand test pictures, spoilt, against the same thousand as they are; "real" is as many of the training split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from record import record

import unweave as uw
from unweave.data.feed import to_float
from unweave.metrics.images import RandomFeatures, blurred, distance, find_features

COUNT = 1000


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--features", help="FILE.npz of AlexNet; UNWEAVE_FEATURES if not given")
    words.add_argument("--data", default="faces")
    words.add_argument("--size", type=int, default=64)
    words.add_argument("--out", type=Path)
    wish = words.parse_args()
    train, x = (to_float(uw.data(f"{wish.data}@{split}", size=wish.size).take("image", range(COUNT))) for split in ("train", "test"))
    half, some = wish.size // 2, torch.randint(50, (COUNT,), generator=torch.Generator().manual_seed(0))
    spoilt = {
        "real": train,
        "blurred_2": blurred(x, 2.0),
        "blurred_1": blurred(x, 1.0),
        "blurred_half": blurred(x, 0.5),
        "darker": 0.9 * x - 0.1,
        "moved_4_px": x.roll(4, 3),
        "fifty_again_and_again": x[some],
        "halves_of_two": torch.cat([x[..., :half], x.roll(1, 0)[..., half:]], 3),
        "halves_exchanged": x.roll(half, 3),
        "upside_down": x.flip(2),
    }
    given = find_features(wish.features)
    found = {}
    for look in [*([given] if given is not None and given.name != "random" else []), RandomFeatures()]:
        real = look(x)
        far = {name: distance(look(pictures), real).value for name, pictures in spoilt.items()}
        found[look.name] = {name: round(100 * value / far["blurred_2"], 1) for name, value in far.items()}
    record(wish.out, 0, data=wish.data, size=wish.size, percent_of_blurred=found)


if __name__ == "__main__":
    main()
