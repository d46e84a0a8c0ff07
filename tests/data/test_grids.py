import numpy as np
import pytest
import torch

from unweave.data import load
from unweave.data.feed import Feed, match, to_float
from unweave.data.grids import APART, gridded, recombined, two_values
from unweave.data.rectangles import draw
from unweave.errors import UserError
from unweave.method import grids


def test_two_values_are_uniform_and_apart():
    pairs = two_values(np.random.default_rng(0), 5000, 3)
    assert pairs.shape == (5000, 2, 3) and pairs.min() >= 0 and pairs.max() < 1
    assert np.abs(pairs[:, 0] - pairs[:, 1]).min() >= APART - 1e-9
    counts = np.array([np.histogram(pairs[:, i, j], 10, (0, 1))[0] for i in range(2) for j in range(3)])
    assert np.abs(counts - 500).max() < 110  # five standard deviations


def test_recombined_has_every_choice_once():
    pairs = np.arange(12.0).reshape(2, 2, 3)
    grid = recombined(pairs)
    assert grid.shape == (2, 2, 2, 2, 3)
    for n in range(2):
        for i in range(2):
            for j in range(2):
                for k in range(2):
                    assert grid[n, i, j, k].tolist() == [pairs[n, i, 0], pairs[n, j, 1], pairs[n, k, 2]]


@pytest.mark.parametrize("spec", ["rectangles", "rectangles:position,levels"])
def test_a_grid_holds_the_pictures_of_its_factors(spec):
    data = gridded(load(spec, 32, n=6))
    factors = len(data.names)
    pictures = data.take("grid", [4, 1])
    assert pictures.dtype == torch.uint8 and pictures.shape == (2, *[2] * factors, 3, 32, 32)
    pair = data.pairs[4]
    steps = np.floor(pair * 10) / 9
    levels = np.where([name == "colour" or "levels" in spec for name in data.names], steps, pair)
    one, two = draw(levels, data.names, 32)
    assert np.array_equal(pictures[(0, *[0] * factors)].numpy(), one) and np.array_equal(pictures[(0, *[1] * factors)].numpy(), two)
    mixed = draw(np.array([[levels[1, 0], *levels[0, 1:]]]), data.names, 32)[0]
    assert np.array_equal(pictures[(0, 1, *[0] * (factors - 1))].numpy(), mixed)


def test_grids_are_the_same_again_and_other_ones_in_another_split():
    first, again, test = (gridded(load("rectangles", 32, split, n=8)) for split in ("train", "train", "test"))
    assert torch.equal(first.take("grid", range(8)), again.take("grid", range(8)))
    assert not np.array_equal(first.pairs, test.pairs)


def test_the_feed_serves_grids_alone_as_floats():
    needs = {"grid": grids(3, 32)}
    data = match(needs, load("rectangles", 32, n=8))
    batch = Feed(data, 2, seed=3)(5)
    assert list(batch) == ["grid"] and batch["grid"].dtype == torch.float32 and batch["grid"].shape == (2, *needs["grid"].shape)
    assert torch.equal(batch["grid"], to_float(data.batch(10, 2, 3)["grid"]))
    assert needs["grid"].pictures == 8


@pytest.mark.parametrize(("spec", "factors"), [("rectangles:position", 3), ("rectangles", 5)])
def test_a_wrong_number_of_factors_is_named_with_what_would_fit(spec, factors):
    with pytest.raises(
        UserError, match=rf"needs grid \(of {factors} factors, 32 px\), but {spec} offers .*rectangles:position \(--factors 5\)"
    ):
        match({"grid": grids(factors, 32)}, load(spec, 32, n=4))


def test_faces_have_no_grids():
    with pytest.raises(UserError, match="a set of 3 factors that can be recombined would fit, as rectangles"):
        match({"grid": grids(3, 32)}, load("faces", 32, n=4))
