"""Attributes: what a table says of a picture, and how that becomes numbers of a code.

    kind                 classes   in the table          in the code                    for a critic
    yes or no            2         0, 1                  one number                     2 classes
    one of K             K         0, 1 ... K - 1        K numbers, one of them is 1    K classes
    a number             0         0 to 1                one number                     8 bins of equal width

Values are (N, A), a column for each attribute; numbers are (N, W), W the sum of the widths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unweave.errors import UserError

BINS = 8  # into which a critic sorts an attribute that is a number
MOST = 32  # a column of whole numbers 0, 1 ... up to so many is a choice
TOLERANCE = 0.15  # a number counts as read right when it is no farther off


@dataclass(frozen=True)
class Attribute:
    """name: as in the table. classes: 2 is yes or no, K > 2 is one of K, 0 is a number from 0 to 1."""

    name: str
    classes: int = 2

    @property
    def width(self) -> int:
        """Numbers in the code."""
        return self.classes if self.classes > 2 else 1

    @property
    def bins(self) -> int:
        """Classes that a critic tells apart."""
        return self.classes or BINS


Attributes = Sequence[Attribute]


def declared(names: Sequence[str], classes: Sequence[int] = ()) -> tuple[Attribute, ...]:
    """Attributes by name, without classes all of them yes or no. Raises UserError for ones that cannot be."""
    if classes and len(classes) != len(names):
        raise UserError(f"There are {len(names)} attributes and {len(classes)} classes: give one number for each, or none.")
    if len(set(names)) < len(names) or any(k < 0 or k == 1 for k in classes):
        raise UserError("Each attribute is named once; its classes are 2 (yes or no), more (one of so many) or 0 (a number).")
    return tuple(Attribute(name, k) for name, k in zip(names, classes or (2,) * len(names), strict=True))


def width(attributes: Attributes) -> int:
    """Numbers of all attributes together."""
    return sum(a.width for a in attributes)


def spans(attributes: Attributes) -> list[slice]:
    """Where each attribute's numbers are."""
    ends = [width(attributes[: i + 1]) for i in range(len(attributes))]
    return [slice(end - a.width, end) for a, end in zip(attributes, ends)]


def numbers(attributes: Attributes, values: Tensor) -> Tensor:
    """What a table holds as numbers of a code: (N, A) -> (N, W)."""
    columns = [
        F.one_hot(column.round().long().clamp(0, a.classes - 1), a.classes).to(values) if a.classes > 2 else column[:, None]
        for a, column in zip(attributes, values.unbind(1), strict=True)
    ]
    return torch.cat(columns, 1)


def values(attributes: Attributes, code: Tensor) -> Tensor:
    """The inverse of `numbers`: (N, W) -> (N, A); of a choice, the class whose number is largest."""
    parts = [code[:, span] for span in spans(attributes)]
    return torch.stack([part.argmax(1).to(code) if a.classes > 2 else part[:, 0] for a, part in zip(attributes, parts)], 1)


def labels(attributes: Attributes, values: Tensor) -> Tensor:
    """The class of each value, or the bin of a number: (N, A) -> (N, A) int64 in 0 .. bins - 1."""
    columns = [column.round() if a.classes else (column * BINS).floor() for a, column in zip(attributes, values.unbind(1), strict=True)]
    return torch.stack([column.long().clamp(0, a.bins - 1) for a, column in zip(attributes, columns)], 1)


def probabilities(attributes: Attributes, logits: Tensor) -> Tensor:
    """What a reader's outputs say, (N, W) -> (N, W) in [0, 1]: probabilities, and of a number its expected value."""
    return torch.cat(
        [logits[:, s].softmax(1) if a.classes > 2 else logits[:, s].sigmoid() for a, s in zip(attributes, spans(attributes))], 1
    )


def settled(attributes: Attributes, read: Tensor) -> Tensor:
    """The likeliest reading of probabilities (N, W): yes or no, one class; numbers stay as they are."""
    found = values(attributes, read)
    chosen = [column.round() if a.classes == 2 else column for a, column in zip(attributes, found.unbind(1))]
    return numbers(attributes, torch.stack(chosen, 1))


def agree(attributes: Attributes, read: Tensor, asked: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Whether a reading is what was asked for, attribute by attribute: two (N, W) in [0, 1] -> (N, A) bool.

    A number agrees when it is within `tolerance`; of the others the likeliest class counts.
    """
    seen, wanted = values(attributes, read), values(attributes, asked)
    same = [
        (s > 0.5) == (w > 0.5) if a.classes == 2 else s == w if a.classes else (s - w).abs() <= tolerance
        for a, s, w in zip(attributes, seen.unbind(1), wanted.unbind(1))
    ]
    return torch.stack(same, 1)


def detect(names: Sequence[str], table: Tensor) -> tuple[Attribute, ...]:
    """The kinds of a table's columns, values (N, A). Raises UserError for a column that nothing can be learned from.

    0 and 1 alone: yes or no. Whole numbers from 0 on, up to `MOST` of them: a choice. All in 0 .. 1: a number.
    """
    found = []
    for name, column in zip(names, table.unbind(1), strict=True):
        distinct = column.unique()
        low, high = distinct.min().item(), distinct.max().item()
        if len(distinct) < 2:
            raise UserError(f'All pictures have the same "{name}" ({low:g}), so nothing can be learned of it: leave it out (--attributes).')
        whole = bool((distinct == distinct.round()).all())
        if whole and low == 0 and high == 1:
            found.append(Attribute(name, 2))
        elif whole and low == 0 and high < MOST and len(distinct) > 2:
            found.append(Attribute(name, int(high) + 1))
        elif low >= 0 and high <= 1:
            found.append(Attribute(name, 0))
        else:
            raise UserError(
                f'"{name}" runs from {low:g} to {high:g}, but a number must be in 0 .. 1 and a choice in 0, 1, 2 ... {MOST - 1}: '
                "scale the column, or leave it out (--attributes)."
            )
    return tuple(found)
