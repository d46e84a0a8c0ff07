"""What the measures say of codes and generators that are known to be good or bad, and how long they take: the tables in docs/measures.md.

    python benchmarks/known_codes.py [--seed 0] [--out results.jsonl]

Five independent factors of ten even levels, 10,000 points to learn from and 5,000 for the test; codes as `KINDS` says. The seconds are for
10 numbers and 5 continuous factors. The generators draw rectangles exactly, from their factors or from these rotated. Takes a few minutes
on one core, nearly all of it for the trees of DCI.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from record import record
from torch import Tensor

from unweave.codes import Codes
from unweave.data import load, rectangles
from unweave.data.feed import to_float, to_uint8
from unweave.metrics import factors as measures
from unweave.metrics.generators import generator_matrix

Array = NDArray[np.float64]
POINTS, TEST, FACTORS, LEVELS = measures.POINTS, measures.POINTS_TEST, 5, 10
SPECS = ("rectangles", "rectangles:position", "rectangles:position,rotation")
KINDS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "the factors": lambda f, random: f,
    "in another order, some negated": lambda f, random: f[:, [3, 0, 4, 1, 2]] * [1, -1, 1, -1, -1],
    "each twice": lambda f, random: np.concatenate([f, f], 1),
    "with noise of .1": lambda f, random: f + 0.1 * random.normal(size=f.shape),
    "rotated": lambda f, random: f @ measures.rotation(FACTORS),
    "rotated, with five of noise": lambda f, random: np.concatenate([f, random.random(f.shape)], 1) @ measures.rotation(2 * FACTORS),
    "noise": lambda f, random: random.normal(size=(len(f), 10)),
    "constant": lambda f, random: np.zeros((len(f), 5)),
}


def generator(spec: str, turned: bool) -> float:
    """Mean largest share of the exact generator of a set of rectangles, whose code are the factors, or the factors rotated."""
    data = load(spec, 64, "test", n=1)
    turn = measures.rotation(len(data.names)) if turned else np.eye(len(data.names))
    codes = Codes(factors=torch.from_numpy(data.truth.points(0, 200)[1] @ turn))

    def decode(codes: Codes) -> Tensor:
        return to_float(torch.from_numpy(rectangles.draw(np.clip(codes["factors"].numpy() @ turn.T, 0, 1), data.names, 64)))

    return round(generator_matrix(decode, codes, lambda pictures: data.truth.read(to_uint8(pictures)), data.names).mean.value, 3)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    wish = options.parse_args()
    random = np.random.default_rng(wish.seed)
    f = random.integers(0, LEVELS, (POINTS + TEST, FACTORS)) / (LEVELS - 1)
    rows = {}
    for kind, make in KINDS.items():
        z = make(f, random)
        rows[kind] = {name: round(e.value, 3) for name, e in measures.measure(z[:POINTS], f[:POINTS], z[POINTS:], f[POINTS:]).items()}
    names = list(rows["noise"])
    print(f"| | {' | '.join(name.split('_b20')[0].split('_n10k')[0] for name in names)} |\n|---|{'---|' * len(names)}")
    for kind, row in rows.items():
        print(f"| {kind} | {' | '.join(f'{row[name]:.2f}' for name in names)} |")

    shares = {spec: {"factors": generator(spec, False), "rotated": generator(spec, True)} for spec in SPECS}
    f = random.random((POINTS + TEST, FACTORS))  # continuous: as many classes as there can be
    z = np.concatenate([f, random.random(f.shape)], 1) @ measures.rotation(2 * FACTORS)
    learn, test = (z[:POINTS], f[:POINTS]), (z[POINTS:], f[POINTS:])
    few, few_test = (tuple(a[:count] for a in arrays) for arrays, count in ((learn, measures.POINTS_DCI), (test, measures.POINTS_DCI_TEST)))
    seconds = {}
    for name, act in {
        "mig": lambda: measures.mig(*learn),
        "modularity": lambda: measures.modularity(*learn),
        "explicitness": lambda: measures.explicitness(*learn, *test),
        "beta_vae": lambda: measures.beta_vae(*learn),
        "factor_vae": lambda: measures.factor_vae(*learn),
        "irs": lambda: measures.irs(*learn),
        "sap": lambda: measures.sap(*learn, *test, bins=5),
        "dci": lambda: measures.dci(*few, *few_test, bins=10),
    }.items():
        start = time.process_time()  # of the processor, so that what else the machine does hardly counts
        act()
        seconds[name] = round(time.process_time() - start, 2)
    record(wish.out, wish.seed, measures=rows, generator_matrix=shares, seconds=seconds)


if __name__ == "__main__":
    main()
