"""Measures of two sets with a part each, with an editor that knows the truth and with one that does nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unweave.data import Table, load
from unweave.data.faces import Faces
from unweave.data.feed import to_float
from unweave.metrics import edits, two_parts
from unweave.metrics.edits import Pairs
from unweave.metrics.table import MEASURES, find

SIZE, N = 32, 12


@pytest.fixture(scope="module")
def faces() -> Faces:
    return Faces(("glasses", "beard"), size=SIZE, split="test", n=N)


@pytest.fixture(scope="module")
def pairs(faces: Faces) -> Pairs:
    return edits.test_pairs(faces, N)


def whole(pictures: Tensor) -> Tensor:
    return to_float(pictures)


def known(answers: Tensor) -> two_parts.Judge:
    """A judge that gives these answers in turn, however they are cut into batches."""
    left = [answers]

    def judge(x: Tensor) -> Tensor:
        now, left[0] = left[0][: len(x)], left[0][len(x) :]
        return now

    return judge


def test_combinations_show_what_their_labels_say(faces: Faces) -> None:
    some = two_parts.Combinations(faces, 6)
    assert some.lengths == {"image": 24, "attributes": 24}
    assert some.take("attributes", range(8)).tolist() == [[1, 0], [0, 1], [0, 0], [1, 1]] * 2
    drawn, truth = some.take("image", range(24)).unflatten(0, (6, 4)), faces.truth
    assert torch.equal(drawn[:, 0], faces.take("a", range(6))) and torch.equal(drawn[:, 1], faces.take("b", range(6)))
    neither = torch.cat([truth.clean([0, 2, 4], of="a"), truth.clean([1, 3, 5])])
    assert torch.equal(drawn[:, 2], neither)
    assert torch.equal(drawn[:, 3], truth.wear(range(6), range(6))[0])


def test_which_sets_can_be_measured(faces: Faces) -> None:
    assert two_parts.known(faces)
    assert not two_parts.known(Faces(("glasses",), size=SIZE, split="test", n=4))
    assert not two_parts.known(Faces((), size=SIZE, split="test", n=4))


def test_of_a_table_the_judges_alone_speak(tmp_path: Path) -> None:
    """Red and blue squares, each known by a column of its own."""
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    rows = []
    for i in range(120):
        red, blue = i % 2, i // 2 % 2
        picture = random.integers(90, 160, (SIZE, SIZE, 3), dtype=np.uint8)
        if red:
            picture[4:14, 4:14] = 255, 0, 0
        if blue:
            picture[18:28, 18:28] = 0, 0, 255
        Image.fromarray(picture).save(tmp_path / "images" / f"{i:03}.png")
        rows.append(f"{i:03}.png,{red},{blue}")
    (tmp_path / "table.csv").write_text("file,red,blue\n" + "\n".join(rows) + "\n")
    data = load(Table(str(tmp_path / "images"), str(tmp_path / "table.csv"), part="red,blue"), SIZE, "test")
    assert two_parts.known(data)
    judge, accuracy = two_parts.judge_of(data.sibling("train"), data)
    assert accuracy == 1.0
    pairs = edits.test_pairs(data, 6)
    own = two_parts.own_parts(data, pairs)
    assert own is None
    a, b = to_float(pairs.a), to_float(pairs.b)
    union, neither_a, neither_b = a.clone(), a.clone(), b.clone()
    union[..., 18:28, 18:28] = b[..., 18:28, 18:28]
    neither_a[..., 4:14, 4:14] = b[..., 4:14, 4:14]
    neither_b[..., 18:28, 18:28] = a[..., 18:28, 18:28]
    found = two_parts.measure(two_parts.Joined(union, neither_a, neither_b), pairs, own, judge, accuracy)
    assert {name: figure.value for name, figure in found.items()} == {"union_success": 1.0, "intersection_success": 1.0}
    others, _ = two_parts.baselines(pairs, own)
    assert list(others) == ["nothing"]
    found = two_parts.measure(others["nothing"], pairs, own, judge, accuracy)
    assert {name: figure.value for name, figure in found.items()} == {"union_success": 0.0, "intersection_success": 0.0}
    drawn = two_parts.sheets(others["nothing"], pairs, own, 4)
    assert [sheet.left for sheet in drawn.values()] == [["a", "b", "union"], ["a", "neither", "b", "neither"]]


def test_the_truth_is_right_and_nothing_is_not(faces: Faces, pairs: Pairs) -> None:
    own = two_parts.own_parts(faces, pairs)
    assert pairs.worn is not None and pairs.clean is not None
    right = two_parts.Joined(whole(pairs.worn), whole(own.clean), whole(pairs.clean))
    answers = torch.cat([torch.ones(N, 2), torch.zeros(2 * N, 2)])
    found = two_parts.measure(right, pairs, own, known(answers), 0.9)
    assert set(found) <= set(MEASURES)
    for name in ("union_success", "intersection_success", "union_match"):
        assert found[name].value == 1.0
    assert found["union_success"].judge_accuracy == 0.9
    for name in ("union_error_ratio", "intersection_error_ratio"):
        assert found[name].value == 0.0
    assert found["union_outside_change"].value < 1.0  # where a part lets a little through, beyond its mask

    nothing = two_parts.baselines(pairs, own)[0]["nothing"]
    answers = torch.cat([torch.tensor([[1.0, 0.0]]).expand(2 * N, 2), torch.tensor([[0.0, 1.0]]).expand(N, 2)])
    found = two_parts.measure(nothing, pairs, own, known(answers))
    assert found["union_success"].value == 0.0 and found["intersection_success"].value == 0.0
    assert found["union_error_ratio"].value == 1.0 and found["intersection_error_ratio"].value == 1.0
    assert found["union_outside_change"].value == 0.0 and found["union_match"].value <= 0.5


def test_half_a_union_is_none(faces: Faces, pairs: Pairs) -> None:
    own = two_parts.own_parts(faces, pairs)
    made = two_parts.baselines(pairs, own)[0]["nothing"]
    unions = torch.tensor([[0.9, 0.9], [0.9, 0.4], [0.1, 0.9], [0.2, 0.2]]).repeat(N // 4, 1)
    left = torch.tensor([[0.1, 0.4], [0.6, 0.1]]).repeat(N, 1)
    found = two_parts.measure(made, pairs, own, known(torch.cat([unions, left])))
    assert found["union_success"].value == 0.25 and found["intersection_success"].value == 0.5


def test_pasting_moves_the_box_of_the_part(faces: Faces, pairs: Pairs) -> None:
    own = two_parts.own_parts(faces, pairs)
    pasted, notes = two_parts.baselines(pairs, own)
    union = pasted["copy_paste"].union
    assert pairs.mask is not None and pairs.mask.any() and len(notes) == 2
    same_as_b = (union == whole(pairs.b)).all(1)
    assert same_as_b[pairs.mask].all()
    assert torch.equal(union[:, :, 0, 0], whole(pairs.a)[:, :, 0, 0])


def test_each_figure_has_its_own_words() -> None:
    for name in ("union_success", "intersection_success", "union_outside_change", "intersection_error_ratio"):
        assert find(name) is MEASURES[name] and "attribute" not in find(name).what
