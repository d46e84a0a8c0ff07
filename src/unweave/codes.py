"""Codes: what an encoder says of a batch, by name, and the arithmetic that edits it.

A model is an encoder into named codes and a decoder out of them, so every edit is a small step here:

    me.encode(him) | me.encode(her).only("separate")        her glasses over his codes
    codes.zero("separate")                                  without glasses
    codes.mix(other, 0.5, "separate")                       half way to another's
    codes.mean()                                            the average of the batch
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unweave.errors import UserError, did_you_mean

Kind = Literal["spatial", "vector", "label", "sequence", "layers"]
Source = Literal["encoded", "given", "sampled"]

# The field's names, and the only ones: a command line option, a probe and a slider are named after them.
NAMES = (
    "common", "separate", "separate_a", "separate_b", "content", "attributes", "class_",
    "z", "style", "noise", "motion", "skeleton", "view", "factors",
)  # fmt: skip


@dataclass(frozen=True)
class Code:
    """Declaration of one code of a method.

    name: one of `NAMES`. kind: how it is laid out. shape: without the batch; None is an open dimension (a clip's length).
    source: where it comes from: the encoder, the user (`given`: a Fader's attributes) or a distribution (`sampled`).
    domains: the sets whose pictures have this code; pictures of another set have exact zeros.
    """

    name: str
    kind: Kind
    shape: tuple[int | None, ...]
    source: Source = "encoded"
    domains: tuple[str, ...] = ("a", "b")

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"a code cannot be called {self.name!r}: the names are {', '.join(NAMES)}")


class Codes(Mapping[str, Tensor]):
    """Named tensors with one batch dimension each, (N, ...); a batch of one stands for any N. Edits return new Codes."""

    def __init__(self, **codes: Tensor):
        self._codes = codes
        batches = {len(v) for v in codes.values()} - {1}
        if len(batches) > 1:
            sizes = ", ".join(f"{k}: {len(v)}" for k, v in codes.items())
            raise ValueError(f"codes of one batch need one batch size (or 1), got {sizes}")

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._codes:
            raise UserError(f'There is no code "{name}" here: {did_you_mean(name, self._codes)}.')
        return self._codes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    def __contains__(self, name: object) -> bool:
        return name in self._codes

    def __repr__(self) -> str:
        return "Codes(" + ", ".join(f"{k}: {tuple(v.shape)}" for k, v in self.items()) + ")"

    @property
    def batch(self) -> int:
        """Number of pictures (or clips) these codes describe."""
        return max((len(v) for v in self._codes.values()), default=0)

    def _change(self, names: tuple[str, ...], change: Callable[[str, Tensor], Tensor]) -> Codes:
        for name in names:
            self[name]  # raises for an unknown one
        return Codes(**{k: change(k, v) if k in names else v for k, v in self.items()})

    def only(self, *names: str) -> Codes:
        """Just these codes."""
        return Codes(**{name: self[name] for name in names})

    def __or__(self, other: Codes) -> Codes:
        """The codes of both; where a name is in both, `other` lies on top."""
        return Codes(**{**self._codes, **other._codes})

    def zero(self, *names: str) -> Codes:
        """These codes set to exact zeros: the factor is absent."""
        return self._change(names, lambda _, v: torch.zeros_like(v))

    def scale(self, factor: float, *names: str) -> Codes:
        """These codes times a number: 0 removes, 1 keeps, more exaggerates."""
        return self._change(names, lambda _, v: v * factor)

    def mix(self, other: Codes, amount: float, *names: str) -> Codes:
        """These codes on the straight line to `other`'s: `amount` 0 is here, 1 is there."""

        def between(name: str, here: Tensor) -> Tensor:
            here, there = torch.broadcast_tensors(here, other[name])
            return torch.lerp(here, there, amount)

        return self._change(names, between)

    def mean(self) -> Codes:
        """The average of the batch, as a batch of one: K examples become one class."""
        return Codes(**{k: v.mean(0, keepdim=True) for k, v in self.items()})

    def traverse(self, name: str, dimension: int, values: Tensor) -> Codes:
        """One picture's codes repeated, with one number of one code set to each of `values` (V,) in turn."""
        if self.batch != 1:
            raise ValueError(f"a traversal starts from one picture, not from {self.batch}")
        swept = self[name].repeat(len(values), *[1] * (self[name].dim() - 1))
        swept.flatten(1)[:, dimension] = values.to(swept)
        return self | Codes(**{name: swept})

    def take(self, index: slice | Tensor) -> Codes:
        """The codes of some pictures of the batch; a batch of one stays as it is."""
        return Codes(**{k: v if len(v) == 1 and self.batch != 1 else v[index] for k, v in self.items()})

    def broadcast(self) -> Codes:
        """Every batch of one expanded to the batch size of the rest (no memory is copied)."""
        n = self.batch
        return Codes(**{k: v.expand(n, *v.shape[1:]) for k, v in self.items()})

    def detach(self) -> Codes:
        """The same numbers without their history."""
        return Codes(**{k: v.detach() for k, v in self.items()})

    @staticmethod
    def stack(*many: Codes) -> Codes:
        """Batches of the same codes, one after the other: for one decoder call instead of several."""
        whole = [c.broadcast() for c in many]
        return Codes(**{k: torch.cat([c[k] for c in whole]) for k in whole[0]})


@dataclass
class Output:
    """What a decoder returns.

    image: (N, C, H, W) in [-1, 1]. mask: (N, 1, H, W) in [0, 1], where the part is painted (mask methods).
    background: (N, C, H, W), the picture without the part, drawn whole (mask methods). clip: (N, T, J, 2) joints (motion).
    """

    image: Tensor | None = None
    mask: Tensor | None = None
    background: Tensor | None = None
    clip: Tensor | None = None
