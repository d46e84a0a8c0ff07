"""Measures of edits against loops over pixels and cases drawn by hand."""

import pytest
import torch

from unweave.metrics import transfer


def square(top, left, height, width, size=16):
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    mask[0, top : top + height, left : left + width] = True
    return mask


def test_dilation_grows_by_two_pixels_in_all_directions_and_stops_at_the_edge():
    assert torch.equal(transfer.dilate(square(5, 6, 2, 3)), square(3, 4, 6, 7))
    assert torch.equal(transfer.dilate(square(0, 0, 1, 1)), square(0, 0, 3, 3))
    assert not transfer.dilate(square(0, 0, 0, 0)).any()


def test_box_is_the_smallest_rectangle():
    scattered = square(2, 3, 1, 1) | square(9, 5, 1, 1) | square(4, 12, 1, 1)
    assert torch.equal(transfer.box(scattered), square(2, 3, 8, 10))
    assert not transfer.box(square(0, 0, 0, 0)).any()


def test_difference_and_inside_against_a_loop():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 3, 8, 8, generator=draw) * 2 - 1, torch.rand(2, 3, 8, 8, generator=draw) * 2 - 1
    region = torch.rand(2, 8, 8, generator=draw) < 0.3
    for i, found in enumerate(transfer.inside(transfer.difference(x, y), region)):
        steps = [
            sum(abs((x[i, c, r, k] + 1) * 127.5 - (y[i, c, r, k] + 1) * 127.5) for c in range(3)) / 3
            for r in range(8)
            for k in range(8)
            if region[i, r, k]
        ]
        assert found.item() == pytest.approx(float(sum(steps) / len(steps)), rel=1e-4)
    assert transfer.inside(transfer.difference(x, y), torch.zeros_like(region)).isnan().all()


def test_black_to_white_is_255_steps():
    assert transfer.difference(torch.ones(1, 3, 4, 4), -torch.ones(1, 3, 4, 4)).unique().tolist() == [255]


def test_the_worst_block_is_found_wherever_it_is_and_not_inside_the_region():
    change = torch.zeros(1, 20, 20)
    change[0, 3:11, 9:17] = 40.0  # lies across the lines of a fixed grid
    assert transfer.worst_block(change, square(0, 0, 0, 0, 20)).item() == pytest.approx(40)
    assert transfer.worst_block(change, square(3, 9, 8, 8, 20)).item() == 0
    assert transfer.worst_block(change, square(3, 9, 4, 8, 20)).item() == pytest.approx(20)


def test_the_worst_block_against_a_loop():
    change = torch.rand(2, 12, 12, generator=torch.Generator().manual_seed(1)) * 50
    region = square(4, 4, 3, 5, 12).expand(2, -1, -1)
    outside = change.masked_fill(region, 0)
    expected = [max(outside[i, r : r + 8, c : c + 8].mean().item() for r in range(5) for c in range(5)) for i in range(2)]
    assert transfer.worst_block(change, region).tolist() == pytest.approx(expected)


def test_nearest_part_looks_only_inside_the_box_and_ties_are_wrong():
    mask, face = square(4, 4, 4, 8), torch.zeros(1, 3, 16, 16)
    parts = torch.linspace(-1, 1, 5).view(1, 5, 1, 1, 1) * transfer.box(mask)[:, None, None]
    candidates = face[:, None] + parts  # (1, 5, 3, 16, 16)
    made = candidates[:, 0].clone()
    made[..., 12:, :] = 1.0  # whatever is outside the box
    assert transfer.nearest_part(made, candidates, mask).tolist() == [0]
    assert transfer.nearest_part(candidates[:, 3], candidates, mask).tolist() == [3]
    same = candidates[:, :1].expand(-1, 5, -1, -1, -1)
    assert transfer.nearest_part(made, same, mask).item() != 0


def test_seen_asks_the_judge_in_batches():
    asked = []

    def judge(x):
        asked.append(len(x))
        return x.mean((1, 2, 3))

    pictures = torch.linspace(0, 1, 10).view(10, 1, 1, 1).expand(10, 3, 4, 4)
    assert transfer.seen(judge, pictures, batch=4).tolist() == [False] * 5 + [True] * 5
    assert asked == [4, 4, 2]
