"""Difference: its own losses and choices; what every method must do is in contract/."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract import tiny
from unweave.errors import UserError
from unweave.method import Progress
from unweave.methods.difference import PRESETS, Difference, DifferenceConfig
from unweave.nn.disturb import lent


def progress(fraction: float = 1.0) -> Progress:
    return Progress(0, 0, fraction, torch.Generator().manual_seed(0))


def test_the_published_networks() -> None:
    """At 128 px the codes share 512 channels: 462 | 25 | 25."""
    with torch.device("meta"):
        model = Difference(PRESETS["paper"])
    assert [code.shape for code in model.codes] == [(462, 2, 2), (25, 2, 2), (25, 2, 2)]
    assert [m.out_channels for m in model.common.modules() if isinstance(m, nn.Conv2d)] == [32, 64, 128, 256, 462, 462]
    assert model.decoder.body[0][0].in_channels == 512
    with pytest.raises(UserError, match="32, 64, 128 or 256"):
        DifferenceConfig(size=48, published=True)
    with pytest.raises(UserError, match='"again" of difference says how often E_c looks once more, 0 or more, not -1'):
        DifferenceConfig(again=-1)


@pytest.mark.parametrize("case", ["difference", "difference:paper"])
def test_the_zero_loss_can_be_reached(case: str) -> None:
    """No norm stands at the end of the separate encoders: one step along the gradient of the zero loss alone makes them smaller at once."""
    model = tiny.build(case)
    x = tiny.batch(model)["a"]
    x = x if case.endswith("paper") else torch.cat([x, x[:, :1]], 1)  # the default reads a mask beside the picture
    last = [m for m in model.separate_b.modules() if isinstance(m, (nn.Conv2d, nn.Linear))][-1]
    before = model.separate_b(x).abs().mean()
    with torch.no_grad():
        last.weight.mul_(0.01)
        assert last.bias is not None
        last.bias.mul_(0.01)
        torch.testing.assert_close(model.separate_b(x).abs().mean(), before * 0.01)


def entropy(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def test_the_papers_loss() -> None:
    """L1 reconstructions with zeros in the foreign slot, both zero losses, .001 * (both codes towards the label of b)."""
    model = tiny.build("difference:paper").eval()
    batch = tiny.batch(model)
    a, b = batch["a"], batch["b"]
    terms = model.published_loss(batch, progress())
    common_a, common_b = model.common(a), model.common(b)
    part_a, part_b = model.separate_a(a), model.separate_b(b)
    none = torch.zeros_like(part_a)
    drawn_a = model.decoder(torch.cat([common_a, part_a, none], 1)).tanh()
    drawn_b = model.decoder(torch.cat([common_b, none, part_b], 1)).tanh()
    expected = (drawn_a - a).abs().mean() + (drawn_b - b).abs().mean()
    expected = expected + model.separate_a(b).abs().mean() + model.separate_b(a).abs().mean()
    expected = expected + 0.001 * (entropy(model.critic(common_a), 1) + entropy(model.critic(common_b), 1)) / 2
    torch.testing.assert_close(terms.total, expected)
    assert list(terms.values) == ["reconstruct_a", "zero_a", "reconstruct_b", "zero_b", "confusion"]


def test_the_zero_loss_of_the_default_knows_no_scale() -> None:
    """To say everything ten times as softly changes nothing (above a floor)."""
    model = tiny.build("difference").eval()
    with torch.no_grad():
        for part in (model.separate_a, model.separate_b):
            part.head.weight.mul_(100)
            part.head.bias.mul_(100)
        loud = model.difference_loss(tiny.batch(model), progress()).values
        for part in (model.separate_a, model.separate_b):
            part.head.weight.mul_(0.1)
            part.head.bias.mul_(0.1)
        soft = model.difference_loss(tiny.batch(model), progress()).values
    for name in ("zero_a", "zero_b"):
        torch.testing.assert_close(loud[name], soft[name])


def test_edits_are_sums_of_the_three_codes() -> None:
    model = tiny.build("difference").eval()
    batch = tiny.batch(model)
    a, b = 0.6 * batch["a"], 0.6 * batch["b"]  # so that nothing is clamped
    with torch.no_grad():
        codes_a, codes_b = model.encode(a, "a"), model.encode(b, "b")
        common_a, common_b, part_a, part_b = codes_a["common"], codes_b["common"], codes_a["separate_a"], codes_b["separate_b"]
        any_b = model.encode(b)["common"]  # where the set is not said
        none = torch.zeros_like(part_a)
        torch.testing.assert_close(model.union(a, b), model.draw(common_a, part_a, part_b))
        for domain, common in ((None, any_b), ("b", common_b)):
            torch.testing.assert_close(model.union(a, b, onto=b, domain=domain), model.draw(common, part_a, part_b))
            torch.testing.assert_close(model.intersection(b, domain), model.draw(common, none, none))
        torch.testing.assert_close(model.transfer(a, onto=b, direction="a2b"), model.draw(common_b, part_a, none))
        torch.testing.assert_close(model.transfer(b, onto=a, direction="b2a"), model.draw(common_a, none, part_b))


def test_both_parts_are_what_each_adds() -> None:
    model = tiny.build("difference").eval()
    common, part_a, part_b = model.encode(tiny.batch(model)["a"]).values()
    none = torch.zeros_like(part_a)
    with torch.no_grad():
        bare, with_a, with_b = (model.draw_one(common, *parts) for parts in ((none, none), (part_a, none), (none, part_b)))
        torch.testing.assert_close(model.draw(common, part_a, part_b) - bare, (with_a - bare) + (with_b - bare), atol=1e-5, rtol=0)
        torch.testing.assert_close(model.draw(common, part_a, none), with_a, atol=1e-5, rtol=0)


def test_what_is_shared_has_lost_both_parts() -> None:
    """E_c takes off a's part and then b's; of a picture known to be from one set only its own. Both times it says what it drops of each."""

    class Painter(nn.Module):
        """Makes one channel 1, and drops nothing but where the red is low: of a picture that is bare already it says less."""

        def __init__(self, channel: int):
            super().__init__()
            self.channel = channel

        def look(self, x: Tensor, steady: bool = False, sure: float = 0.0, again: int = 0) -> tuple[Tensor, Tensor]:
            made = x.clone()
            made[:, self.channel] = 1
            return F.pixel_unshuffle(made, 4), self.decide(x)[0] + sure

        def decide(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x[:, :1] * 0 + self.channel, x

    model = Difference(replace(tiny.build("difference").config, sure=0.5)).eval()
    model.common = nn.ModuleDict({"a": Painter(0), "b": Painter(1)})
    x = torch.full((2, 3, 32, 32), -0.5)
    for domain, channels, said in ((None, {0, 1}, (0.0, 1.0)), ("a", {0}, (0.5, 1.0)), ("b", {1}, (0.0, 1.5))):
        common, *drops = model.strip(x, domain)
        kept = F.pixel_shuffle(common, 4)
        assert {i for i in range(3) if kept[:, i].eq(1).all()} == channels and kept[:, 2].eq(-0.5).all()
        assert tuple(drop.unique().item() for drop in drops) == said


def test_edits_look_again_at_what_was_left() -> None:
    """Of a picture whose set is known, and in edits alone: what is learned does not change."""
    model = tiny.build("difference").eval()
    batch = tiny.batch(model)
    loss = model.difference_loss(dict(batch), progress()).total
    with torch.no_grad():
        once, any_b = model.encode(batch["b"], "b"), model.encode(batch["b"])
        left, twice = once["common"], []
        for again in (1, 2):
            model.config = replace(model.config, again=again)
            left = model.common["b"].look(F.pixel_shuffle(left, 4))[0]
            twice.append(model.encode(batch["b"], "b"))
            torch.testing.assert_close(twice[-1]["common"], left)
            torch.testing.assert_close(twice[-1]["separate_b"], once["separate_b"])
        assert (twice[0]["common"] - once["common"]).abs().max() > 1e-4
        torch.testing.assert_close(model.encode(batch["b"])["common"], any_b["common"])
    torch.testing.assert_close(model.difference_loss(dict(batch), progress()).total, loss)


def test_pieces_of_the_other_set_do_not_belong() -> None:
    """Set a is dark, set b bright: with pieces of b in it, what lies behind a is dark, and what does not belong is said of these alone."""
    model = Difference(replace(tiny.build("difference").config, grafted=1.0))
    batch = {"a": torch.full((8, 3, 32, 32), -0.5), "b": torch.full((8, 3, 32, 32), 0.5)}
    for name, own in batch.items():
        soiled, covered, behind = model.soiled(batch, name, progress())
        assert torch.equal(behind, own) and covered[:4].amax() > 0.5 and covered[4:].amax() == 0
        changed = (soiled != own).any(1, keepdim=True)
        assert changed.any() and (covered[changed] > 0).all()
    assert len(model.soiled(batch, "b", progress(), slice(3))[0]) == 3


def test_where_a_picture_shows_its_own_part_every_second_shows_the_other_sets() -> None:
    """A piece of b there would teach that what b shows in place of a's part does not belong: none is put there, and half have it as own."""
    model = Difference(replace(tiny.build("difference").config, grafted=1.0))
    noise = torch.rand(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(1)) - 0.5
    batch = {"a": noise[0], "b": noise[1]}
    nn.init.constant_(model.common["a"].last[-1].bias, 9.0)  # all of a is its own part
    soiled, covered, behind = model.soiled(batch, "a", progress())
    assert torch.equal(soiled, behind) and not covered.any()
    assert torch.equal(soiled[::2], batch["a"][::2])
    bare, _ = model.bared(batch["a"], "a")
    theirs, _ = model.bared(batch["b"].roll(1, 0), "b")
    assert torch.equal(soiled, lent(batch["a"], theirs, torch.ones(8, 1, 32, 32), bare))


@pytest.mark.parametrize("loss", ["see_loss", "difference_loss"])
def test_with_pieces_all_terms_are_numbers(loss: str) -> None:
    model = Difference(replace(tiny.build("difference").config, grafted=1.0))
    assert all(value.isfinite() for value in getattr(model, loss)(tiny.batch(model), progress()).values.values())


def test_what_moves_what() -> None:
    """The errors of both sets move the parts' encoders and the decoder; E_c from the critic, `idle` and what is stuck on pictures."""
    model = tiny.build("difference")
    nn.init.normal_(model.decoder.last[0].weight)  # a new decoder's last layer is zero, and lets nothing through
    terms = model.difference_loss(tiny.batch(model), progress())

    def moved(name: str) -> set[str]:
        model.zero_grad()
        terms.values[name].backward(retain_graph=True)
        networks = ("common", "separate_a", "separate_b", "decoder")
        return {n for n in networks if any(p.grad is not None and p.grad.any() for p in getattr(model, n).parameters())}

    assert moved("reconstruct") == moved("whole") == {"separate_a", "separate_b", "decoder"}
    assert moved("neither") == {"decoder"} and moved("zero_a") == {"separate_a"} and moved("zero_b") == {"separate_b"}
    assert moved("confusion") == moved("see_through") == moved("find") == moved("keep") == {"common"}
