"""Measures of attribute editing, on pictures that say their attributes: each channel is one of them, in the middle eight rows."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from unweave.attributes import Attribute
from unweave.codes import Code, Codes, Output
from unweave.data.feed import to_float, to_uint8
from unweave.errors import UserError
from unweave.metrics import attributes, judges
from unweave.metrics.table import MEASURES, find, ordered

KINDS = (Attribute("hat"), Attribute("smile", 0))
SIDE, N = 16, 60


class Channels:
    """Channel 0 is the hat (0 or 1), channel 1 the smile, channel 2 the same for all."""

    size, key = SIDE, "channels"

    def __init__(self, count: int = N, seed: int = 0):
        random = torch.Generator().manual_seed(seed)
        self.values = torch.stack([torch.rand(count, generator=random).round(), torch.rand(count, generator=random)], 1)
        self.lengths = {"image": count, "attributes": count}
        self.truth = types.SimpleNamespace(set=self.set, mask=self.mask)
        self.key = f"channels-{seed}-{count}"

    def take(self, name, rows):
        values = self.values[torch.as_tensor(np.asarray(list(rows)))]
        return values if name == "attributes" else to_uint8(paint(values))

    def set(self, rows, name, value):
        values = self.take("attributes", rows).clone()
        values[:, ("hat", "smile").index(name)] = value
        return to_uint8(paint(values))

    def mask(self, rows, name):
        where = torch.zeros(len(rows), SIDE, SIDE, dtype=torch.bool)
        where[:, 4:12] = True
        return where


def paint(values):
    pictures = torch.zeros(len(values), 3, SIDE, SIDE)
    pictures[:, :2, 4:12] = (2 * values - 1)[:, :, None, None]
    return pictures


def judge(x):
    return ((x[:, :2, 4:12].mean((2, 3)) + 1) / 2).clamp(0, 1)


def right(x, own, name, value):
    values = own.clone()
    values[:, ("hat", "smile").index(name)] = value
    return paint(values)


def nothing(x, own, name, value):
    return x


def both(x, own, name, value):
    return paint(torch.full_like(own, value))


@pytest.fixture(scope="module")
def trial():
    return attributes.trial(Channels(), KINDS, 50)


def measured(edit, trial, truth=True):
    return attributes.measure(edit, trial, KINDS, judge, [0.9, 0.8], Channels().truth if truth else None)


def test_a_trial_asks_for_something_else(trial):
    assert torch.equal(trial.asked[:, 0], 1 - trial.values[:, 0]) and len(trial.rows) == 50
    assert set(trial.asked[:, 1].tolist()) <= set(attributes.ASKED)
    again = attributes.trial(Channels(), KINDS, 50)
    assert np.array_equal(again.rows, trial.rows) and torch.equal(again.asked, trial.asked)


def test_a_choice_is_asked_for_another_class():
    class Colours(Channels):
        def take(self, name, rows):
            return super().take(name, rows) if name == "image" else (4 * self.values[list(rows), 1:]).floor()

    kinds = (Attribute("colour", 4),)
    asked = attributes.trial(Colours(), kinds, 60)
    assert (asked.asked != asked.values).all() and set(asked.asked.flatten().tolist()) == {0, 1, 2, 3}


def test_the_right_edit_is_right_about_everything(trial):
    found = measured(right, trial)
    assert list(found) == [f"{k}_{m}" for k in ("hat", "smile") for m in
                           ("success", "others_kept", "monotone", "cycle_error", "error_ratio", "outside_change")]  # fmt: skip
    assert max(found[f"{k}_cycle_error"].value for k in ("hat", "smile")) < 0.05  # eight bits
    for name in ("hat_success", "smile_success", "hat_others_kept", "hat_monotone", "smile_monotone"):
        assert found[name].value == 1, name
    assert found["hat_error_ratio"].value < 0.01 and found["smile_error_ratio"].value < 0.02
    assert found["hat_outside_change"].value < 0.6
    assert found["hat_success"].judge_accuracy == 0.9 and found["hat_others_kept"].judge_accuracy == 0.8
    assert found["hat_error_ratio"].n == int(trial.values[:, 0].sum())  # removals


def test_doing_nothing_keeps_all_and_changes_nothing(trial):
    found = measured(nothing, trial)
    assert found["hat_success"].value == 0 and found["smile_success"].value < 0.6
    assert found["hat_others_kept"].value == 1 and found["hat_monotone"].value == found["smile_monotone"].value == 0
    assert found["hat_error_ratio"].value == pytest.approx(1) and found["hat_outside_change"].value == 0


def test_there_and_back_is_set_against_the_change(trial):
    """A decoder that loses a tenth each time has lost .19 after two edits and .1 after one; what changes nothing has no such ratio."""
    found = measured(lambda x, own, name, value: 0.9 * x, trial)
    assert found["hat_cycle_error"].value == pytest.approx(1.9) and found["hat_cycle_error"].n == 50
    assert "hat_cycle_error" not in measured(nothing, trial)

    def stubborn(x, own, name, value):  # puts the hat on, and never takes it off again
        return torch.maximum(x, right(x, own, name, value)) if name == "hat" else x

    on = measured(stubborn, trial)["hat_cycle_error"].value
    assert on == pytest.approx(1)


def test_changing_both_is_seen(trial):
    found = measured(both, trial, truth=False)
    assert found["hat_success"].value == found["smile_success"].value == 1
    assert found["smile_others_kept"].value < 0.7 and "hat_error_ratio" not in found


def test_the_true_pictures_show_what_the_judge_leaves_to_be_reached(trial):
    """A judge that hears half of the smile: even the truth succeeds only where little was asked; a yes or no has no steps between."""
    sharp = attributes.ceiling(trial, KINDS, judge, Channels().truth)
    assert set(sharp) == {"hat_success", "hat_others_kept", "smile_success", "smile_others_kept", "smile_monotone"}
    assert all(figure.value == 1 for figure in sharp.values())
    dull = attributes.ceiling(trial, KINDS, lambda x: judge(x) * torch.tensor([1.0, 0.5]), Channels().truth)
    small = (trial.asked[:, 1] / 2 <= 0.15 + 1e-6).float().mean().item()
    assert dull["smile_success"].value == pytest.approx(small) and 0 < small < 1
    assert dull["hat_success"].value == dull["smile_monotone"].value == 1


def test_rank_correlation_against_scipy():
    rows = np.random.default_rng(0).integers(0, 4, (20, 7)).astype(float)
    wanted = [spearmanr(row, np.arange(7)).statistic for row in rows]
    assert attributes.rank_correlation(rows) == pytest.approx(wanted)
    assert attributes.rank_correlation(np.ones((1, 7))).tolist() == [0]
    assert attributes.rank_correlation([[1, 2, 4, 3, 5, 6, 7]])[0] >= attributes.MONOTONE  # one exchange of neighbours is forgiven
    assert attributes.rank_correlation([[1, 2, 5, 4, 3, 6, 7]])[0] < attributes.MONOTONE


def test_directions_are_differences_of_means():
    values, codes = Channels(200).values, torch.randn(200, 5, generator=torch.Generator().manual_seed(1))
    codes = codes + values[:, :1] * torch.arange(5) - 3 * values[:, 1:]
    found = attributes.directions(codes, values)
    has = values[:, 0] == 1
    torch.testing.assert_close(found[0], codes[has].mean(0) - codes[~has].mean(0), rtol=1e-4, atol=1e-4)
    slope = [np.polyfit(values[:, 1].numpy(), codes[:, d].numpy(), 1)[0] for d in range(5)]
    assert found[1].tolist() == pytest.approx(slope, abs=1e-3)


class Flat(torch.nn.Module):
    """Codes that are the picture itself, in two halves."""

    codes = (
        Code("common", "spatial", (3, 8, SIDE)),
        Code("factors", "vector", (3 * 8 * SIDE,)),
        Code("attributes", "label", (1,), "given"),
    )

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))

    def encode(self, x, domain=None):
        return Codes(common=self.one * x[:, :, :8], factors=x[:, :, 8:].flatten(1), attributes=torch.zeros(len(x), 1))

    def decode(self, codes, onto=None):
        return Output(image=torch.cat([codes["common"], codes["factors"].unflatten(1, (3, 8, SIDE))], 2))


def test_mean_differences_edit_any_model(trial):
    """Where pictures are linear in what is true of them, a step along the slopes of all encoded codes is the right edit."""
    known = Channels(400)
    known.values = torch.cartesian_prod(torch.tensor([0.0, 1.0]), torch.linspace(0, 1, 200))  # neither tells of the other
    edit = attributes.mean_difference(Flat(), known, ("hat", "smile"))
    x = to_float(trial.pictures)
    for name, value in (("hat", 1.0), ("smile", 0.25)):
        torch.testing.assert_close(edit(x, trial.values, name, value), right(x, trial.values, name, value), atol=0.01, rtol=0)
    assert not edit(x, trial.values, "hat", 0.0).requires_grad
    found = measured(edit, trial)
    assert found["hat_success"].value == found["smile_success"].value == found["hat_monotone"].value == 1
    with pytest.raises(UserError, match='no attribute "hatt"'):
        edit(x, trial.values, "hatt", 1.0)


def test_sheets_show_the_slider(trial):
    sheets = attributes.sliders(right, trial, KINDS)
    assert [caption.split(":")[0] for caption in sheets] == ["Slider hat", "Slider smile"]
    assert all(len(row) == 6 for row in sheets["Slider hat: the pictures, then hat from -0.5 to 1.5"].rows)


def test_names_of_attributes_are_found_in_the_table():
    assert find("glasses_others_kept") is MEASURES["NAME_others_kept"]
    assert find("outside_change") is MEASURES["outside_change"] and find("hat_outside_change") is MEASURES["NAME_outside_change"]
    names = ["reconstruction_error", "hat_success", "smile_success", "hat_monotone", "mask_iou"]
    assert ordered(names) == ["mask_iou", "hat_success", "smile_success", "hat_monotone", "reconstruction_error"]
    with pytest.raises(KeyError):
        find("hat_nonsense")


def test_a_judge_learns_yes_or_no_and_numbers():
    learned, held = Channels(300), Channels(200, seed=1)
    ask = judges.attribute_judge(learned, KINDS, steps=120)
    answer = ask(to_float(held.take("image", range(10))))
    assert answer.shape == (10, 2) and answer.min() >= 0 and answer.max() <= 1 and not answer.requires_grad
    assert min(judges.attribute_accuracy(ask, held, KINDS)) > 0.85
    other = judges.attribute_judge(learned, KINDS, seed=2, steps=120)
    assert not torch.equal(other(to_float(held.take("image", range(10)))), answer)
