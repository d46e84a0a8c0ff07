"""Mask: its own losses and choices; what every method must do is in contract/, the published step in test_published_step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from contract import tiny
from unweave.errors import UserError
from unweave.method import Progress, Terms
from unweave.methods.mask import PRESETS, Mask, MaskConfig
from unweave.nn.disturb import disturbed

TINY = replace(PRESETS["default"], size=32, width=8, separate=8)


def progress() -> Progress:
    return Progress(0, 0, 1.0, torch.Generator().manual_seed(0))


def built(**settings: float) -> Mask:
    torch.manual_seed(0)
    return Mask(replace(TINY, **settings))


def learners(model: Mask, loss: torch.Tensor) -> set[str]:
    """The networks that learn from a loss."""
    model.zero_grad()
    loss.backward()
    return {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_the_adversary_teaches_what_draws_the_part_and_nothing_else() -> None:
    model = built(adversary=0.2)
    torch.nn.init.normal_(model.painter.last[0].weight, std=0.1)  # it begins at 0
    batch = tiny.batch(model)
    terms = model.transfer_loss(batch, progress())
    assert terms.weights["adversary"] == 0.2
    assert learners(model, terms.values["adversary"]) == {"separate", "painter", "viewer"}
    assert "viewer" not in model.groups["autoencoder"].networks and "viewer" in model.groups["critic"].networks
    assert learners(model, model.critic_loss(batch, progress()).values["pictures"]) == {"viewer"}


def test_the_adversary_sees_parts_on_other_pictures() -> None:
    """With masks that are open everywhere, what is judged is D2's; shut, it is another picture of b, bared, or one of a."""
    model = built(adversary=0.2)
    batch, seen = tiny.batch(model), {}
    for shut in (30.0, -30.0):
        torch.nn.init.constant_(model.painter.last[0].bias, shut)
        model.transfer_loss(batch, progress())
        seen[shut] = batch["worn"].detach()
    with torch.no_grad():
        half = len(batch["a"]) // 2
        bare = torch.cat([model.draw(model.common(batch["b"])).roll(1, 0)[half:], model.draw(model.common(batch["a"]))[:half]])
    torch.testing.assert_close(seen[-30.0], bare)
    assert (seen[30.0] - bare).abs().max() > 1


def test_without_an_adversary_no_picture_is_judged() -> None:
    model = built()
    batch = tiny.batch(model)
    assert "adversary" not in model.transfer_loss(batch, progress()).values and "worn" not in batch
    assert "pictures" not in model.critic_loss(batch, progress()).values


def test_pictures_of_b_are_sure_to_have_something_to_drop() -> None:
    plain, sure = built(), built(sure=3.0)
    sure.load_state_dict(plain.state_dict())
    x = tiny.batch(plain)["b"]
    with torch.no_grad():
        for domain in (None, "a"):
            torch.testing.assert_close(sure.encode(x, domain)["common"], plain.encode(x, domain)["common"])
        common, codes = plain.common.look(x, sure=3.0)[0], sure.encode(x, "b")
        torch.testing.assert_close(codes["common"], common)
        assert not torch.allclose(common, plain.encode(x, "b")["common"])
        torch.testing.assert_close(sure.remove(x), sure.decode(codes, onto=x).mask * (sure.draw(common).clamp(-1, 1) - x) + x)


def test_how_often_it_removes_can_be_changed_in_a_trained_model() -> None:
    model = built()
    b = tiny.batch(model)["b"]
    thrice = model.remove(model.remove(model.remove(b)))
    assert not torch.equal(thrice, model.remove(b))
    model.config = replace(model.config, again=2)
    assert torch.equal(model.remove(b), thrice)


def test_something_is_to_be_dropped_of_b_alone() -> None:
    """Whatever is added to the logits of b: only what E_c itself says counts."""
    plain, sure = (built(present=0.1, sure=much) for much in (0.0, 3.0))
    told = [model.transfer_loss(tiny.batch(model), progress()) for model in (plain, sure)]
    assert told[0].values["present"].item() == pytest.approx(told[1].values["present"].item(), rel=1e-4)
    assert told[0].weights["present"] == 0.1 and learners(plain, told[0].values["present"]) == {"common"}


def test_what_lies_behind_is_learned_where_something_is_laid_on() -> None:
    model = built()
    batch = tiny.batch(model)
    soiled, covered, behind = disturbed(batch["a"], batch["b"], torch.Generator().manual_seed(0), 0.5)
    terms = model.seen((soiled, covered, behind))
    instead = model.common.decide(soiled)[1]
    share = model.common.decide(soiled)[0].sigmoid()
    bare = soiled + torch.maximum(share, covered) * (instead - soiled)
    expected = ((bare - behind).abs().sum(1, keepdim=True) * covered).sum() / (3 * covered.sum() + 1)
    torch.testing.assert_close(terms.values["instead"], expected)
    drawn = model.draw(F.pixel_unshuffle(bare, 4))
    expected = ((drawn - behind).abs().sum(1, keepdim=True) * covered).sum() / (3 * covered.sum() + 1)
    torch.testing.assert_close(terms.values["see_through"], expected)
    assert terms.weights["instead"] == terms.weights["see_through"] == pytest.approx(1.7)


@pytest.mark.parametrize(("worn", "others"), [(0.0, 4), (0.5, 2), (0.75, 1), (1.0, 1)])
def test_what_share_of_what_it_sees_through_wears_a_part(worn: float, others: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, heard = built(worn=worn), []
    monkeypatch.setattr(Mask, "seen", lambda self, *parts: heard.extend(parts) or Terms())
    batch = {name: torch.rand(4, 3, 32, 32) * 2 - 1 for name in "ab"}
    torch.nn.init.constant_(model.painter.last[0].bias, 30.0)  # masks that are open everywhere
    model.transfer_loss(batch, progress())
    (soiled, _, _), (x, covered, behind) = heard
    assert (len(soiled), len(x)) == (others, 4 - others)
    torch.testing.assert_close(behind, batch["a"][others:])
    if len(x):
        assert covered.max() > 0.5 and (x - behind).abs().mean() > 0.1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size": 63}, "multiple of 16 from 32 on .* not 63"),
        ({"size": 32, "published": True}, "64 or 128 pixels, not 32"),
        ({"blur": 5}, "divides the side of 64 pixels .* not 5"),
        ({"blur": -4}, "not -4"),
        ({"worn": 1.5}, '"worn" of mask is a share, from 0 to 1, not 1.5'),
        ({"alone": -0.1}, '"alone" of mask'),
    ],
)
def test_what_it_cannot_draw_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        MaskConfig(**settings)
