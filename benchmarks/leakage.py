"""What a common code still says of each attribute, to readers that learn from pictures which the model has never seen.

    python benchmarks/leakage.py MODEL [--data faces] [--fresh 4000] [--asked 1000] [--seed 1] [--out results.jsonl]

`unweave evaluate` teaches its readers on codes of the training pictures. A code out of which those pictures' own labels were taken in
closed form (`nn/erase.py`) may keep a little in other pictures, which such readers have no chance to learn. Here the readers learn from
--fresh pictures of a built-in set drawn with another seed, and are asked about the test split's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from record import record

import unweave as uw
from unweave.data.feed import to_float
from unweave.data.labelled import labelled
from unweave.metrics import attributes


@torch.no_grad()
def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("model")
    words.add_argument("--data", default="faces", help="a built-in set with attributes")
    words.add_argument("--fresh", type=int, default=4000, help="pictures that the readers learn from")
    words.add_argument("--asked", type=int, default=1000, help="test pictures that they are asked about")
    words.add_argument("--seed", type=int, default=1, help="other pictures than those of seed 0, which training reads")
    words.add_argument("--out", type=Path)
    wish = words.parse_args()
    model = uw.load(wish.model).eval()
    kinds = model.attributes
    sets = (uw.data(f"{wish.data}@train", size=model.size, seed=wish.seed, n=wish.fresh), uw.data(f"{wish.data}@test", size=model.size))
    codes, values = [], []
    for data, most in zip(sets, (wish.fresh, wish.asked), strict=True):
        table = labelled(data, [kind.name for kind in kinds])
        rows = range(min(most, table.lengths["image"]))
        parts = [model.encode(to_float(part))["common"].float() for part in table.take("image", rows).split(100)]
        codes.append(torch.cat(parts).numpy())
        values.append(table.take("attributes", rows))
    found = attributes.leakages(kinds, codes[0], values[0], codes[1], values[1])
    figures = {f"{name}_fresh": round(figure.value, 3) for name, figure in found.items()}
    record(wish.out, wish.seed, model=wish.model, data=wish.data, fresh=wish.fresh, figures=figures)


if __name__ == "__main__":
    main()
