"""One model of two parts against two models of one part each, in a row: unions and intersections of glasses and beards.

    python benchmarks/chained.py runs/difference --glasses runs/content-glasses --beard runs/content-beard --out results.jsonl

The two others are trained on faces:glasses and on faces:beard (any method that transfers and removes). Their union of a and b is a with
b's beard put on by the second; their intersection takes the glasses off with the first, the beard with the second. All are measured on the
test split of faces:glasses,beard, on the same pairs, by the same judge.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from record import record
from torch import Tensor

from unweave.evaluate import evaluate
from unweave.method import Method
from unweave.models import load

DATA = "faces:glasses,beard@test"


class Chained:
    """Two models of one part each, with the verbs of one model of two."""

    name, verbs = "chained", ("union", "intersection")

    def __init__(self, glasses: Method, beard: Method):
        self.glasses, self.beard, self.size = glasses, beard, glasses.size

    def union(self, a: Tensor, b: Tensor) -> Tensor:
        return self.beard.transfer(b, onto=a)

    def intersection(self, image: Tensor, domain: str) -> Tensor:
        return self.beard.remove(self.glasses.remove(image))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("difference", help="a run or weights file of two parts")
    options.add_argument("--glasses", required=True, help="a model of faces:glasses")
    options.add_argument("--beard", required=True, help="a model of faces:beard")
    options.add_argument("--pairs", type=int, default=500)
    options.add_argument("--report", type=Path, help="folder for the reports")
    options.add_argument("--out", type=Path)
    wish = options.parse_args()
    rows: dict[str, Any] = {"difference": load(wish.difference), "chained": Chained(load(wish.glasses), load(wish.beard))}
    for name, model in rows.items():
        report = evaluate(model, DATA, wish.report / name if wish.report else None, pairs=wish.pairs)
        print(report)
        record(wish.out, 0, row=name, data=DATA, measures=report.json()["measures"])


if __name__ == "__main__":
    main()
