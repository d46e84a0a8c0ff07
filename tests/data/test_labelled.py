"""Sets as pictures with the attributes that were asked for."""

import pytest
import torch

from unweave.data import load
from unweave.data.feed import match
from unweave.data.labelled import label_names, labelled
from unweave.errors import UserError
from unweave.method import Need, images


def needs(*names):
    return {"image": images(16), "attributes": Need("attributes", (len(names),), names)}


def test_two_sets_are_one_with_the_attribute_in_b():
    two = load("faces:glasses", 16, n=6)
    one = match(needs("in_b"), two)
    assert one.lengths == {"image": 12, "attributes": 12} and label_names(two) == ("in_b",)
    assert one.take("attributes", range(12))[:, 0].tolist() == [0] * 6 + [1] * 6
    assert torch.equal(one.take("image", [7, 2, 6]), torch.cat([two.take("b", [1]), two.take("a", [2]), two.take("b", [0])]))
    batch = one.batch(0, 12, seed=3)
    for picture, (in_b,) in zip(batch["image"], batch["attributes"]):
        assert any(torch.equal(picture, known) for known in two.take("ab"[int(in_b)], range(6)))


def test_columns_come_in_the_order_asked_for():
    faces = load("faces", 16, n=6)
    assert match(needs("glasses", "beard", "smile"), faces) is faces
    some = match(needs("smile", "glasses"), faces)
    assert torch.equal(some.take("attributes", [4, 1]), faces.take("attributes", [4, 1])[:, [2, 0]])
    assert some.truth is faces.truth and some.sibling("test").take("attributes", [0]).shape == (1, 2)
    assert some.key != faces.key != match(needs("smile"), faces).key


def test_factors_are_attributes_too():
    rectangles = load("rectangles", 16, n=5)
    some = match(needs("colour"), rectangles)
    assert torch.equal(some.take("attributes", range(5))[:, 0], rectangles.take("factors", range(5))[:, 2])


def test_unknown_attributes():
    with pytest.raises(UserError, match='has no attribute "smiles": did you mean "smile"'):
        labelled(load("faces", 16, n=3), ("smiles",))
    with pytest.raises(UserError, match='has no attribute "hat": there is: in_b'):
        labelled(load("faces:glasses", 16, n=3), ("hat",))
