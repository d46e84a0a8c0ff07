"""All measures of edits between two sets, for anything that can edit: a model, a baseline, a person with a brush.

An `Editor` is three functions of pictures; `Pairs` are the fixed test pictures with their truth; `measure` gives the figures by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave import masks
from unweave.data import cache
from unweave.data.feed import to_float
from unweave.metrics import identity, intervals, transfer
from unweave.metrics.intervals import Estimate

VERSION = 1  # of the choice of pairs
WAYS = 10  # candidates of part_match: the donor and nine others


@dataclass(frozen=True)
class Editor:
    """Anything that edits. transfer(donor, onto) and remove(picture): (N, C, S, S) in [-1, 1] -> the same. segment(picture) -> (N, 1, S, S)
    in [0, 1]. None for what it does not offer."""

    transfer: Callable[[Tensor, Tensor], Tensor] | None = None
    remove: Callable[[Tensor], Tensor] | None = None
    segment: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Made:
    """What came of the edits of n pairs: transfers and removals (n, C, S, S) in [-1, 1], masks of b (n, 1, S, S) in [0, 1]."""

    transfers: Tensor | None = None
    removals: Tensor | None = None
    masks: Tensor | None = None


@dataclass(frozen=True)
class Pairs:
    """n fixed pairs of test pictures (a_i, b_j) and, where it is known, the truth about them. Pictures are uint8 (n, C, S, S).

    worn: a_i with the part of b_j. worn_mask: where it is. others: a_i with the parts of nine other donors, (n, 9, C, S, S).
    clean: b_j without the part. mask: where b_j's part is. tinted: (n,) bool, whether the lenses of b_j are. rows: i and j in the set.
    strangers_a, strangers_b: other people in the places of a_i and of b_j, (n, 9, C, S, S).
    """

    a: Tensor
    b: Tensor
    worn: Tensor | None = None
    worn_mask: Tensor | None = None
    others: Tensor | None = None
    clean: Tensor | None = None
    mask: Tensor | None = None
    tinted: Tensor | None = None
    rows: tuple[np.ndarray, np.ndarray] | None = None
    strangers_a: Tensor | None = None
    strangers_b: Tensor | None = None

    def __len__(self) -> int:
        return len(self.a)


def choose(lengths: dict[str, int], n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pictures are paired: a (n,), b (n,) and nine other donors for each pair, (n, 9). None comes twice before all came."""
    random = np.random.default_rng([seed, VERSION])

    def order(length: int) -> np.ndarray:
        rounds = [random.permutation(length) for _ in range(-(-n // length))]
        return np.concatenate(rounds)[:n]

    a, b = order(lengths["a"]), order(lengths["b"])
    wrong = min(WAYS, lengths["b"]) - 1
    shift = np.stack([random.permutation(lengths["b"] - 1)[:wrong] + 1 for _ in range(n)]) if wrong else np.zeros((n, 0), dtype=int)
    return a, b, (b[:, None] + shift) % lengths["b"]


def test_pairs(data: Any, n: int = 500, seed: int = 0) -> Pairs:
    """The fixed pairs of a two-set data set (its test split): n, or as many as the larger set has pictures.

    Pictures that must be drawn are drawn once and kept in the cache folder. A truth in files has a true transfer for some pairs only,
    named by its `pairs`, (P, 2) indices of a and b: then these are the pairs, and there are no other donors to compare with.
    """
    n = min(n, max(data.lengths["a"], data.lengths["b"]))
    truth = data.truth
    if truth is None:
        i, j, _ = choose(data.lengths, n, seed)
        return Pairs(data.take("a", i), data.take("b", j))
    if (filed := getattr(truth, "pairs", None)) is not None:
        return _filed_pairs(data, filed, n, seed)
    i, j, k = choose(data.lengths, n, seed)
    a, b = data.take("a", i), data.take("b", j)
    ways = k.shape[1]
    shape = (n, ways + 4, *a.shape[1:])
    name = "pairs-" + cache.key(data=data.key, n=n, seed=seed, version=VERSION)

    def fill(path: Path) -> None:
        kept = np.load(path, mmap_mode="r+")
        for column in range(ways):
            kept[:, column] = truth.wear(i, k[:, column])[0].numpy()
        worn, worn_mask = truth.wear(i, j)
        for column, pictures in enumerate((worn, truth.clean(j), worn_mask[:, None], truth.mask(j)[:, None]), start=ways):
            kept[:, column] = pictures.numpy()
        kept.flush()

    drawn = torch.from_numpy(np.array(cache.array(name, "truth", shape, fill, "true edits")[0]))
    others, (worn, clean, worn_mask, mask) = drawn[:, :ways], drawn[:, ways:].unbind(1)
    tinted = torch.from_numpy(np.asarray(truth.tinted)[j])
    strangers = (identity.strangers(data, rows, stream) for rows, stream in ((i, "a"), (j, "b")))
    return Pairs(a, b, worn, worn_mask[:, 0] > 0, others, clean, mask[:, 0] > 0, tinted, (i, j), *strangers)


def _filed_pairs(data: Any, filed: np.ndarray, n: int, seed: int) -> Pairs:
    if len(filed):
        i, j = np.random.default_rng([seed, VERSION]).permutation(filed)[:n].T
        worn, worn_mask = data.truth.wear(i, j)
    else:
        (i, j, _), worn, worn_mask = choose(data.lengths, n, seed), None, None
    tinted = np.asarray(data.truth.tinted)
    return Pairs(
        data.take("a", i),
        data.take("b", j),
        worn,
        worn_mask,
        clean=data.truth.clean(j),
        mask=data.truth.mask(j),
        tinted=torch.from_numpy(tinted[j]) if tinted.any() else None,
        rows=(i, j),
    )


@torch.no_grad()
def apply(edit: Callable[..., Tensor], *pictures: Tensor, batch: int = 50) -> Tensor:
    """An edit of many uint8 pictures, a batch at a time. -> (N, ...) float32 on the CPU."""
    parts = [edit(*[to_float(p[start : start + batch]) for p in pictures]).float().cpu() for start in range(0, len(pictures[0]), batch)]
    return torch.cat(parts)


def make(editor: Editor, pairs: Pairs) -> Made:
    """All edits of all pairs: b_j's part onto a_i, b_j without it, and where it is."""
    return Made(
        transfers=apply(editor.transfer, pairs.b, pairs.a) if editor.transfer else None,
        removals=apply(editor.remove, pairs.b) if editor.remove else None,
        masks=apply(editor.segment, pairs.b) if editor.segment else None,
    )


def measure(
    made: Editor | Made, pairs: Pairs, judge: Callable[[Tensor], Tensor] | None = None, accuracy: float | None = None
) -> dict[str, Estimate]:
    """Every figure of edits that this editor and this truth allow, by its reported name (`table.MEASURES` explains each).

    made: an editor, or what came of its edits. judge: (N, C, S, S) in [-1, 1] -> (N,) probability of showing the part. accuracy: its
    share of right answers on the test split.
    """
    figures: dict[str, Estimate] = {}
    if isinstance(made, Editor):
        made = make(made, pairs)
    if made.transfers is not None:
        if judge is not None:
            figures["transfer_success"] = intervals.mean(transfer.seen(judge, made.transfers)).judged(accuracy)
        if pairs.worn is not None and pairs.worn_mask is not None:
            figures |= against_truth("transfer", made.transfers, pairs.a, pairs.worn, pairs.worn_mask, pairs.strangers_a)
            if pairs.others is not None and pairs.others.shape[1]:
                figures["part_match"] = part_match(made.transfers, pairs)
    if made.removals is not None:
        if judge is not None:
            figures["removal_success"] = intervals.mean(~transfer.seen(judge, made.removals)).judged(accuracy)
        if pairs.clean is not None and pairs.mask is not None:
            figures |= against_truth("removal", made.removals, pairs.b, pairs.clean, pairs.mask, pairs.strangers_b)
    if made.masks is not None and pairs.mask is not None:
        figures |= mask_figures(masks.iou(masks.binary(made.masks)[:, 0], pairs.mask), pairs.tinted)
    return figures


def against_truth(
    edit: str, made: Tensor, before: Tensor, true: Tensor, mask: Tensor, strangers: Tensor | None = None
) -> dict[str, Estimate]:
    """Error where the part is, over that of doing nothing, change elsewhere, and whether it is the same person: EDIT_error_ratio ...

    made: (n, C, S, S) in [-1, 1]. before, true: uint8 (n, C, S, S). mask: bool (n, S, S). strangers: uint8 (n, 9, C, S, S).
    """
    region = transfer.dilate(mask)
    start, goal = to_float(before), to_float(true)
    error = transfer.inside(transfer.difference(made, goal), region)
    nothing = transfer.inside(transfer.difference(start, goal), region)
    change = transfer.difference(made, start)
    mean, worst = transfer.inside(change, ~region), transfer.worst_block(change, region)
    of = "" if edit == "transfer" else f"{edit}_"
    outside = f"{of}outside_change"
    figures = {
        f"{edit}_error_ratio": intervals.ratio(error, nothing),
        outside: intervals.mean(mean),
        f"{outside}_worst_block_median": intervals.quantile(worst, 0.5),
        f"{outside}_worst_block": intervals.quantile(worst, 0.95),
    }
    if strangers is not None:
        figures[f"{of}identity_kept"] = intervals.mean(identity.kept(made, before, strangers, region))
    return figures


def part_match(made: Tensor, pairs: Pairs, batch: int = 100) -> Estimate:
    """Share of pairs whose output is nearest to the truth with this donor's part. made: (n, C, S, S) in [-1, 1]."""
    assert pairs.worn is not None and pairs.others is not None and pairs.worn_mask is not None
    right = []
    for start in range(0, len(made), batch):
        here = slice(start, start + batch)
        candidates = to_float(torch.cat([pairs.worn[here, None], pairs.others[here]], 1))
        right.append(transfer.nearest_part(made[here], candidates, pairs.worn_mask[here]) == 0)
    return intervals.mean(torch.cat(right))


def mask_figures(overlap: Tensor, tinted: Tensor | None) -> dict[str, Estimate]:
    """Mean IoU of (n,) pictures; where it is known which lenses are tinted (n,) bool, of clear and tinted ones apart."""
    figures = {"mask_iou": intervals.mean(overlap)}
    kinds: Sequence[tuple[str, Tensor]] = [] if tinted is None else [("clear", ~tinted), ("tinted", tinted)]
    return figures | {f"mask_iou_{kind}": intervals.mean(overlap[which]) for kind, which in kinds if which.any()}
