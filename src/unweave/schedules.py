"""Schedules: numbers that change over a run, as frozen values that are functions of progress in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Anything that turns the finished fraction of a run, in [0, 1], into a number."""

    def __call__(self, fraction: float) -> float: ...


@dataclass(frozen=True)
class Ramp:
    """`before` until `start`, then a straight line that reaches `after` at `end` (fractions of the run), then `after`."""

    before: float
    after: float
    start: float = 0.0
    end: float = 1.0

    def __call__(self, fraction: float) -> float:
        if fraction <= self.start:
            return self.before
        if fraction >= self.end:
            return self.after
        return self.before + (self.after - self.before) * (fraction - self.start) / (self.end - self.start)


@dataclass(frozen=True)
class WarmDecay:
    """For learning rates: a short linear warm-up to `peak`, constant, then a straight line down to `peak * floor` from `decay` on."""

    peak: float
    warm: float = 0.01
    decay: float = 0.6
    floor: float = 0.05

    def __call__(self, fraction: float) -> float:
        up = min(1.0, (fraction + 1e-4) / self.warm) if self.warm else 1.0
        down = Ramp(1.0, self.floor, self.decay, 1.0)(fraction)
        return self.peak * up * down


def value(number: float | Schedule, fraction: float) -> float:
    """A plain number, or a schedule's number at this fraction of the run."""
    return number if isinstance(number, (int, float)) else number(fraction)


def half_life(images: float, batch: int) -> float:
    """Decay per step of an average that forgets half after `images` images, at `batch` images a step.

    Karras et al. 2020, section B: EMA counted in images, so that it does not depend on the batch size.
    """
    return 0.5 ** (batch / images) if images > 0 else 0.0
