"""Measures of two sets with a part each, such as glasses in a and beards in b: of what neither set shows, both parts and none.

A judge with two answers, one for each part, is taught with all four combinations, drawn from the truth of the training split: of the two
sets alone it could learn that a beard is a face without glasses. Where a table knows both parts of photographs, each answer is a judge's
own, taught on all pictures with its part and without; then there is no true picture to compare with, and only the judges speak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.attributes import Attribute
from unweave.data.feed import to_float
from unweave.metrics import edits, intervals, judges, transfer
from unweave.metrics.edits import Pairs
from unweave.metrics.images import Extractor
from unweave.metrics.intervals import Estimate
from unweave.pictures import Sheet

PARTS = (Attribute("a"), Attribute("b"))  # the part of set a, and that of set b
LESSONS = 1000  # faces of each set that the judge learns from, and as many unions
TRIED = 250  # the same of the test split, for its accuracy

Judge = Callable[[Tensor], Tensor]  # pictures (N, C, S, S) in [-1, 1] -> (N, 2), probabilities of showing the part of a and that of b


@dataclass(frozen=True)
class Joiner:
    """Anything that joins and takes off. union(a, b): pictures of a with b's part beside their own. intersection(x, domain="a" or
    "b"): pictures of that set with neither part. (N, C, S, S) in [-1, 1] -> the same."""

    union: Callable[[Tensor, Tensor], Tensor]
    intersection: Callable[..., Tensor]


@dataclass(frozen=True)
class Joined:
    """What came of n pairs: unions on the pictures of a, and both pictures with neither part, (n, C, S, S) in [-1, 1]."""

    union: Tensor
    neither_a: Tensor
    neither_b: Tensor


@dataclass(frozen=True)
class Own:
    """What `Pairs` does not say of the pictures of a: without their own part, uint8 (n, C, S, S), and where it is, bool (n, S, S)."""

    clean: Tensor
    mask: Tensor


class Combinations:
    """Pictures with the part of a or not and the part of b or not, as many of each kind, of one split; columns image and attributes."""

    truth = None

    def __init__(self, data: Any, count: int):
        self.data, self.size, self.key = data, data.size, f"{data.key}-combined{count}"
        filed = data.truth.pairs
        self.count = min(count, data.lengths["a"], data.lengths["b"]) if filed is None else min(count, len(filed))
        self.rows = np.stack([np.arange(self.count)] * 2) if filed is None else filed[: self.count].T
        self.lengths = dict.fromkeys(("image", "attributes"), 4 * self.count)

    @cached_property
    def drawn(self) -> Tensor:
        """(count, 4, C, S, S) uint8: a, b, one of them with neither part, a with both."""
        (i, j), truth = self.rows, self.data.truth
        neither = torch.cat([truth.clean(i[::2], of="a"), truth.clean(j[1::2], of="b")])
        return torch.stack([self.data.take("a", i), self.data.take("b", j), neither, truth.wear(i, j)[0]], dim=1)

    def take(self, name: str, indices: Any) -> Tensor:
        rows = torch.as_tensor(np.asarray(indices, dtype=np.int64))
        if name == "attributes":
            return torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])[rows % 4]
        return self.drawn[rows // 4, rows % 4]


def known(data: Any) -> bool:
    """Whether enough is known for these measures: both sets have a part, and a table tells of both or some true unions are there."""
    if hasattr(data, "alone"):
        return True
    truth = data.truth
    return {"a", "b"} <= set(data.offers) and truth is not None and truth.has_part("a") and (truth.pairs is None or len(truth.pairs) > 1)


def judge_of(train: Any, test: Any, look: Extractor | None = None) -> tuple[Judge, float]:
    """The judge, taught on the training split, and its share of right answers on the test split, of all four combinations.

    look: features for photographs of which no truth is known (`judges.feature_judge`)."""
    if hasattr(train, "alone"):
        both, right = [], []
        for part in (0, 1):
            lessons = train.alone(part)
            both.append(judges.evaluation_judge(lessons, look))
            right.append(judges.accuracy(both[-1], test.alone(part)))
        return lambda x: torch.stack([one(x) for one in both], 1), float(np.mean(right))
    judge = judges.attribute_judge(Combinations(train, LESSONS), PARTS, seed=2)
    tried = Combinations(test, TRIED)
    return judge, float(np.mean(judges.attribute_accuracy(judge, tried, PARTS, most=tried.lengths["image"])))


def own_parts(data: Any, pairs: Pairs) -> Own | None:
    """The truth about the pictures of a among the test pairs, where there is one."""
    if pairs.rows is None:
        return None
    return Own(data.truth.clean(pairs.rows[0], of="a"), data.truth.mask(pairs.rows[0], of="a"))


def make(joiner: Joiner, pairs: Pairs) -> Joined:
    """All edits of all pairs."""
    neither = (edits.apply(partial(joiner.intersection, domain=of), x) for of, x in (("a", pairs.a), ("b", pairs.b)))
    return Joined(edits.apply(joiner.union, pairs.a, pairs.b), *neither)


def baselines(pairs: Pairs, own: Own | None) -> tuple[dict[str, Joined], list[str]]:
    """Two simple ways to do the job, the second where the parts' places are known, and one sentence about each."""
    a, b = to_float(pairs.a), to_float(pairs.b)
    if own is None or pairs.mask is None:
        return {"nothing": Joined(a, a, b)}, ["nothing: the pictures as they are."]
    box_a, box_b = (transfer.box(mask)[:, None] for mask in (own.mask, pairs.mask))
    pasted = Joined(torch.where(box_b, b, a), torch.where(box_a, b, a), torch.where(box_b, a, b))
    return {"nothing": Joined(a, a, b), "copy_paste": pasted}, [
        "nothing: the pictures as they are.",
        "copy_paste: the box of b's true mask pasted on a; a part is taken off by pasting that box of a picture of the other set.",
    ]


def sheets(made: Joined, pairs: Pairs, own: Own | None, count: int) -> dict[str, Sheet]:
    """The first `count` test pairs, by caption; the word before the colon names the file."""
    a, b = to_float(pairs.a), to_float(pairs.b)
    unions = [("a", a), ("b", b), ("union", made.union), ("truth", None if pairs.worn is None else to_float(pairs.worn))]
    alone = [("a", a), ("neither", made.neither_a), ("truth", None if own is None else to_float(own.clean))]
    alone += [("b", b), ("neither", made.neither_b), ("truth", None if pairs.clean is None else to_float(pairs.clean))]
    return {
        caption: Sheet([list(row[:count]) for _, row in rows if row is not None], left=[name for name, row in rows if row is not None])
        for caption, rows in (
            ("Unions: pictures of a with b's part beside their own", unions),
            ("Intersections: pictures without any part", alone),
        )
    }


def measure(made: Joined, pairs: Pairs, own: Own | None, judge: Judge, accuracy: float | None = None) -> dict[str, Estimate]:
    """The figures by their reported names (`table.MEASURES`); without truth what the judge says."""
    neither, before = torch.cat([made.neither_a, made.neither_b]), torch.cat([pairs.a, pairs.b])
    shown, left = (torch.cat([judge(chunk) for chunk in pictures.split(100)]) > 0.5 for pictures in (made.union, neither))
    figures = {
        "union_success": intervals.mean(shown.all(1)).judged(accuracy),
        "intersection_success": intervals.mean(~left.any(1)).judged(accuracy),
    }
    if own is None:
        return figures
    assert pairs.worn is not None and pairs.worn_mask is not None and pairs.clean is not None and pairs.mask is not None
    if pairs.others is not None and pairs.others.shape[1]:
        figures["union_match"] = edits.part_match(made.union, pairs)
    found = edits.against_truth("union", made.union, pairs.a, pairs.worn, pairs.worn_mask, pairs.strangers_a)
    strangers = None if pairs.strangers_a is None or pairs.strangers_b is None else torch.cat([pairs.strangers_a, pairs.strangers_b])
    clean, mask = torch.cat([own.clean, pairs.clean]), torch.cat([own.mask, pairs.mask])
    found |= edits.against_truth("intersection", neither, before, clean, mask, strangers)
    return figures | {name: figure for name, figure in found.items() if "worst_block" not in name}
