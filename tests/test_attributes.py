"""Attributes: kinds found in tables, values to numbers of a code and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unweave.attributes import Attribute, agree, detect, labels, numbers, probabilities, settled, spans, values, width
from unweave.errors import UserError

KINDS = (Attribute("glasses"), Attribute("colour", 3), Attribute("smile", 0))
TABLE = torch.tensor([[0.0, 2.0, 0.3], [1.0, 0.0, 1.0]])


def test_values_become_numbers_and_back() -> None:
    code = numbers(KINDS, TABLE)
    assert code.tolist() == [[0, 0, 0, 1, pytest.approx(0.3)], [1, 1, 0, 0, 1]]
    assert torch.equal(values(KINDS, code), TABLE)
    assert width(KINDS) == 5 and spans(KINDS) == [slice(0, 1), slice(1, 4), slice(4, 5)]


@given(st.floats(0, 1))
def test_a_number_falls_into_one_of_eight_even_bins(value: float) -> None:
    found = labels((Attribute("smile", 0),), torch.tensor([[value]], dtype=torch.float64)).item()
    assert found == min(int(value * 8), 7)


def test_labels_are_classes_that_a_critic_can_tell() -> None:
    assert labels(KINDS, TABLE).tolist() == [[0, 2, 2], [1, 0, 7]]
    assert [kind.bins for kind in KINDS] == [2, 3, 8]


def test_readings() -> None:
    logits = torch.tensor([[0.0, 1.0, 1.0, 1.0, 0.0], [3.0, -9.0, 9.0, -9.0, 9.0]])
    read = probabilities(KINDS, logits)
    assert read[0].tolist() == pytest.approx([0.5, 1 / 3, 1 / 3, 1 / 3, 0.5])
    assert settled(KINDS, read)[1].tolist() == pytest.approx([1, 0, 1, 0, read[1, 4].item()])


def test_agreement_is_the_likeliest_class_and_a_tolerance_for_numbers() -> None:
    read = torch.tensor([[0.4, 0.2, 0.5, 0.3, 0.44], [0.6, 0.5, 0.2, 0.3, 0.8]])
    asked = numbers(KINDS, torch.tensor([[0.0, 1.0, 0.3], [0.0, 0.0, 1.0]]))
    assert agree(KINDS, read, asked).tolist() == [[True, True, True], [False, True, False]]


def test_kinds_are_found_in_a_table() -> None:
    table = torch.tensor([[0, 0, 0.2, 0], [1, 3, 0.9, 1], [1, 1, 0.4, 0.5]])
    assert detect(("a", "b", "c", "d"), table) == (Attribute("a", 2), Attribute("b", 4), Attribute("c", 0), Attribute("d", 0))


@pytest.mark.parametrize(
    ("column", "answer"),
    [
        ([1.0, 1.0, 1.0], 'All pictures have the same "hat" .1., .* leave it out'),
        ([0.0, 1.0, 1.5], '"hat" runs from 0 to 1.5, but a number must be in 0 .. 1'),
        ([-1.0, 0.0, 2.0], '"hat" runs from -1 to 2'),
        ([17.0, 40.0, 80.0], "scale the column, or leave it out"),
    ],
)
def test_columns_of_which_nothing_can_be_learned(column: list[float], answer: str) -> None:
    with pytest.raises(UserError, match=answer):
        detect(("hat",), torch.tensor(column)[:, None])
