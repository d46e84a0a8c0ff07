import numpy as np
import pytest
import torch

from unweave.data import BuiltIn, load
from unweave.data.rectangles import GROUND, PALETTE, draw, read
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


@pytest.mark.parametrize(
    "spec", ["rectangles", "rectangles:position", "rectangles:rotation", "rectangles:position,rotation", "rectangles:levels"]
)
@pytest.mark.parametrize("size", [32, 64, 100])
def test_every_factor_is_read_from_the_picture(spec, size):
    data = load(spec, size, "test", n=10)
    pictures, factors = data.truth.points(0, 300)
    off = np.abs(data.truth.read(pictures) - factors)
    mean, worst = (0.5, 4) if "rotation" in spec else (0.12, 0.8)  # pixels, of a picture as wide as the factor's range
    assert off.shape == (300, len(data.names)) and off.mean(0).max() < mean / size and off.max() < worst / size
    colour = data.names.index("colour")
    assert off[:, colour].max() < 0.01


def test_a_square_and_every_angle_are_read():
    angles = np.linspace(0, 1, 41)
    names = ("height", "width", "colour", "rotation")
    for height, width in [(0.5, 0.5), (0.5, 0.55), (0.7, 0.45), (0.0, 1.0), (1.0, 0.0)]:
        factors = np.stack([np.full(41, height), np.full(41, width), np.rint(angles * 9) / 9, angles], 1)
        assert np.abs(read(draw(factors, names, 64), names) - factors).max() < 0.03, (height, width)


@pytest.mark.parametrize("spec", ["rectangles:position", "rectangles:position,rotation"])
def test_blurred_and_noisy_pictures_are_read(spec):
    data = load(spec, 64, "test", n=10)
    pictures, factors = data.truth.points(0, 120)
    soft = torch.nn.functional.avg_pool2d(pictures.float(), 3, 1, 1, count_include_pad=False)
    soft += torch.randn(soft.shape, generator=torch.Generator().manual_seed(0)) * 3
    off = np.abs(data.truth.read(soft.round().clamp(0, 255).to(torch.uint8)) - factors)
    assert off.mean(0).max() < 0.02 and np.median(off, axis=0).max() < 0.015


def test_a_colour_between_two_of_the_palette_is_read_between_them():
    picture = np.tile(GROUND[:, None, None], (1, 64, 64))
    picture[:, 20:40, 20:40] = (0.5 * (PALETTE[8] + PALETTE[9]))[:, None, None]
    (colour,) = read(np.rint(picture)[None].astype(np.uint8), ("height", "width", "colour"))[:, 2]
    assert colour == pytest.approx(8.5 / 9, abs=0.01)


def test_where_there_is_nothing_nothing_is_read():
    data = load("rectangles:rotation", 32, "test", n=1)
    empty = torch.from_numpy(np.tile(GROUND.astype(np.uint8)[None, :, None, None], (2, 1, 32, 32)))
    anything = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert np.isnan(data.truth.read(empty)).all() and np.isnan(data.truth.read(anything)).all()
    untick = torch.from_numpy(draw(np.array([[0.3, 0.9, 0.0]]), ("height", "width", "colour"), 32))
    (seen,) = data.truth.read(untick)
    assert np.isnan(seen[3]) and seen[:3] == pytest.approx([0.3, 0.9, 0.0], abs=0.05)


def test_points_go_on_where_the_set_ends():
    data = load("rectangles:position", 32, "test", n=20)
    pictures, factors = data.truth.points(0, 30)
    assert np.array_equal(factors[:20], data.truth.factors) and torch.equal(pictures[:20], data.take("image", range(20)))
    later, known = data.truth.points(25, 5)
    assert torch.equal(later, pictures[25:]) and np.array_equal(known, factors[25:])


def test_a_built_in_set_of_another_length() -> None:
    longer = load(BuiltIn("rectangles", 300), 16)
    assert longer.lengths["image"] == 300
    assert longer.source == load("rectangles", 16, n=300).source == BuiltIn("rectangles", 300)
    assert longer.sibling("test").lengths == load("rectangles", 16, "test").lengths  # held-out pictures stay what they are
    assert load("rectangles@test", 16, n=5).source == "rectangles"
