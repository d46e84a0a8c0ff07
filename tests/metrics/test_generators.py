"""The generator matrix of generators that are known to keep factors apart, or to mix them."""

import numpy as np
import pytest
import torch

from unweave.codes import Codes
from unweave.data.feed import to_float, to_uint8
from unweave.data.rectangles import draw, read
from unweave.metrics.generators import generator_matrix

SIZE, N = 48, 40


def rectangles(factors, names):
    """Pictures of factors (N, F), all of one colour."""
    whole = np.concatenate([np.clip(factors, 0, 1), np.full((len(factors), 1), 4 / 9)], 1)
    return to_float(torch.from_numpy(draw(whole, (*names, "colour"), SIZE)))


def seen(names):
    return lambda pictures: read(to_uint8(pictures).numpy(), names)


def matrix_of(mixing, names):
    """Of the generator that draws the factors `codes @ mixing`; codes of factors in the middle half of their range."""
    mixing = np.asarray(mixing, dtype=float)
    wanted = 0.5 + 0.25 * (np.random.default_rng(0).random((N, len(names))) - 0.5)
    codes = wanted @ np.linalg.pinv(mixing)
    return generator_matrix(
        lambda c: rectangles(c["factors"].double().numpy() @ mixing, names), Codes(factors=torch.from_numpy(codes)), seen(names), names
    )


@pytest.mark.parametrize("names", [("height", "width", "x", "y"), ("height", "width", "rotation")])
def test_a_generator_that_moves_one_thing_at_a_time(names):
    found = matrix_of(np.eye(len(names))[::-1], names)
    assert found.matrix.argmax(1).tolist() == list(range(len(names)))[::-1] and found.largest.min() > 0.9
    assert found.matrix.sum(1) == pytest.approx(np.ones(len(names)))
    assert found.mean.low <= found.mean.value <= found.mean.high and found.mean.n == N and found.readable == 1


def test_a_generator_that_mixes_two_factors_evenly_and_keeps_two():
    half = np.sqrt(0.5)
    names = ("height", "width", "x", "y")
    found = matrix_of([[half, half, 0, 0], [half, -half, 0, 0], [0, 0, 1, 0], [0, 0, 0, -1]], names)
    assert found.matrix == pytest.approx(np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), abs=0.05)
    assert found.mean.value == pytest.approx(0.75, abs=0.04)


def test_shares_are_those_of_the_true_movements():
    """Against a loop over pictures and numbers that asks the truth instead of reading."""
    names, mixing = ("height", "width", "x"), np.array([[1, 0.4, 0.1], [-0.3, 1, 0], [0, 0.5, 1]])
    codes = np.random.default_rng(1).random((N, 3)) * 0.25 + 0.25
    found = generator_matrix(
        lambda c: rectangles(c["factors"].double().numpy() @ mixing, names), Codes(factors=torch.from_numpy(codes)), seen(names), names
    )
    expected = []
    for k in range(3):
        moved = [0.0, 0.0, 0.0]
        for code in codes:
            low, high = code.copy(), code.copy()
            low[k] -= codes[:, k].std()
            high[k] += codes[:, k].std()
            for j in range(3):
                moved[j] += abs(np.clip(high @ mixing, 0, 1)[j] - np.clip(low @ mixing, 0, 1)[j]) / N
        expected.append([m / sum(moved) for m in moved])
    assert found.matrix == pytest.approx(np.array(expected), abs=0.04)


def test_a_number_that_moves_nothing_is_left_out_of_the_mean():
    names = ("height", "width")

    def decode(codes):
        return rectangles(codes["factors"][:, :2].double().numpy(), names)

    codes = Codes(factors=torch.rand(N, 3, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3)
    found = generator_matrix(decode, codes, seen(names), names)
    assert found.largest[2] == 0 and found.matrix[2].tolist() == [0, 0] and found.mean.value > 0.95
    still = generator_matrix(lambda c: rectangles(np.full((c.batch, 2), 0.5), names), codes, seen(names), names)
    assert still.mean.value == 0 and still.largest.tolist() == [0, 0, 0]


def test_only_the_named_codes_move_and_batches_do_not_count():
    names, asked = ("height", "width"), []

    def decode(codes):
        asked.append(codes.batch)
        return rectangles(torch.cat([codes["common"], codes["separate"]], 1).double().numpy(), names)

    draw_of = torch.Generator().manual_seed(0)
    codes = Codes(common=torch.rand(10, 1, generator=draw_of), separate=torch.rand(10, 1, generator=draw_of))
    found = generator_matrix(decode, codes, seen(names), names, which=("separate",), batch=4)
    assert found.numbers == ("separate 0",) and found.matrix.argmax() == 1 and asked == [4, 4, 2] * 2
    whole = generator_matrix(decode, codes, seen(names), names, which=("separate",))
    assert np.array_equal(found.moved, whole.moved)


def test_what_cannot_be_read_is_left_out_and_counted():
    names = ("height", "width")

    def decode(codes):
        pictures = rectangles(codes["factors"].double().numpy(), names)
        pictures[codes["factors"][:, 1] > 0.6] = 0.93  # nothing but ground
        return pictures

    codes = Codes(factors=torch.rand(N, 2, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25)
    found = generator_matrix(decode, codes, seen(names), names)
    assert 0.1 < found.readable < 0.9 and found.largest.min() > 0.9


def test_the_sheet_shows_pictures_and_squares_of_the_shares():
    found = matrix_of(np.eye(2), ("height", "width"))
    sheet = found.sheet()
    assert list(sheet.top) == ["down", "up", "height", "width"] and [len(row) for row in sheet.rows] == [4, 4]
    dark = [[float((cell == 0).float().mean()) for cell in row[2:]] for row in sheet.rows]
    assert np.array(dark) / 0.81 == pytest.approx(found.matrix, abs=0.06)
    assert sheet.left[0].startswith("factors 0:") and not torch.equal(sheet.rows[0][0], sheet.rows[0][1])


def test_one_picture_has_no_standard_deviation():
    with pytest.raises(ValueError, match="at least two"):
        generator_matrix(lambda c: c["factors"], Codes(factors=torch.zeros(1, 2)), seen(("height",)), ("height",))
