"""Fader: its own losses and choices; what every method must do is in contract/."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from contract import tiny
from unweave import verbs
from unweave.attributes import Attribute, numbers
from unweave.codes import Codes
from unweave.data import load
from unweave.errors import UserError
from unweave.method import Progress
from unweave.methods.fader import PRESETS, Fader, FaderConfig

TWO_SETS = (Attribute("in_b"),)


def progress(fraction: float = 1.0) -> Progress:
    return Progress(0, 0, fraction, torch.Generator().manual_seed(0))


def test_the_published_networks() -> None:
    """At 256 px: six layers, 32-64-128-256-512-512, a code of 512 x 4 x 4, two planes an attribute at the input of every decoder layer."""
    with torch.device("meta"):
        model = Fader(replace(PRESETS["paper"], size=256, attributes=("hat", "smile"), classes=(2, 0)))
        convolutions = [m.weight.shape for m in model.encoder.modules() if isinstance(m, torch.nn.Conv2d)]
        assert [tuple(shape) for shape in convolutions] == [
            (o, i, 4, 4) for i, o in ((3, 32), (32, 64), (64, 128), (128, 256), (256, 512), (512, 512))
        ]
        back = [m.weight.shape for m in model.decoder.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
        assert [tuple(shape) for shape in back] == [
            (i + 4, o, 4, 4) for i, o in ((512, 512), (512, 256), (256, 128), (128, 64), (64, 32), (32, 3))
        ]
        assert model.codes[0].shape == (512, 4, 4)
        assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.encoder.modules()) == 5
        assert model.critic.body[-1].out_features == 2 + 8
        small = Fader(replace(PRESETS["paper"], size=64))
        assert small.codes[0].shape == (256, 4, 4)


def test_the_published_schedule() -> None:
    """lambda_E rises in a straight line to 1e-4, then stays; the critic has dropout and each side stands still in eval mode."""
    model = Fader(replace(PRESETS["paper"], size=32, width=8))
    batch = tiny.batch(model)
    terms = [model.published_loss(dict(batch), progress(f)) for f in (0.0, 1 / 6, 1 / 3, 0.9)]
    assert all(list(t.values) == ["reconstruct", "confusion"] for t in terms)
    assert [t.weights["confusion"] for t in terms] == pytest.approx([0.0, 5e-5, 1e-4, 1e-4])
    phases = {phase.group: phase for phase in model.phases}
    assert phases["critic"].fresh and phases["critic"].others == phases["autoencoder"].others == "eval"
    assert {name: PRESETS["paper"].__dict__[name] for name in ("confusion", "lr", "ramp")} == {"confusion": 1e-4, "lr": 2e-4, "ramp": 1 / 3}


def test_the_eraser_learns_in_training_alone_and_is_kept() -> None:
    model = tiny.build("fader").eval()
    batch = tiny.batch(model, count=12)
    told = numbers(model.attributes, batch["attributes"])
    model.after(1, {})  # nothing seen yet
    assert torch.equal(model.encode(batch["image"])["common"], model.encoder(batch["image"]))
    model.fader_loss(dict(batch), progress())
    model.after(1, {})
    before, after = model.encoder(batch["image"]), model.encode(batch["image"])["common"]
    codes, said = (x.detach().flatten(1) - x.detach().flatten(1).mean(0) for x in (torch.cat([before, after]), torch.cat([told, told])))
    raw, erased = ((x.T @ z / len(x)).abs().max() for x, z in zip(codes.split(12), said.split(12), strict=True))
    assert raw > 0.01 and erased < 1e-5
    kept = {key.partition(".")[0] for key in model.kept()}
    assert "eraser" in kept and "critic" not in kept
    assert Fader(replace(PRESETS["paper"], size=32, width=8)).eraser is None


def test_the_eraser_settles_on_the_codes_that_edits_use() -> None:
    model = tiny.build("fader").eval()
    batch = tiny.batch(model, count=24)
    told = numbers(model.attributes, batch["attributes"])
    parts = [{name: x[rows] for name, x in batch.items()} for rows in (slice(0, 12), slice(12, 24))]
    model.fader_loss(dict(batch), progress())
    model.after(1, {})
    with torch.no_grad():
        for p in model.encoder.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))

        def told_by(code: Tensor) -> float:
            x = code.flatten(1)
            return ((x - x.mean(0)).T @ (told - told.mean(0)) / len(x)).abs().max().item()

        followed = told_by(model.code(batch["image"]))
        model.settle(iter(parts))
        assert told_by(model.code(batch["image"])) < 1e-5 < 1e-3 < followed
    assert model.settles > 0 == Fader(replace(PRESETS["paper"], size=32, width=8)).settles


def test_the_critic_learns_the_class_and_the_encoder_another_one() -> None:
    model = tiny.build("fader").eval()
    batch = tiny.batch(model)
    batch["attributes"] = torch.tensor([[0, 2, 0.1], [1, 0, 0.9], [1, 1, 0.5], [0, 0, 0.3]])
    with torch.no_grad():
        model.critic.body[-1].weight.zero_()
        model.critic.body[-1].bias.copy_(torch.tensor([0.0, 20.0] + [0.0] * 11))  # sure that everybody wears glasses
        other = model.fader_loss(batch, progress())
        own = model.critics_loss(batch, progress())
    rest = math.log(3) + math.log(8)
    assert own.values["attributes"].item() == pytest.approx(10 + rest, rel=1e-4)  # wrong about half of them
    assert other.values["confusion"].item() == pytest.approx(10 + rest, rel=1e-4)
    batch["attributes"][:, 0] = 1
    with torch.no_grad():
        assert model.critics_loss(batch, progress()).values["attributes"].item() == pytest.approx(rest, rel=1e-4)
        assert model.fader_loss(batch, progress()).values["confusion"].item() == pytest.approx(20 + rest, rel=1e-4)


def test_only_the_encoder_hears_the_critic_and_only_the_critics_learn_from_their_own_loss() -> None:
    for model in (tiny.build("fader"), Fader(replace(PRESETS["paper"], size=32, width=8))):
        batch = tiny.batch(model)
        if model.config.published:
            loss, critics = model.critic_loss(batch, progress()), [model.critic]
        else:
            model.fader_loss(batch, progress())
            loss, critics = model.critics_loss(batch, progress()), [model.critic, model.viewer]
        loss.total.backward()
        assert all(p.grad is None for net in (model.encoder, model.decoder) for p in net.parameters())
        assert all(p.grad is not None for net in critics for p in net.parameters())


def test_an_edit_must_look_as_asked_and_the_viewer_learns_what_it_was() -> None:
    """A viewer that says what is drawn in the first row: an honest decoder obeys it for nothing, a deaf one does not."""

    class Row(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            glasses = x[:, 0, 0, :1]
            return torch.cat([-20 * (glasses - 0.5), 20 * (glasses - 0.5), x.new_zeros(len(x), 11)], 1)

    honest, deaf = Honest(tiny.config("fader")), Deaf(tiny.config("fader"))
    batch = tiny.batch(honest, count=16)
    batch["attributes"] = torch.tensor([[i // 2 % 2, 0, 0.5] for i in range(16)])
    obeyed, learned = [], []
    for model in (honest, deaf):
        model.viewer = Row()
        model.bins = [2, 3, 8]
        mine = dict(batch)
        if model is deaf:
            model.own = numbers(model.attributes, torch.cat([batch["attributes"]] * 2))
        with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
            patch.setattr("unweave.methods.fader.shifted", lambda x, generator, reach: x)
            if model is deaf:
                patch.setattr(Deaf, "draw", lambda self, common, y: Honest.draw(self, common, self.own[: len(common)]))
            obeyed.append(model.fader_loss(mine, progress()).values["obey"].item())
            learned.append(model.critics_loss(mine, progress()).values["edited"].item())
    rest = math.log(3) + math.log(8)
    assert obeyed[0] == pytest.approx(rest, abs=1e-3) and obeyed[1] > rest + 1
    assert learned[1] == pytest.approx(rest, abs=1e-3) and learned[0] > rest + 1


def test_attributes_are_read_and_a_set_says_its_own() -> None:
    model = Fader(FaderConfig(size=32, width=8, code=4)).eval()
    assert model.attributes == TWO_SETS
    x = tiny.batch(model)["image"]
    with torch.no_grad():
        assert model.encode(x, "a")["attributes"].tolist() == [[0.0]] * 4
        assert model.encode(x, "b")["attributes"].tolist() == [[1.0]] * 4
        assert set(model.encode(x)["attributes"].flatten().tolist()) <= {0.0, 1.0}
        assert torch.equal(model.encode(x, "a")["common"], model.encode(x, "b")["common"])


def test_a_missing_attribute_is_named() -> None:
    model = tiny.build("fader").eval()
    with pytest.raises(UserError, match='no code "attributes"'):
        model.decode(model.encode(tiny.batch(model)["image"]).only("common"))


@pytest.mark.parametrize("published", [False, True])
def test_extrapolation_goes_on(published: bool) -> None:
    """Values beyond 0 and 1 are told as they are."""
    torch.manual_seed(0)
    model = Fader(FaderConfig(size=64, published=published, width=8, code=4)).eval()
    x = tiny.batch(model)["image"][:1]
    made = model.slide(x, "in_b", [-1.0, 0.0, 1.0, 2.0])
    assert all((made[i] - made[i + 1]).abs().max() > 1e-4 for i in range(3)) and made.abs().max() <= 1


def test_the_published_edits_redraw_and_the_default_keeps_the_rest() -> None:
    torch.manual_seed(0)
    for preset, redraws in (("default", False), ("paper", True)):
        model = Fader(replace(PRESETS[preset], size=32, width=8)).eval()
        x = tiny.batch(model)["image"]
        made = verbs.altered(model, x, {"in_b": 1.0})
        with torch.no_grad():
            whole = model.decode(model.encode(x) | Codes(attributes=torch.ones(len(x), 1))).image
        assert model.redraws is redraws and (made.mask is None) is redraws and made.image is not None and whole is not None
        expected = whole if made.mask is None else x + made.mask * (whole - x)
        assert torch.allclose(made.image, expected, atol=1e-6)


class Drawn:
    """A judge for `Honest` and `Deaf`: the picture's first row is what was asked for."""

    def __call__(self, x: Tensor) -> Tensor:
        return x[:, 0, 0, :5]


class Honest(Fader):
    """Draws what it is told."""

    def draw(self, common: Tensor, y: Tensor) -> Tensor:
        out = y.new_zeros(len(common), 3, self.size, self.size)
        out[:, 0, 0, : y.shape[1]] = y
        return out


class Deaf(Honest):
    """Draws what the pictures are, whatever it is told."""

    own: Tensor

    def draw(self, common: Tensor, y: Tensor) -> Tensor:
        return super().draw(common, self.own)


def test_the_score_is_judged_success_and_what_was_kept() -> None:
    held = tiny.batch(tiny.build("fader"), count=8)
    held["attributes"] = torch.tensor([[i % 2, i % 3, i / 8] for i in range(8)])
    honest, deaf = Honest(tiny.config("fader")).eval(), Deaf(tiny.config("fader")).eval()
    deaf.own = numbers(deaf.attributes, held["attributes"])
    with torch.no_grad():
        good, bad = (model.validate(dict(held), Drawn()) for model in (honest, deaf))
    assert good["changed"] == good["kept"] == bad["kept"] == 1 and bad["changed"] == 0
    assert good["score"] == pytest.approx(2 - 10 * good["error"]) and good["score"] > bad["score"]


def test_the_data_says_names_and_kinds() -> None:
    asked = FaderConfig(size=32)
    assert Fader.suited(asked, load("faces", 32, n=40)).declared() == (Attribute("glasses"), Attribute("beard"), Attribute("smile", 0))
    assert Fader.suited(asked, load("faces:glasses", 32, n=4)).declared() == TWO_SETS
    some = Fader.suited(replace(asked, attributes=("smile",)), load("faces", 32, n=40))
    assert some.declared() == (Attribute("smile", 0),)
    with pytest.raises(UserError, match='did you mean "beard"'):
        Fader.suited(replace(asked, attributes=("beerd",)), load("faces", 32, n=4))


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"attributes": ("a", "b"), "classes": (2,)}, "2 attributes and 1 classes"),
        ({"attributes": ("a", "a")}, "named once"),
        ({"attributes": ("a",), "classes": (1,)}, "its classes are 2"),
        ({"published": True, "size": 96}, "32, 64, 128 or 256 pixels, not 96"),
    ],
)
def test_configs_that_cannot_be(change: dict[str, object], answer: str) -> None:
    with pytest.raises(UserError, match=answer):
        FaderConfig(**change)  # type: ignore[arg-type]


def test_codes_of_attributes_walk_in_a_straight_line() -> None:
    """Interpolation of the given code is that of what the decoder is told."""
    model = tiny.build("fader").eval()
    x = tiny.batch(model)["image"]
    codes = model.encode(x[:1])
    ends = [codes | Codes(attributes=torch.tensor([[float(k), 1 - k, k, 0, k]])) for k in (0, 1)]
    half = ends[0].mix(ends[1], 0.5, "attributes")
    assert half["attributes"].tolist() == [[0.5, 0.5, 0.5, 0, 0.5]]
