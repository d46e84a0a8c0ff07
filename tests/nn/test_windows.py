"""Windows around what is marked: they find it, draw it at one size, and fall back to nearly the whole picture."""

import pytest
import torch

from unweave.nn.windows import around, window


def blob(size: int, x: float, y: float, half: float) -> torch.Tensor:
    at = (torch.arange(size) + 0.5) * 2 / size - 1
    return (((at[None] - x).abs() < half) & ((at[:, None] - y).abs() < half)).float()[None, None]


@pytest.mark.parametrize("x, y, half", [(0.0, 0.0, 0.3), (0.4, -0.5, 0.25), (-0.6, 0.2, 0.2)])
def test_around_finds_place_and_size(x: float, y: float, half: float) -> None:
    found = around(blob(128, x, y, half))[0]
    assert found[:2].tolist() == pytest.approx([x, y], abs=0.05)
    assert 1.2 * half < found[2] < 2.2 * half  # all of it fits, and it fills the window


def test_the_same_thing_looks_the_same_wherever_it_is() -> None:
    one, two = blob(128, -0.4, -0.3, 0.2), blob(128, 0.3, 0.4, 0.35)
    drawn = [window(x.expand(1, 3, 128, 128), around(x), 32) for x in (one, two)]
    assert (drawn[0] - drawn[1]).abs().mean() < 0.3 * drawn[0].mean()  # one pixel of edge, where the smaller one has it coarser
    assert 0.2 < drawn[0].mean() < 0.6


def test_nothing_marked_means_nearly_the_whole_picture() -> None:
    place = around(torch.full((2, 1, 64, 64), 0.1))
    assert place[:, :2].abs().max() < 1e-5 and (place[:, 2] > 0.9).all()
    picture = torch.rand(2, 3, 64, 64)
    whole = torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3)
    assert torch.allclose(window(picture, whole, 64), picture, atol=1e-5)


def test_each_picture_has_its_own_window() -> None:
    marks = torch.cat([blob(64, -0.5, 0.0, 0.2), blob(64, 0.5, 0.0, 0.2)])
    assert around(marks)[:, 0].tolist() == pytest.approx([-0.5, 0.5], abs=0.05)
