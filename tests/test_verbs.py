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
from unweave.attributes import Attribute
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


class Twins(Linear):
    """Three channels: the face, the part of a, the part of b."""

    name = "twins"

    def __init__(self) -> None:
        super().__init__()
        shape = (1, SIZE, SIZE)
        parts = (Code("separate_a", "spatial", shape, domains=("a",)), Code("separate_b", "spatial", shape, domains=("b",)))
        self.codes = (Code("common", "spatial", shape), *parts)

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        codes = Codes(common=x[:, :1], separate_a=x[:, 1:2], separate_b=x[:, 2:])
        return codes if domain is None else codes.zero("separate_b" if domain == "a" else "separate_a")

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        wide = codes.broadcast()
        return Output(image=torch.cat([wide["common"], wide["separate_a"], wide["separate_b"]], 1))


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


def test_remove_again_goes_on_from_what_it_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    once = verbs.removed(Painter(), B)
    assert once.image is not None and once.mask is not None
    rest = verbs.removed(Painter(), once.image)
    assert rest.image is not None and rest.mask is not None and not torch.equal(rest.image, once.image)
    monkeypatch.setattr(Painter, "again", 1)
    twice = verbs.removed(Painter(), B)
    assert twice.image is not None and torch.equal(twice.image, rest.image)
    torch.testing.assert_close(twice.mask, 1 - (1 - once.mask) * (1 - rest.mask))


def test_segment_is_the_mask_of_the_pictures_own_codes_where_it_changes_them() -> None:
    b = torch.zeros(1, 2, SIZE, SIZE)
    b[:, 1] = -1.0  # as the background, which is -1 there: nothing would change
    b[:, 1, 1, 1:3] = 0.8
    assert torch.equal(Painter().segment(b), b[:, 1:].clamp(min=0))


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
    assert Painter().verbs == ("transfer", "remove", "segment", "interpolate")
    assert Sliders().verbs == ("interpolate", "slide", "set")
    assert Twins().verbs == ("transfer", "interpolate", "union", "intersection")
    assert {*Painter().verbs, *Sliders().verbs, *Twins().verbs} <= {*verbs.VERBS}
    assert Blind().verbs == ("interpolate",)
    assert Generator().verbs == ()


def faces(n: int, seed: int) -> Tensor:
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def channels(face: Tensor, part_a: Tensor | float, part_b: Tensor | float) -> Tensor:
    """One picture of these channels."""
    face = face[:, :1]
    shown = [p if isinstance(p, Tensor) else torch.full_like(face, p) for p in (part_a, part_b)]
    return torch.cat([face, *[p.expand_as(face) for p in shown]], 1)


def test_transfer_both_ways_takes_the_place_of_the_own_part() -> None:
    model, a, b = Twins(), faces(3, 0), faces(3, 1)
    assert torch.equal(model.transfer(a, onto=b, direction="a2b"), channels(b, a[:, 1:2], 0.0))
    assert torch.equal(model.transfer(b, onto=a, direction="b2a"), channels(a, 0.0, b[:, 2:]))
    assert torch.equal(model.transfer(b[:1], onto=a, amount=0.5, direction="b2a"), channels(a, 0.0, b[:1, 2:] / 2))


def test_a_direction_that_is_missing_or_wrong_is_named() -> None:
    a, b = faces(1, 0), faces(1, 1)
    with pytest.raises(UserError, match="a2b.*b2a"):
        Twins().transfer(b, onto=a)
    with pytest.raises(UserError, match='no direction "b2b"'):
        Twins().transfer(b, onto=a, direction="b2b")
    with pytest.raises(UserError, match="only direction is b2a"):
        Linear().transfer(B, onto=A, direction="a2b")
    assert torch.equal(Linear().transfer(B, onto=A, direction="b2a"), Linear().transfer(B, onto=A))


def test_union_shows_both_parts_and_intersection_none() -> None:
    model, a, b = Twins(), faces(3, 0), faces(1, 1)
    assert torch.equal(model.union(a, b), channels(a, a[:, 1:2], b[:, 2:]))
    assert torch.equal(model.union(a, b, onto=b), channels(b.expand_as(a), a[:, 1:2], b[:, 2:]))
    assert torch.equal(model.intersection(a), channels(a, 0.0, 0.0))


@pytest.mark.parametrize("code", ["separate_a", "separate_b"])
def test_interpolate_in_either_slot(code: str) -> None:
    first, second, base = faces(1, 0), faces(1, 1), faces(1, 2)
    walk = Twins().interpolate(first, second, code, steps=3, onto=base)
    channel = 1 if code == "separate_a" else 2
    expected = base.expand_as(walk).clone()
    expected[:, channel] = torch.stack([first[0, channel], (first[0, channel] + second[0, channel]) / 2, second[0, channel]])
    torch.testing.assert_close(walk, expected)


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


# -- attributes ----------------------------------------------------------------------------------------------------------------


class Sliders(Linear):
    """The picture's first channel is its code; five numbers of attributes are written into the second one's first row."""

    name = "sliders"

    def __init__(self) -> None:
        super().__init__()
        self.attributes = (Attribute("glasses"), Attribute("colour", 3), Attribute("smile", 0))
        self.codes = (self.codes[0], Code("attributes", "label", (5,), source="given"))

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        return Codes(common=x[:, :1], attributes=x[:, 1, 0, :5])

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        wide = codes.broadcast()
        second = torch.zeros_like(wide["common"])
        second[:, 0, 0, :5] = wide["attributes"]
        return Output(image=torch.cat([wide["common"], second], 1))


def read(made: Tensor) -> Tensor:
    return made[:, 1, 0, :5]


def test_set_changes_what_was_named_and_nothing_else() -> None:
    made = Sliders().set(A, glasses=1, smile=1.5)
    assert torch.equal(made[:, 0], A[:, 0])
    assert (read(made)[:, 0] == 1).all() and (read(made)[:, 4] == 1.5).all()
    assert torch.equal(read(made)[:, 1:4], read(A)[:, 1:4])
    assert torch.equal(made, Sliders().set(A, {"glasses": 1, "smile": 1.5}))


def test_a_choice_is_one_class_and_no_other() -> None:
    assert read(Sliders().set(A, colour=2))[:, 1:4].tolist() == [[0, 0, 1]] * 3
    for wrong in (3, -1, 0.5):
        with pytest.raises(UserError, match=f'"colour" is a choice: it takes a whole number from 0 to 2, not {wrong:g}'):
            Sliders().set(A, colour=wrong)


def test_slide_moves_one_attribute_of_one_picture() -> None:
    made = Sliders().slide(A[:1], "smile", [-1.0, 0.5, 2.0])
    assert read(made)[:, 4].tolist() == [-1, 0.5, 2] and torch.equal(made[:, 0], A[:1, 0].expand(3, -1, -1))
    assert torch.equal(read(made)[:, :4], read(A[:1])[:, :4].expand(3, -1))
    assert {"set", "slide"} <= set(Sliders().verbs) and not {"set", "slide"} & set(Linear().verbs)


def test_attributes_it_does_not_know_and_values_that_are_none() -> None:
    with pytest.raises(UserError, match='knows no attribute "smiel": did you mean "smile"'):
        Sliders().set(A, smiel=1)
    with pytest.raises(UserError, match='"smile" takes a number, not nan'):
        Sliders().slide(A[:1], "smile", [float("nan")])
    with pytest.raises(UserError, match="one picture and at least one value, not 3 and 1"):
        Sliders().slide(A, "smile", [1.0])
    with pytest.raises(UserError, match="one picture and at least one value, not 1 and 0"):
        Sliders().slide(A[:1], "smile", [])


class Boxes(Sliders):
    """Draws grey, with a square as bright as the smile, one for the glasses, and one for each colour; keeps the picture elsewhere."""

    redraws = False
    CORNERS: ClassVar = (0, 16, 32, 48, 64)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        wide = codes.broadcast()
        drawn = torch.zeros(len(wide["common"]), 2, 16, 80)
        for number, left in zip(wide["attributes"].T, self.CORNERS):
            drawn[:, :, 6:10, left + 6 : left + 10] = number.view(-1, 1, 1, 1)
        return Output(image=drawn)


def wide(n: int) -> Tensor:
    """Pictures of which Boxes reads glasses 0, the first colour and a smile of .5."""
    x = torch.randn(n, 2, 16, 80, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    x[:, 1, 0, :5] = torch.tensor([0.0, 1, 0, 0, 0.5])
    return x


def test_a_model_that_does_not_redraw_keeps_the_picture_where_the_attribute_does_not_show() -> None:
    x, model = wide(3), Boxes()
    made = verbs.altered(model, x, {"smile": 0.8})
    assert made.image is not None and made.mask is not None and made.mask.shape == (3, 1, 16, 80)
    assert torch.equal(made.image[..., :64], x[..., :64]) and (made.mask[..., :64] == 0).all()
    assert torch.allclose(made.image[..., 7:9, 71:73], torch.tensor(0.8)) and (made.mask[..., 7:9, 71:73] == 1).all()
    assert torch.equal(model.set(x, smile=0.8), made.image)
    both = verbs.altered(model, x, {"smile": 0.8, "glasses": 1})
    assert both.mask is not None and torch.equal(both.mask[..., 16:], made.mask[..., 16:]) and (both.mask[..., 7:9, 7:9] == 1).all()


def test_its_slider_moves_within_one_mask_without_a_jump() -> None:
    x, model = wide(1), Boxes()
    values = [-0.5, 0.5, 1.0]  # the second is what the picture has already
    made = verbs.slid(model, x, "smile", values)
    assert made.image is not None and made.mask is not None and torch.equal(made.mask, made.mask[:1].expand(3, -1, -1, -1))
    assert torch.allclose(made.image[:, 0, 8, 72], torch.tensor(values))
    assert torch.equal(made.image, torch.cat([model.set(x, smile=value) for value in values]))


class Late(Boxes):
    """Draws no glasses and half a smile, until it is told nearly all of them."""

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        told = codes["attributes"].clone()
        told[:, 0] = torch.where(told[:, 0] < 0.9, 0.0, told[:, 0])
        told[:, 4] = torch.where(told[:, 4] < 0.9, 0.5, told[:, 4])
        return super().decode(codes | Codes(attributes=told))


def test_between_no_and_yes_half_of_the_drawing_is_a_fade_and_beyond_all() -> None:
    x, model, steps = wide(1), Late(), [-0.5, 0.0, 0.25, 0.5, 0.95, 1.0, 2.0]
    glasses, smile = model.slide(x, "glasses", steps)[:, 0, 8, 8], model.slide(x, "smile", [0.6, 1.0])[:, 0, 8, 72]
    assert torch.allclose(glasses, torch.tensor([0.0, 0.0, 0.125, 0.25, 0.95, 1.0, 1.0])), "none below no; no picture is whiter than white"
    assert torch.allclose(smile, torch.tensor([0.5, 1.0])), "a number is drawn as it is told"
    assert model.set(x, smile=-0.5)[0, 0, 8, 72] == 0.25, "the fade from a half to 1 goes on"
    assert torch.equal(model.slide(x, "glasses", steps), torch.cat([model.set(x, glasses=step) for step in steps]))
    model.redraws = True
    assert model.set(x, glasses=0.5)[0, 0, 8, 8] == 0


def test_of_a_choice_its_old_and_its_new_class_are_drawn() -> None:
    x, model = wide(1), Boxes()
    made = verbs.altered(model, x, {"colour": 2})
    assert made.mask is not None and (made.mask[..., 7:9, [23, 24, 55, 56]] == 1).all()
    assert all((made.mask[..., left : left + 16] == 0).all() for left in (0, 32, 64))
    assert torch.equal(model.set(x, colour=0), x), "nothing changes"
    assert torch.equal(model.set(x), x), "nothing is asked"


class Numbers(Linear):
    """Two numbers, the brightness of each channel."""

    name = "numbers"

    def __init__(self) -> None:
        super().__init__()
        self.codes = (Code("factors", "vector", (2,)),)

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        return Codes(factors=x.mean((2, 3)))

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        return Output(image=codes["factors"][:, :, None, None].expand(-1, 2, SIZE, SIZE))


def test_a_sweep_moves_one_number_over_what_was_seen() -> None:
    levels = torch.tensor([[0.5, 0.3], [0.0, 0.4], [1.0, 0.2]])
    sheet = Numbers().sweep(levels[:, :, None, None].expand(-1, 2, SIZE, SIZE), steps=3)
    assert list(sheet.left) == ["factors 0", "factors 1"]  # the one that varies most first
    cells = torch.stack([torch.stack([cell[:, 0, 0] for cell in row if cell is not None]) for row in sheet.rows])
    torch.testing.assert_close(cells[0], torch.tensor([[0.0, 0.3], [0.5, 0.3], [1.0, 0.3]]))
    torch.testing.assert_close(cells[1], torch.tensor([[0.5, 0.2], [0.5, 0.3], [0.5, 0.4]]))


def test_a_sweep_that_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="no code of single numbers"):
        Linear().sweep(A)
    with pytest.raises(UserError, match='"factor" is no code .* did you mean "factors"'):
        Numbers().sweep(A, code="factor")
    with pytest.raises(UserError, match="two pictures or more"):
        Numbers().sweep(A[:1])
