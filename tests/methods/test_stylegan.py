"""stylegan: styles, what its losses do, what it keeps of a run, and what it refuses."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from contract import tiny
from unweave.codes import Codes
from unweave.errors import UserError
from unweave.method import Progress
from unweave.methods.stylegan import PRESETS, Stylegan, StyleganConfig


def progress(step: int = 0, images: int = 0) -> Progress:
    return Progress(step, images, 0.5, torch.Generator().manual_seed(step))


def model(**changes: Any) -> Stylegan:
    torch.manual_seed(0)
    return Stylegan(replace(tiny.config("stylegan"), **{"size": 16, **changes}))


def test_layers_by_name() -> None:
    """Coarse 4-8 px, middle 16-32, fine the rest; every layer once."""
    named = {size: Stylegan(StyleganConfig(size=size, width=2, limit=2, z=2, style=2)).layers for size in (16, 32, 48, 64, 128)}
    assert named[64] == {"coarse": range(3), "middle": range(3, 7), "fine": range(7, 10)}
    assert named[128]["fine"] == range(7, 12) and named[48]["middle"] == range(3, 5)
    for size, parts in named.items():
        count = Stylegan(StyleganConfig(size=size, width=2, limit=2, z=2, style=2)).codes[1].shape[0]
        assert [layer for part in parts.values() for layer in part] == list(range(count or 0)) and all(parts.values())


def test_truncation_goes_to_the_mean_style() -> None:
    one = model()
    one.mean_style.fill_(0.3)
    z = one.sample(3, torch.Generator().manual_seed(0))["z"]
    with torch.no_grad():
        whole, half, none = (one.map(z, psi) for psi in (1.0, 0.5, 0.0))
    assert whole.shape == (3, 6, 8)
    assert torch.allclose(none, torch.full_like(none, 0.3)) and torch.allclose(half, (whole + none) / 2, atol=1e-6)


def test_z_alone_draws_what_its_style_draws() -> None:
    one = model().eval()
    codes = one.sample(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = one.decode(codes).image
        assert torch.equal(one.decode(Codes(style=one.map(codes["z"]), noise=codes["noise"])).image, first)
        one.synthesis.convs[1].noise.fill_(1.0)
        assert not torch.equal(one.decode(codes).image, first)
        assert torch.equal(one.decode(codes.only("z")).image, first)  # without noise it does not matter


@pytest.mark.parametrize("mixing", [0.0, 1.0])
def test_style_mixing(mixing: float) -> None:
    one = model(mixing=mixing)
    _, styles = one.drawn(16, progress())
    kinds = torch.tensor([len(picture.unique(dim=0)) for picture in styles])
    assert (kinds == (2 if mixing else 1)).all()


def test_an_untrained_critic_costs_as_much_as_a_coin() -> None:
    one = model()
    torch.nn.init.zeros_(one.critic.out.weight)
    batch = tiny.batch(one)
    adversary = one.generator_loss(batch, progress()).values
    critic = one.critic_loss(batch, progress()).values
    for term in (adversary["adversary"], critic["real"], critic["fake"]):
        assert term.item() == pytest.approx(0.6931, abs=1e-4)
    assert critic["sign"] == 0 and batch["made"].requires_grad is False
    assert one.gradient_loss(batch, progress()).values["gradient"] == 0


def test_lazy_phases() -> None:
    """Each regulariser weighs as much as if it were due in every step, in full precision; Adam forgets as over one move a step."""
    one = model(lazy=16, path_every=4, lr=2.5e-3, decay=1.0)
    found = {phase.name: (phase.every, phase.gain, phase.precision) for phase in one.phases}
    assert found == {
        "generator": (1, 1.0, "auto"),
        "path": (4, 4, "fp32"),
        "critic": (1, 1.0, "auto"),
        "gradient": (16, 16, "fp32"),
    }
    optimiser = one.groups["critic"].optimiser
    assert optimiser.lr == pytest.approx(2.5e-3 * 16 / 17) and optimiser.betas == pytest.approx((0.0, 0.99 ** (16 / 17)))  # type: ignore[union-attr]
    without = model(path=0.0, lr=2.5e-3, decay=1.0)
    assert "path" not in {phase.name for phase in without.phases} and without.groups["generator"].optimiser.lr == 2.5e-3


def test_path_lengths_are_pushed_to_their_mean() -> None:
    one = model()
    batch = tiny.batch(one, count=8)
    terms = one.path_loss(batch, progress()).values
    assert terms["path"].item() == pytest.approx(terms["length"].item() ** 2, rel=1)  # the mean starts at 0
    one.mean_length.fill_(terms["length"].item())
    nearer = one.path_loss(batch, progress()).values
    assert nearer["path"] < terms["path"] / 2
    slope = torch.autograd.grad(nearer["path"], one.synthesis.convs[0].weight)[0]
    assert torch.isfinite(slope).all() and slope.abs().max() > 0


def test_the_mean_style_and_length_follow() -> None:
    one = model()
    one.drawn(4, progress())
    assert one._seen is not None
    seen = one._seen.clone()
    one.after(1, {})
    assert torch.allclose(one.mean_style, seen)  # the first step is the mean of itself
    one.after(1000, {"path/length": 2.0})
    assert one.mean_length.item() == pytest.approx(0.02)


def test_augmentation_grows_while_the_critic_is_too_sure() -> None:
    one = model(pace=1000.0, target=0.6)
    one.critic_loss({**tiny.batch(one), "made": tiny.batch(one)["image"]}, progress(step=10, images=320))
    one.after(1, {"critic/sign": 0.9})
    assert one.strength.item() == pytest.approx(0.032)
    for _ in range(50):
        one.after(1, {"critic/sign": 1.0})
    assert one.strength.item() == pytest.approx(0.8)
    for _ in range(50):
        one.after(1, {"critic/sign": 0.1})
    assert one.strength == 0
    never = model(target=0.0)
    never.after(1, {"critic/sign": 1.0})
    assert never.strength == 0


def test_few_pictures_are_augmented_and_many_are_not(caplog: pytest.LogCaptureFixture) -> None:
    some, many, few = (SimpleNamespace(streams=("image",), lengths={"image": n}) for n in (6000, 20_000, 100))
    assert Stylegan.suited(StyleganConfig(), some).target == 0.6
    assert Stylegan.suited(StyleganConfig(), many).target == 0.0
    assert Stylegan.suited(StyleganConfig(target=0.3), many).target == 0.3
    assert not caplog.records
    assert Stylegan.suited(StyleganConfig(), few).target == 0.6
    assert "100 pictures are few" in caplog.text


def test_pictures_of_its_own_have_no_distance() -> None:
    one = model(size=32).eval()
    with torch.no_grad():
        own = one.decode(one.sample(12, torch.Generator().manual_seed(0))).image
        assert own is not None
        assert one.validate({"image": own})["distance"] == pytest.approx(0, abs=1e-6)
        assert one.validate({"image": -own})["distance"] > 0.1


def test_adain_draws_too() -> None:
    one = model(adain=True).eval()
    codes = one.sample(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        picture = one.decode(codes).image
        assert picture is not None and picture.shape == (2, 3, 16, 16) and not torch.equal(picture[0], picture[1])
    assert torch.isfinite(one.path_loss(tiny.batch(one), progress()).total)


def test_the_default_file_is_small() -> None:
    with torch.device("meta"):
        kept = Stylegan(PRESETS["laptop"]).kept()
    assert 2 * sum(tensor.numel() for tensor in kept.values()) < 8_000_000
    assert not any(name.startswith("critic") for name in kept)


@pytest.mark.parametrize("wrong", [{"size": 40}, {"size": 2048}, {"width": 0}, {"lazy": 0}])
def test_what_it_cannot_draw_is_said(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="stylegan"):
        replace(StyleganConfig(), **wrong)
