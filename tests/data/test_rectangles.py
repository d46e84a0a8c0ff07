import numpy as np
import pytest
import torch

from unweave.data import load
from unweave.data.rectangles import GROUND, PALETTE, draw
from unweave.errors import UserError


def covered(pictures):
    """How much of each pixel is no ground, (N, S, S), for opaque colours of known value."""
    return (pictures.float() - torch.tensor(GROUND)[:, None, None]).abs().amax(1)


@pytest.mark.parametrize("size", [32, 64, 100])
def test_height_and_width_are_what_is_drawn(size):
    data = load("rectangles", size, "test", n=40)
    pictures, factors = data.take("image", range(40)), data.truth.factors
    for picture, (height, width, colour) in zip(pictures, factors):
        paint = PALETTE[round(colour * 9)]
        channel = int(np.abs(paint - GROUND).argmax())
        share = (picture[channel].numpy() - GROUND[channel]) / (paint - GROUND)[channel]  # of each pixel
        area = (0.16 + 0.36 * height) * (0.16 + 0.36 * width)
        assert share.sum() / size**2 == pytest.approx(area, abs=0.01)
        row = share[size // 2].sum() / size
        assert row == pytest.approx(0.16 + 0.36 * width, abs=1 / size)


def test_place_and_angle_are_what_is_drawn():
    names = ("height", "width", "colour", "x", "y")
    x = draw(np.array([[0.5, 0.5, 0, 0, 0], [0.5, 0.5, 0, 1, 1]]), names, 64)
    first, last = covered(torch.from_numpy(x)) > 100
    assert first[:32, :32].any() and not first[33:].any() and not first[:, 33:].any()
    assert torch.equal(first.flip(0, 1), last)
    turned = draw(np.array([[0.2, 0.9, 0.5, 0.0], [0.2, 0.9, 0.5, 1.0]]), ("height", "width", "colour", "rotation"), 64)
    assert np.array_equal(np.rot90(turned[0], -1, (1, 2)), turned[1])
    assert (turned[0] < 40).all(0).any()  # the tick


def test_factors_are_independent_even_and_gridded_on_request():
    data = load("rectangles:position,rotation", 32, n=4000)
    assert data.names == ("height", "width", "colour", "x", "y", "rotation")
    factors = data.truth.factors
    assert factors.min() >= 0 and factors.max() <= 1
    correlation = np.corrcoef(factors.T) - np.eye(6)
    assert np.abs(correlation).max() < 0.06
    levels = load("rectangles:rotation,levels", 32, n=2000).truth.factors
    assert np.allclose(levels * 9, np.rint(levels * 9)) and all(len(np.unique(column)) == 10 for column in levels.T)


def test_batches_hold_the_factors_of_their_pictures():
    data = load("rectangles:position", 32, n=50)
    batch = data.batch(40, 20, seed=0)
    drawn = draw(batch["factors"].double().numpy(), data.names, 32)
    assert np.abs(drawn.astype(int) - batch["image"].numpy()).max() <= 1
    assert not torch.equal(
        load("rectangles", 32, "test", n=5).take("factors", range(5)), load("rectangles", 32, n=5).take("factors", range(5))
    )
    with pytest.raises(UserError, match='did you mean "rotation"'):
        load("rectangles:rotations")
