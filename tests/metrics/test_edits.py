"""The measures of edits on editors whose faults are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unweave.data.faces import Faces
from unweave.data.feed import to_float
from unweave.metrics import edits
from unweave.metrics.edits import Made

N = 40


@pytest.fixture(scope="module")
def faces():
    return Faces(("glasses",), size=32, split="test", n=N)


@pytest.fixture(scope="module")
def pairs(faces):
    return edits.test_pairs(faces, N)


def perfect(pairs):
    return Made(to_float(pairs.worn), to_float(pairs.clean), pairs.mask[:, None].float())


def test_pairs_are_fixed_and_their_truth_belongs_to_them(faces, pairs):
    i, j, k = edits.choose(faces.lengths, N)
    assert sorted(i) == sorted(j) == list(range(N)) and k.shape == (N, 9)
    assert all(len({*row, donor}) == 10 for row, donor in zip(k, j))
    assert torch.equal(pairs.a, faces.take("a", i)) and torch.equal(pairs.clean, faces.truth.clean(j))
    worn, mask = faces.truth.wear(i[:3], j[:3])
    assert torch.equal(pairs.worn[:3], worn) and torch.equal(pairs.worn_mask[:3], mask)
    assert torch.equal(pairs.others[5, 2], faces.truth.wear([i[5]], [k[5, 2]])[0][0])
    assert torch.equal(pairs.mask, faces.truth.mask(j)) and pairs.tinted.tolist() == list(faces.truth.tinted[j])
    again = edits.test_pairs(faces, N)  # from the cache
    assert torch.equal(again.others, pairs.others) and torch.equal(again.worn_mask, pairs.worn_mask)


def test_small_sets_are_used_up_before_anything_comes_twice():
    i, j, k = edits.choose({"a": 3, "b": 5}, 7)
    assert sorted(i[:3]) == [0, 1, 2] and sorted(j[:5]) == list(range(5)) and k.shape == (7, 4)
    assert edits.choose({"a": 2, "b": 1}, 2)[2].shape == (2, 0)


def test_the_truth_makes_no_error(pairs):
    found = edits.measure(perfect(pairs), pairs)
    for name in ("transfer_error_ratio", "removal_error_ratio", "outside_change", "outside_change_worst_block", "removal_outside_change"):
        assert found[name].value < 0.02, name
    for name in ("part_match", "mask_iou", "mask_iou_clear", "mask_iou_tinted"):
        assert found[name].value == 1, name
    assert found["mask_iou_clear"].n + found["mask_iou_tinted"].n == N


def test_doing_nothing_has_ratio_one_and_changes_nothing(pairs):
    found = edits.measure(Made(to_float(pairs.a), to_float(pairs.b)), pairs)
    assert found["transfer_error_ratio"].value == found["removal_error_ratio"].value == 1
    assert found["outside_change_worst_block"].value == found["removal_outside_change_worst_block"].value == 0
    assert found["part_match"].value < 0.4 and "mask_iou" not in found


def test_a_copied_mouth_shows_outside_and_nowhere_else(pairs):
    good, with_mouth = perfect(pairs), to_float(pairs.worn)
    with_mouth[:, :, 24:30, 12:20] = to_float(pairs.b)[:, :, 24:30, 12:20]
    clean, copied = edits.measure(good, pairs), edits.measure(Made(with_mouth), pairs)
    assert copied["outside_change_worst_block_median"].value > 10 > clean["outside_change_worst_block_median"].value
    assert copied["outside_change"].value > 0.5 and copied["part_match"].value > 0.95
    assert copied["outside_change_worst_block"].value > copied["outside_change_worst_block_median"].value


def test_half_an_edit_has_half_the_error(pairs):
    found = edits.measure(Made(torch.lerp(to_float(pairs.a), to_float(pairs.worn), 0.5)), pairs)
    assert found["transfer_error_ratio"].value == pytest.approx(0.5, abs=1e-4)


def test_another_donors_part_is_not_a_match(pairs):
    assert edits.measure(Made(to_float(pairs.others[:, 0])), pairs)["part_match"].value == 0


def test_error_ratio_against_a_loop(pairs):
    made = torch.rand(N, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    above, below = [], []
    for i in range(N):
        rows, columns = np.where(pairs.worn_mask[i].numpy())
        near = np.zeros((32, 32), bool)
        for r, c in zip(rows, columns):
            near[max(r - 2, 0) : r + 3, max(c - 2, 0) : c + 3] = True
        true = to_float(pairs.worn[i]).numpy()[:, near]
        above.append(np.abs(made[i].numpy()[:, near] - true).mean())
        below.append(np.abs(to_float(pairs.a[i]).numpy()[:, near] - true).mean())
    found = edits.measure(Made(made), pairs)["transfer_error_ratio"]
    assert found.value == pytest.approx(np.mean(above) / np.mean(below), rel=1e-4) and found.low < found.value < found.high


def test_judged_figures_carry_the_judges_accuracy(pairs):
    def judge(x):
        return torch.linspace(0, 1, len(x))

    found = edits.measure(perfect(pairs), pairs, judge, 0.97)
    assert found["transfer_success"].value == found["removal_success"].value == 0.5
    assert found["transfer_success"].judge_accuracy == 0.97 and found["mask_iou"].judge_accuracy is None


def test_without_truth_only_the_judge_speaks(faces, pairs):
    blind = edits.Pairs(pairs.a, pairs.b)
    assert set(edits.measure(perfect(pairs), blind, lambda x: x.mean((1, 2, 3)))) == {"transfer_success", "removal_success"}


def test_truth_in_files_has_transfers_for_its_own_pairs_only(faces):
    def filed(known):
        truth = SimpleNamespace(pairs=known, **{name: getattr(faces.truth, name) for name in ("clean", "mask", "wear", "tinted")})
        return SimpleNamespace(lengths=faces.lengths, take=faces.take, truth=truth)

    known = np.array([(i, i) for i in range(0, N, 2)])
    found = edits.test_pairs(filed(known), N)
    assert len(found) == N // 2 and found.others is None
    assert set(edits.measure(perfect(found), found)) >= {"transfer_error_ratio", "mask_iou"}
    none = edits.test_pairs(filed(known[:0]), N)
    assert none.worn is None and len(none) == N and none.mask is not None
