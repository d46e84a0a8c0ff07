"""Augmentation in front of the critic."""

import math

import pytest
import torch
import torch.nn.functional as F

from unweave.nn.augment import augmented, sampled


def pictures(count: int = 4, side: int = 12) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_strength_nothing_is_touched() -> None:
    x = pictures()
    assert augmented(x, 0.0, generator()) is x


def test_the_probability_is_that_of_each_picture() -> None:
    x = pictures(400, 4)
    for strength, left in ((0.1, 0.9**6 * math.sqrt(0.9)), (0.3, 0.7**6 * math.sqrt(0.7))):  # six changes, and turns as published
        same = (augmented(x, strength, generator()) - x).abs().amax((1, 2, 3)) < 1e-4
        assert same.float().mean().item() == pytest.approx(left, abs=0.07)
    everything = augmented(x, 1.0, generator())
    assert ((everything - x).abs().amax((1, 2, 3)) > 1e-3).all() and torch.isfinite(everything).all()


def test_the_generator_alone_decides() -> None:
    x = pictures()
    torch.manual_seed(1)
    first = augmented(x, 0.8, generator(5))
    torch.manual_seed(2)
    assert torch.equal(augmented(x, 0.8, generator(5)), first)
    assert not torch.equal(augmented(x, 0.8, generator(6)), first)


def test_no_move_is_no_change_and_a_whole_pixel_is_a_shift() -> None:
    x = pictures()
    still = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(4, 2, 3)
    assert torch.allclose(sampled(x, still), x, atol=1e-5)
    right = still.clone()
    right[:, 0, 2] = 2 * 3 / 12  # three pixels
    assert torch.allclose(sampled(x, right)[..., :-3], x[..., 3:], atol=1e-4)
    assert torch.allclose(sampled(x, right)[..., -3:], x[..., -4:-1].flip(-1), atol=1e-4)  # mirrored beyond the edge


@pytest.mark.parametrize(("height", "width"), [(12, 12), (10, 16)])
def test_inside_the_picture_it_is_grid_sample(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, generator=generator())
    matrix = torch.tensor([[[0.5, 0.3, 0.1], [-0.2, 0.6, 0.0]], [[0.4, -0.1, 0.2], [0.3, 0.5, -0.1]]])
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    assert grid.abs().max() < 0.92  # nothing from beyond the outermost pixels' middles
    torch.testing.assert_close(sampled(x, matrix), F.grid_sample(x, grid, align_corners=False), rtol=1e-4, atol=1e-4)


def test_it_has_second_derivatives() -> None:
    x = pictures(2, 5).double().requires_grad_()
    turned = torch.tensor([[[0.8, 0.6, 0.3], [-0.6, 0.8, 0.2]]]).expand(2, 2, 3)
    assert torch.autograd.gradcheck(lambda x: sampled(x, turned) ** 3, (x,))
    assert torch.autograd.gradgradcheck(lambda x: sampled(x, turned) ** 3, (x,))


def test_grey_pictures_keep_their_one_channel() -> None:
    assert augmented(pictures()[:, :1], 1.0, generator()).shape == (4, 1, 12, 12)


def test_autocast_does_not_round_places() -> None:
    x = pictures(4, 64)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = augmented(x, 1.0, generator())
    assert torch.allclose(rounded, augmented(x, 1.0, generator()), atol=1e-5)
