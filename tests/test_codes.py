"""Codes: declarations, and the arithmetic that edits them."""

from __future__ import annotations

import pytest
import torch

from unweave.codes import NAMES, Code, Codes
from unweave.errors import UserError


def codes(n: int = 3, seed: int = 0) -> Codes:
    generator = torch.Generator().manual_seed(seed)
    return Codes(common=torch.randn(n, 4, 2, 2, generator=generator), separate=torch.randn(n, 5, generator=generator))


def same(first: Codes, second: Codes) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


# -- what codes are ------------------------------------------------------------------------------------------------------------


def test_a_declaration_takes_the_names_of_the_field_only() -> None:
    assert all(Code(name, "vector", (3,)).name == name for name in NAMES)
    with pytest.raises(ValueError, match="'glasses'.*common, separate"):
        Code("glasses", "vector", (3,))


def test_codes_are_a_mapping_in_order() -> None:
    c = codes()
    assert list(c) == ["common", "separate"] and len(c) == 2 and c.batch == 3
    assert "common" in c and "style" not in c
    assert repr(c) == "Codes(common: (3, 4, 2, 2), separate: (3, 5))"


def test_batches_must_agree_unless_one_is_a_batch_of_one() -> None:
    with pytest.raises(ValueError, match="common: 3, separate: 2"):
        Codes(common=torch.zeros(3, 1), separate=torch.zeros(2, 1))
    assert Codes(common=torch.zeros(3, 1), separate=torch.zeros(1, 1)).batch == 3
    assert Codes().batch == 0


def test_an_unknown_code_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        codes()["seperate"]
    assert str(caught.value) == 'There is no code "seperate" here: did you mean "separate"? (there is: common, separate).'


@pytest.mark.parametrize("edit", [lambda c: c.only("z"), lambda c: c.zero("z"), lambda c: c.scale(2, "z"), lambda c: c.mix(c, 0.5, "z")])
def test_edits_of_an_unknown_code_are_refused(edit) -> None:  # noqa: ANN001
    with pytest.raises(UserError, match='no code "z"'):
        edit(codes())


# -- edits ---------------------------------------------------------------------------------------------------------------------


def test_only_and_or() -> None:
    mine, hers = codes(seed=1), codes(seed=2)
    assert list(mine.only("separate")) == ["separate"]
    both = mine | hers.only("separate")
    assert torch.equal(both["common"], mine["common"]) and torch.equal(both["separate"], hers["separate"])
    assert same(hers.only("separate") | mine, mine.only("separate") | mine.only("common"))


def test_zero_and_scale_touch_the_named_codes_only() -> None:
    c = codes()
    assert c.zero("separate")["separate"].count_nonzero() == 0
    assert torch.equal(c.scale(2.5, "separate")["separate"], 2.5 * c["separate"])
    assert torch.equal(c.zero("separate")["common"], c["common"]) and torch.equal(c.scale(2.5, "separate")["common"], c["common"])
    assert c.zero("common", "separate")["common"].count_nonzero() == 0
    assert same(c.zero(), c) and same(c.scale(3.0), c)


def test_edits_leave_the_original_alone() -> None:
    c, before = codes(), codes()
    c.zero("separate"), c.scale(0, "common"), c.mix(codes(seed=1), 1, "common"), c | codes(seed=1)  # noqa: B018
    c.take(slice(0, 1)).traverse("separate", 0, torch.tensor([9.0]))
    assert same(c, before)


def test_mix_is_a_straight_line_with_exact_ends() -> None:
    here, there = codes(seed=1), codes(seed=2)
    assert torch.equal(here.mix(there, 0, "separate")["separate"], here["separate"])
    assert torch.equal(here.mix(there, 1, "separate")["separate"], there["separate"])
    quarter = 0.75 * here["separate"] + 0.25 * there["separate"]
    torch.testing.assert_close(here.mix(there, 0.25, "separate")["separate"], quarter)
    assert torch.equal(here.mix(there, 0.25, "separate")["common"], here["common"])


def test_mix_with_a_batch_of_one_broadcasts_both_ways() -> None:
    many, one = codes(3).only("separate"), codes(1, seed=1).only("separate")
    half = (many["separate"] + one["separate"]) / 2
    torch.testing.assert_close(many.mix(one, 0.5, "separate")["separate"], half)
    torch.testing.assert_close(one.mix(many, 0.5, "separate")["separate"], half)


def test_mean_makes_one_class_of_many_examples() -> None:
    c = codes()
    assert c.mean().batch == 1
    torch.testing.assert_close(c.mean()["separate"][0], (c["separate"][0] + c["separate"][1] + c["separate"][2]) / 3)


def test_traverse_sets_one_number() -> None:
    c = codes(1)
    swept = c.traverse("separate", 3, torch.tensor([-1.0, 0.0, 2.0]))
    assert swept["separate"].shape == (3, 5) and swept["separate"][:, 3].tolist() == [-1, 0, 2]
    others = [0, 1, 2, 4]
    assert torch.equal(swept["separate"][:, others], c["separate"][:, others].expand(3, 4))
    assert torch.equal(swept["common"], c["common"])
    spatial = c.traverse("common", 6, torch.tensor([7.0, 8.0]))["common"]  # counted through channels, rows, columns
    assert spatial[:, 1, 1, 0].tolist() == [7, 8]
    with pytest.raises(ValueError, match="one picture, not from 3"):
        codes(3).traverse("separate", 0, torch.zeros(2))


def test_take_keeps_a_batch_of_one() -> None:
    c = codes(3) | codes(1, seed=1).only("separate")
    part = c.take(torch.tensor([2, 0]))
    assert torch.equal(part["common"], c["common"][[2, 0]]) and torch.equal(part["separate"], c["separate"])
    assert codes(1).take(slice(1, None)).batch == 0


def test_broadcast_and_stack() -> None:
    c = codes(3) | codes(1, seed=1).only("separate")
    wide = c.broadcast()
    assert wide["separate"].shape == (3, 5) and torch.equal(wide["separate"][2], c["separate"][0])
    assert wide["separate"].data_ptr() == c["separate"].data_ptr()  # no copy
    piled = Codes.stack(c, codes(2, seed=2))
    assert piled.batch == 5 and torch.equal(piled["separate"][:3], wide["separate"])
    assert same(piled.take(slice(3, 5)), codes(2, seed=2))


def test_detach_cuts_history() -> None:
    c = Codes(z=torch.ones(2, 3, requires_grad=True) * 2)
    assert c["z"].requires_grad and not c.detach()["z"].requires_grad
    assert torch.equal(c.detach()["z"], c["z"])
