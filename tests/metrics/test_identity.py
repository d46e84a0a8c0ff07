"""Is it still the same person: of edits that keep, lose or exchange the person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from unweave.attributes import Attribute
from unweave.data.faces import Faces
from unweave.data.feed import to_float, to_uint8
from unweave.data.people import stranger
from unweave.metrics import attributes, edits, identity
from unweave.metrics.edits import Made

N = 60
KINDS = (Attribute("glasses"), Attribute("beard"), Attribute("smile", 0))
NOWHERE = torch.zeros(N, 32, 32, dtype=torch.bool)


@pytest.fixture(scope="module")
def faces():
    return Faces(size=32, split="test", n=N)


@pytest.fixture(scope="module")
def trial(faces):
    return attributes.trial(faces, KINDS, N)


def share(made, trial, region=NOWHERE):
    return identity.kept(made, trial.pictures, trial.strangers, region).float().mean().item()


def test_strangers_are_nine_other_people_in_the_same_place(faces, trial):
    assert trial.strangers.shape == (N, 9, 3, 32, 32)
    same = (trial.strangers == trial.pictures[:, None]).all(2)
    assert 0.2 < same.float().mean() < 0.99  # background and parts stay
    assert not same.flatten(2).all(2).any()  # nobody is his own stranger
    assert all(len({picture.numpy().tobytes() for picture in row}) == 9 for row in trial.strangers)
    again = identity.strangers(faces, trial.rows)  # from the cache
    assert torch.equal(again, trial.strangers)


def test_a_strangers_place_colours_and_parts_are_those_of_the_picture(faces):
    face, other = faces.face("image", 0), faces.face("image", 1)
    found = stranger(face, other)
    assert found.head != face.head and found.head != other.head  # the other's shapes in this one's colours
    assert found.with_(head=face.head) == face


def test_keeping_everything_keeps_the_person(trial):
    assert share(to_float(trial.pictures), trial) == 1


def test_somebody_else_is_kept_about_once_in_ten(faces, trial):
    """People who are no candidates are nearest to each of the ten equally often; the candidates themselves are never the person."""
    others = [np.array([(i + shift) % N for i in trial.rows]) for shift in (7, 19, 31, 43)]
    drawn = [to_float(faces.truth.strangers(trial.rows, other)) for other in others]
    assert 0.03 < np.mean([share(made, trial) for made in drawn]) < 0.2
    assert share(to_float(trial.strangers[:, 3]), trial) == 0


def test_the_average_face_is_nobody(faces, trial):
    """The nearer an edit comes to what all faces have in common, the less the person is kept."""
    average, x = to_float(faces.take("image", range(N))).mean(0), to_float(trial.pictures)
    some = [share(torch.lerp(x, average.expand_as(x), amount), trial) for amount in (0.0, 0.5, 0.9, 1.0)]
    assert some[0] == 1 and some[0] > some[1] > some[2] >= some[3] and some[3] < 0.3


def test_what_may_change_does_not_count(trial):
    x, region = to_float(trial.pictures), NOWHERE.clone()
    region[:, 8:24] = True
    harmed = x.clone()
    harmed[:, :, 8:24] = to_float(trial.strangers[:, 0])[:, :, 8:24]
    assert share(harmed, trial) < share(harmed, trial, region) == share(x, trial, region)
    assert share(x, trial, torch.ones_like(region)) == 0  # where all may change nobody is known


def test_a_stranger_who_looks_alike_out_there_is_no_candidate(trial):
    x, region = to_float(trial.pictures), NOWHERE.clone()
    region[:, :, :20] = True
    alike = trial.strangers.clone()
    alike[:, 0] = torch.where(region[:, None], alike[:, 0], trial.pictures)  # the same where it counts
    assert not torch.equal(alike[:, 0], trial.pictures)
    assert identity.kept(x, trial.pictures, alike, region).float().mean() == share(x, trial, region)


def test_attributes_say_whether_the_person_is_kept(faces, trial):
    def judge(x):
        return torch.full((len(x), 1), 0.5)

    def rows(x):  # of pictures as they are, or edited
        return [known.setdefault(p.numpy().tobytes(), 0) for p in to_uint8(x)]

    known = {picture.numpy().tobytes(): row for picture, row in zip(trial.pictures, trial.rows.tolist())}

    def right(x, own, name, value):
        made = faces.truth.set(found := rows(x), name, value)
        known.update({p.numpy().tobytes(): row for p, row in zip(made, found)})
        return to_float(made)

    def somebody(x, own, name, value):
        return to_float(faces.truth.strangers(rows(x), [(row + 5) % N for row in rows(x)]))

    test = replace(trial, values=trial.values[:, 1:2], asked=trial.asked[:, 1:2])
    good, bad = (attributes.measure(edit, test, KINDS[1:2], judge, truth=faces.truth) for edit in (right, somebody))
    assert good["beard_identity_kept"].value == 1 and good["beard_identity_kept"].n == N
    assert bad["beard_identity_kept"].value < 0.3


def test_transfers_and_removals_say_it_too():
    faces = Faces(("glasses",), size=32, split="test", n=20)
    pairs = edits.test_pairs(faces, 20)
    right = edits.measure(Made(to_float(pairs.worn), to_float(pairs.clean)), pairs)
    assert right["identity_kept"].value == right["removal_identity_kept"].value == 1
    wrong = edits.measure(Made(to_float(pairs.strangers_a[:, 0]), to_float(pairs.strangers_b[:, 8])), pairs)
    assert max(wrong["identity_kept"].value, wrong["removal_identity_kept"].value) <= 0.1  # glasses may hide all that differs


def test_where_other_people_are_not_known_it_is_not_measured(faces, trial):
    class Blind:
        lengths, truth, key, offers = faces.lengths, None, "blind", faces.offers

    assert identity.strangers(Blind, trial.rows) is None
    assert identity.strangers(Faces(size=32, split="test", n=9), np.arange(9)) is None  # too few for ten
