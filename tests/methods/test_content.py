"""Content: its own losses and choices; what every method must do is in contract/."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract import tiny
from unweave.errors import UserError
from unweave.method import Progress
from unweave.methods.content import PRESETS, Content, ContentConfig
from unweave.nn import two_sets


def progress(fraction: float = 1.0) -> Progress:
    return Progress(0, 0, fraction, torch.Generator().manual_seed(0))


def convolutions(network: nn.Module) -> list[tuple[int, int]]:
    """(inputs, outputs) of each."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [(m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, kinds)]


def test_the_published_networks() -> None:
    """At 128 px: E_c 3-32-64-128-256-487-487, E_s 3-32-64-128-128-128-25, decoder 512-512-256-128-64-32-3, InstanceNorm without affine."""
    with torch.device("meta"):
        model = Content(PRESETS["paper"])
    widths = (3, 32, 64, 128, 256, 487, 487)
    assert convolutions(model.common) == list(zip(widths, widths[1:]))
    widths = (3, 32, 64, 128, 128, 128, 25)
    assert convolutions(model.separate) == list(zip(widths, widths[1:]))
    widths = (512, 512, 256, 128, 64, 32, 3)
    assert convolutions(model.decoder) == list(zip(widths, widths[1:]))
    norms = [m for m in model.modules() if isinstance(m, nn.GroupNorm) and m.num_groups == m.num_channels]
    assert len(norms) == 5 + 5 + 5 and not any(m.affine for m in norms)
    assert any(isinstance(m, nn.ReLU) for m in model.decoder.modules())
    assert [code.shape for code in model.codes] == [(487, 2, 2), (25, 2, 2)]


@pytest.mark.parametrize("size", two_sets.SIZES)
def test_the_published_networks_have_a_code_that_varies_at_any_size(size: int) -> None:
    torch.manual_seed(0)
    model = Content(replace(PRESETS["paper"], size=size)).eval()
    x = torch.rand(2, 3, size, size) * 2 - 1
    with torch.no_grad():
        codes = model.encode(x)
        assert model.decode(codes).image.shape == x.shape
    assert codes["common"].shape[2:] == (2, 2) and (codes["common"][0] - codes["common"][1]).abs().max() > 0.1


def test_sizes_of_the_published_networks() -> None:
    with pytest.raises(UserError, match="32, 64, 128 or 256"):
        ContentConfig(size=96, published=True)
    with pytest.raises(UserError, match="latent"):
        ContentConfig(adversary="pixels")  # type: ignore[arg-type]


def entropy(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def test_the_papers_loss() -> None:
    """|D(E_c(a), 0) - a|^2 + |D(E_c(b), E_s(b)) - b|^2 + .001 * (both codes towards the label of a)."""
    model = tiny.build("content:paper").eval()
    batch = tiny.batch(model)
    a, b = batch["a"], batch["b"]
    terms = model.published_loss(batch, progress())
    common_a, common_b, part = model.common(a), model.common(b), model.separate(b)
    drawn_a = model.decoder(torch.cat([common_a, torch.zeros_like(part)], 1)).tanh()
    drawn_b = model.decoder(torch.cat([common_b, part], 1)).tanh()
    confusion = (entropy(model.critic(common_a), 0) + entropy(model.critic(common_b), 0)) / 2
    expected = (drawn_a - a).square().mean() + (drawn_b - b).square().mean() + 0.001 * confusion
    torch.testing.assert_close(terms.total, expected)
    assert list(terms.values) == ["reconstruct_a", "reconstruct_b", "confusion"]
    apart = (entropy(model.critic(common_a), 0) + entropy(model.critic(common_b), 1)) / 2
    torch.testing.assert_close(model.critic_loss(batch, progress()).total, apart)


def test_a_critic_of_pictures_sees_both_sets_drawn_without_the_part() -> None:
    model = tiny.build("content:image").eval()
    batch = tiny.batch(model)
    model.transfer_loss(batch, progress())
    both = torch.cat([batch["a"], batch["b"]])
    with torch.no_grad():
        torch.testing.assert_close(batch["seen"], model.draw(model.common(both)))
    assert not batch["seen"].requires_grad


def test_what_moves_what() -> None:
    """The errors of b move the part's encoder and the decoder; only the critic and `idle` move E_c there, only a's pictures teach it."""
    model = tiny.build("content")
    nn.init.normal_(model.decoder.last[0].weight)  # a new decoder's last layer is zero, and lets nothing through
    terms = model.transfer_loss(tiny.batch(model), progress())

    def moved(name: str) -> set[str]:
        model.zero_grad()
        terms.values[name].backward(retain_graph=True)
        return {
            network
            for network in ("common", "separate", "decoder")
            if any(p.grad is not None and p.grad.any() for p in getattr(model, network).parameters())
        }

    assert moved("reconstruct_b") == moved("whole") == {"separate", "decoder"}
    assert moved("confusion") == moved("find") == {"common"} and moved("idle") <= {"common"}
    assert moved("see_through") >= {"common"} and "separate" not in moved("see_through")


def test_it_starts_by_seeing_through_things() -> None:
    """The errors of the first phase are those behind what was stuck on pictures of a, and only `grafted` lets it read b."""
    model = tiny.build("content")
    batch = tiny.batch(model)
    terms = model.see_loss(batch, progress())
    assert list(terms.values) == ["reconstruct_a", "see_through", "find"]
    assert terms.values["see_through"] > 2 * terms.values["reconstruct_a"]  # a new decoder returns what it is given
    grafted = Content(replace(model.config, grafted=1.0))
    grafted.load_state_dict(model.state_dict())
    other = {"a": batch["a"], "b": -batch["b"]}
    assert model.see_loss(other, progress()).values == terms.values
    assert grafted.see_loss(other, progress()).values != grafted.see_loss(batch, progress()).values
    first, main, critic = Content(ContentConfig(alone=0.25)).phases
    assert (first.stop, main.start, critic.start) == (0.25, 0.25, 0.25)


def test_a_picture_of_a_is_drawn_from_its_map_alone() -> None:
    """A new decoder adds nothing: the code is what E_c leaves of the picture, square by square."""
    model = tiny.build("content").eval()
    x = tiny.batch(model)["a"]
    with torch.no_grad():
        common, drop = model.common.look(x)
        torch.testing.assert_close(model.draw(common), F.pixel_shuffle(common, 4))
        kept = drop.sigmoid() < 0.02
        torch.testing.assert_close((F.pixel_shuffle(common, 4) - x)[kept.expand_as(x)].abs().max(), torch.tensor(0.0), atol=0.1, rtol=0)


def test_what_is_known_to_show_the_part_loses_more_where_it_is_to_be_surer() -> None:
    model = tiny.build("content").eval()
    surer = Content(replace(model.config, sure=2.0)).eval()
    surer.load_state_dict(model.state_dict())
    x = tiny.batch(model)["b"]
    with torch.no_grad():
        plain, more = (F.pixel_shuffle(some.encode(x, "b")["common"], 4) for some in (model, surer))
        assert (more - x).abs().mean() > 1.5 * (plain - x).abs().mean()
        assert torch.equal(surer.encode(x)["common"], model.encode(x)["common"])  # of other pictures nothing is known
