"""Verbs, on models whose codes are exact by construction.

A picture here has two channels: the face, and the part (zero where there is none).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from unweave import verbs
from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.method import Method

SIZE = 8


@dataclass(frozen=True)
class Plain:
    size: int = SIZE


class Linear(Method):
    """common is the first channel, separate the second; the decoder puts them side by side again."""

    name = "linear"
    Config: ClassVar[type] = Plain
    PRESETS: ClassVar[dict[str, Any]] = {"paper": Plain()}

    def __init__(self) -> None:
        super().__init__(Plain())
        shape = (1, SIZE, SIZE)
        self.codes = (Code("common", "spatial", shape), Code("separate", "spatial", shape, domains=("b",)))
        self.needs, self.groups, self.phases = {}, {}, ()

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        codes = Codes(common=x[:, :1], separate=x[:, 1:])
        return codes.zero("separate") if domain == "a" else codes

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        wide = codes.broadcast()
        return Output(image=torch.cat([wide["common"], wide["separate"]], 1))


class Painter(Linear):
    """The part is the mask, painted white on `onto`; the background is the face with -1 in the part's channel."""

    name = "painter"
    masks = True

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        wide = codes.broadcast()
        mask, face = wide["separate"], wide["common"]
        clean = torch.cat([face, -torch.ones_like(face)], 1)
        ground = clean if onto is None else onto
        return Output(image=mask + (1 - mask) * ground, mask=mask, background=clean)


class Blind(Linear):
    """One code alone: nothing to transfer."""

    name = "blind"

    def __init__(self) -> None:
        super().__init__()
        self.codes = self.codes[:1]


class Generator(Linear):
    name = "generator"
    encodes = False


class Silent(Linear):
    """Decodes to no picture."""

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        return Output()


def pictures(n: int, seed: int) -> Tensor:
    """Values in [0, 1], so that the second channel can be a mask."""
    return torch.rand(n, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


A, B = pictures(3, 0), pictures(3, 1)


def test_transfer_puts_the_donors_part_over_the_targets_own_codes() -> None:
    made = Linear().transfer(B, onto=A)
    assert torch.equal(made[:, 0], A[:, 0]) and torch.equal(made[:, 1], B[:, 1])


def test_pictures_are_encoded_as_members_of_their_sets() -> None:
    asked = []

    class Listening(Linear):
        def encode(self, x: Tensor, domain: str | None = None) -> Codes:
            asked.append((domain, x))
            return super().encode(x, domain)

    Listening().transfer(B, onto=A)
    Listening().remove(B)
    assert [(domain, x is B) for domain, x in asked] == [("b", True), ("a", False), ("b", True)]


def test_transfer_scales_the_parts_code() -> None:
    assert torch.equal(Linear().transfer(B, onto=A, amount=0.5)[:, 1], 0.5 * B[:, 1])
    assert torch.equal(Linear().transfer(B, onto=A, amount=0.0)[:, 1], torch.zeros(3, SIZE, SIZE))


def test_one_donor_goes_with_many_targets_and_many_donors_with_one() -> None:
    one = Linear().transfer(B[:1], onto=A)
    assert torch.equal(one[:, 0], A[:, 0]) and torch.equal(one[:, 1], B[:1, 1].expand(3, SIZE, SIZE))
    many = Linear().transfer(B, onto=A[:1])
    assert torch.equal(many[:, 0], A[:1, 0].expand(3, SIZE, SIZE)) and torch.equal(many[:, 1], B[:, 1])


def test_a_mask_paints_on_the_target() -> None:
    out = verbs.painted(Painter(), B, A)
    mask = B[:, 1:]
    assert torch.equal(out.mask, mask)
    assert torch.equal(out.image, mask + (1 - mask) * A)


def test_remove_sets_the_part_to_exact_zero() -> None:
    made = Linear().remove(B)
    assert torch.equal(made[:, 0], B[:, 0]) and made[:, 1].count_nonzero() == 0


def test_remove_with_a_mask_keeps_the_rest_to_the_pixel() -> None:
    b = B.clone()
    b[:, 1] = (b[:, 1] > 0.5).float()  # a mask that is 0 or 1
    made, mask = Painter().remove(b), b[:, 1:].expand_as(b).bool()
    assert torch.equal(made[~mask], b[~mask])
    clean = torch.cat([b[:, :1], -torch.ones(3, 1, SIZE, SIZE)], 1)
    assert torch.equal(made[mask], clean[mask])
    soft = Painter().remove(B)
    clean = torch.cat([B[:, :1], -torch.ones(3, 1, SIZE, SIZE)], 1)
    torch.testing.assert_close(soft, B[:, 1:] * clean + (1 - B[:, 1:]) * B)


def test_segment_is_the_mask_of_the_pictures_own_codes() -> None:
    assert torch.equal(Painter().segment(B), B[:, 1:])


def test_interpolate_walks_one_code_and_leaves_the_others() -> None:
    first, second = A[:1], B[:1]
    walk = Linear().interpolate(first, second, "separate", steps=5)
    assert torch.equal(walk[:, 0], first[:, 0].expand(5, SIZE, SIZE))
    assert torch.equal(walk[0, 1], first[0, 1]) and torch.equal(walk[-1, 1], second[0, 1])
    torch.testing.assert_close(walk[1, 1], 0.75 * first[0, 1] + 0.25 * second[0, 1])


def test_interpolate_onto_a_third_picture() -> None:
    onto = A[1:2]
    walk = Linear().interpolate(A[:1], B[:1], "separate", steps=3, onto=onto)
    assert torch.equal(walk[:, 0], onto[:, 0].expand(3, SIZE, SIZE)) and torch.equal(walk[0, 1], A[0, 1])


def test_interpolate_takes_no_fewer_than_two_steps_and_no_unknown_code() -> None:
    with pytest.raises(UserError, match="at least 2 steps, not 1"):
        Linear().interpolate(A[:1], B[:1], "separate", steps=1)
    with pytest.raises(UserError, match='no code "style"'):
        Linear().interpolate(A[:1], B[:1], "style")


def test_what_is_offered_follows_from_the_codes() -> None:
    assert Linear().verbs == ("transfer", "remove", "interpolate")
    assert Painter().verbs == verbs.VERBS
    assert Blind().verbs == ("interpolate",)
    assert Generator().verbs == ()


def test_a_verb_that_is_not_offered_says_what_is() -> None:
    with pytest.raises(UserError, match=r"^A linear model cannot segment: it offers transfer, remove, interpolate\.$"):
        Linear().segment(B)
    with pytest.raises(UserError, match="blind model cannot transfer: it offers interpolate"):
        Blind().transfer(B, onto=A)
    with pytest.raises(UserError, match="blind model cannot remove"):
        Blind().remove(B)
    with pytest.raises(UserError, match="generator model cannot interpolate: it offers no edits"):
        Generator().interpolate(A[:1], B[:1], "common")


def test_a_model_without_pictures_is_refused() -> None:
    with pytest.raises(UserError, match="does not draw pictures"):
        Silent().transfer(B, onto=A)


def test_edits_keep_no_history() -> None:
    assert not Linear().transfer(B.clone().requires_grad_(), onto=A).requires_grad
    assert not Painter().remove(B.clone().requires_grad_()).requires_grad
