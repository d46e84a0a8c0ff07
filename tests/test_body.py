"""Bodies: feet that stand in one clip stand in another of the same motion."""

import torch

import unweave as uw
from unweave.body import FEET, FPS, REACH, height, limbs, planted


def standing(frames: int = 40) -> torch.Tensor:
    """A clip (1, T, 15, 2) of a body on two still feet, whose arms wave."""
    clip = (
        uw.data("motion@test", size=64)
        .truth.clips(torch.tensor([0]), torch.tensor([0]), torch.tensor([0.0]))[:, :1]
        .repeat(1, frames, 1, 1)
    )
    clip[:, :, 4, 1] += torch.linspace(0, 3, frames).sin()
    return clip


def speeds(clip: torch.Tensor) -> torch.Tensor:
    """Of both feet, heights a second: (N, T - 1, 2)."""
    return torch.linalg.vector_norm(clip[:, :, list(FEET)].diff(dim=1), dim=-1) * FPS / height(clip)[:, None, None]


def test_feet_that_float_away_stand_again() -> None:
    like = standing()
    way = 0.01 * torch.arange(40.0)[None, :, None, None] * torch.tensor([1.0, 0.3])
    floats = like + way
    assert speeds(floats).min() > 0.2
    assert torch.allclose(planted(floats, like), like, atol=1e-5)  # moved as a whole, so that nothing else changes


def test_feet_that_drift_apart_are_held_by_their_ankles() -> None:
    like = standing()
    apart = like.clone()
    apart[:, :, FEET[0], 0] += 0.02 * height(like)[:, None] * torch.linspace(0, 6, 40).sin()
    made = planted(apart, like)
    assert speeds(apart).mean() > 10 * speeds(made).mean()
    assert (limbs(made) - limbs(like)).norm(dim=-1).max() < REACH * height(like).max()


def test_feet_on_their_way_are_left_alone() -> None:
    like = standing()
    runs = like + 0.1 * torch.arange(40.0)[None, :, None, None] * torch.tensor([1.0, 0.0])
    other = torch.randn(3, 40, 15, 2)
    assert torch.equal(planted(other, runs), other)


def test_an_ankle_is_moved_no_farther_than_it_reaches() -> None:
    like = standing()
    torn = like.clone()
    torn[:, :, FEET[0], 0] += torch.linspace(0, 2, 40)  # one foot leaves the body
    moved = (planted(torn, like) - torn)[:, :, list(FEET)] - (planted(torn, like) - torn)[:, :, 8:9]
    assert moved.norm(dim=-1).max() < REACH * height(torn).max() + 1e-5


def test_one_frame_stays() -> None:
    one = torch.randn(2, 1, 15, 2)
    assert torch.equal(planted(one, one), one)
