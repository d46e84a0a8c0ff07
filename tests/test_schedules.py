"""Schedules, against values worked out by hand."""

from __future__ import annotations

import pytest

from unweave.schedules import Ramp, WarmDecay, half_life, value


@pytest.mark.parametrize("fraction, wanted", [(0, 2.0), (0.2, 2.0), (0.3, 1.5), (0.4, 1.0), (0.6, 0.0), (1, 0.0)])
def test_ramp(fraction: float, wanted: float) -> None:
    assert Ramp(before=2.0, after=0.0, start=0.2, end=0.6)(fraction) == pytest.approx(wanted)


def test_ramp_without_a_slope_is_a_step() -> None:
    step = Ramp(1.0, 5.0, start=0.5, end=0.5)
    assert (step(0.5), step(0.5001)) == (1.0, 5.0)


@pytest.mark.parametrize(
    "fraction, wanted",
    [(0, 0.02), (0.0049, 1.0), (0.01, 2.0), (0.5, 2.0), (0.6, 2.0), (0.8, 1.05), (1, 0.1)],
)
def test_warm_decay(fraction: float, wanted: float) -> None:
    """Up within the first hundredth, level, from .6 down to a twentieth; the very first step is small but not zero."""
    assert WarmDecay(2.0)(fraction) == pytest.approx(wanted)


def test_warm_decay_without_warm_up() -> None:
    assert WarmDecay(2.0, warm=0)(0) == 2.0


def test_value_takes_numbers_and_schedules() -> None:
    assert value(3, 0.5) == 3 and value(0.1, 0.5) == 0.1
    assert value(Ramp(0, 1), 0.25) == 0.25


def test_half_life_halves_after_its_images() -> None:
    """Whatever the batch: the weight left of what was there `images` images ago is one half."""
    for batch in (1, 8, 100):
        assert half_life(400, batch) ** (400 / batch) == pytest.approx(0.5)
    assert half_life(0, 8) == 0.0  # follows at once
