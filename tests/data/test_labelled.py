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
    labels = one.take("attributes", range(12))[:, 0].tolist()
    assert sorted(labels) == [0] * 6 + [1] * 6 and set(labels[:6]) == {0, 1}  # any rows, as a probe takes the first ones, know both sets
    pictures, all_of = one.take("image", range(12)), {0: two.take("a", range(6)), 1: two.take("b", range(6))}
    for label, known in all_of.items():
        mine = pictures[[i for i, one in enumerate(labels) if one == label]]
        assert sorted(x.sum().item() for x in mine) == sorted(x.sum().item() for x in known)
    assert torch.equal(one.take("image", [7, 2]), pictures[[7, 2]])
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
