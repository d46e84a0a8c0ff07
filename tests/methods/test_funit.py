"""funit: what its losses do, that the class steers only what it may, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from contract import tiny
from unweave import recipe
from unweave.codes import Codes
from unweave.errors import UserError
from unweave.method import Progress
from unweave.methods.funit import PRESETS, Funit, FunitConfig


def progress(step: int = 0, fraction: float = 0.5) -> Progress:
    return Progress(step, 0, fraction, torch.Generator().manual_seed(step))


def model(case: str = "funit", **changes: object) -> Funit:
    torch.manual_seed(0)
    return Funit(replace(tiny.config(case), **changes))


def test_more_examples_are_the_mean_of_their_codes() -> None:
    one = model().eval()
    x = tiny.batch(one)["content"]
    with torch.no_grad():
        codes = one.encode(x)
        by_hand = one.decode(codes.only("content") | Codes(class_=codes["class_"].mean(0, keepdim=True))).image
        assert torch.allclose(one.translate(x, x), by_hand, atol=1e-6)
        assert torch.allclose(one.mean_class(x[None]), codes["class_"].mean(0, keepdim=True), atol=1e-6)


def test_the_class_reaches_the_picture_by_scales_and_shifts_alone() -> None:
    """With the perceptron's last layer at zero, every class draws the same picture."""
    one = model().eval()
    torch.nn.init.zeros_(one.decoder.steer[-1].weight)
    x = tiny.batch(one)["content"]
    with torch.no_grad():
        assert torch.equal(one.translate(x, x[:1]), one.translate(x, x[1:2]))


def test_nothing_is_kept_between_calls() -> None:
    one = model().eval()
    x = tiny.batch(one)["content"]
    with torch.no_grad():
        first, _, again = one.translate(x, x[:1]), one.translate(x, x[1:3]), one.translate(x, x[:1])
    assert torch.equal(first, again)


def test_grey_models_take_and_make_colour_pictures() -> None:
    grey = model(channels=1).eval()
    colour = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        drawn = grey.translate(colour, colour.mean(1, keepdim=True))
    assert drawn.shape == (2, 3, 32, 32) and torch.equal(drawn[:, 0], drawn[:, 2])
    coloured = model().eval()
    assert coloured.translate(colour[:, :1], colour).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("case", ["funit", "funit:paired", "funit:paper"])
def test_terms(case: str) -> None:
    one, published = model(case), case == "funit:paper"
    batch = tiny.batch(one)
    translator = one.translator_loss(batch, progress())
    assert list(translator.values) == ["adversary", "reconstruct", "features"] + ([] if published else ["obey"])
    critic = one.critic_loss(batch, progress())
    assert list(critic.values) == (["real", "fake", "penalty"] if published else ["real", "told", "fake"])
    assert [phase.name for phase in one.phases] == ["translator", "critic"] + ([] if published else ["penalty"])
    assert all(phase.precision == ("fp32" if phase.name == "penalty" else "auto") for phase in one.phases), "the published one's is auto"


def test_the_critic_is_asked_about_the_own_class_alone() -> None:
    one = model()
    batch = tiny.batch(one)
    x, label = batch["content"], torch.zeros(len(batch["content"]), dtype=torch.long)
    logits = one.critic(x, label)[0]
    gradient = torch.autograd.grad(logits.sum(), one.critic.own.weight)[0]
    assert gradient[0].abs().sum() > 0 and gradient[1:].abs().sum() == 0


def test_a_reconstruction_takes_its_class_from_others() -> None:
    """The default: other mates, another reconstruction. Published: mates are not even needed."""
    one = model()
    batch = tiny.batch(one)
    first = one.translator_loss(dict(batch), progress()).values["reconstruct"]
    other = one.translator_loss({**batch, "mates": -batch["mates"]}, progress()).values["reconstruct"]
    assert not torch.equal(first, other)
    assert "mates" not in model("funit:paper").needs


def test_pairs_are_compared_with_their_truth() -> None:
    """`paired`: the error is the translation's from the truth, none where it is the truth; nothing is reconstructed."""
    one = model("funit:paired", shots=1)
    batch = tiny.batch(one)
    assert "mates" not in one.needs
    with torch.no_grad():
        one.translator_loss(batch, progress())
        drawn = one.draw(one.content_encoder(batch["content"]), one.mean_class(batch["examples"]))
        assert torch.equal(drawn, batch["translated"]), "the critic reads what was drawn"
        assert one.translator_loss({**batch, "truth": drawn}, progress()).values["reconstruct"] < 1e-6
    assert one.translator_loss({**batch, "truth": -drawn}, progress()).values["reconstruct"] > 0.1


def test_a_run_with_class_labels_goes_on_with_pairs(tmp_path: Path) -> None:
    """Its critic goes on, too; steps read fewer pictures then, without mates."""
    small = {"overrides": {"size": 32, "width": 4}, "batch": 2, "snapshots": 1, "precision": "fp32", "on_progress": lambda _: None}
    run = recipe.train("funit", "glyphs", out=tmp_path / "run", images=36, **small)
    before = run.read_state()
    on = recipe.resume(run, 60, lambda _: None, {"paired": True, "lr": 1e-12, "critic_lr": 1e-12})
    after = on.read_state()
    assert before[1]["per_step"] == 18 and after[1]["per_step"] == 12 and on.finished and on.images == 60
    assert before[1]["step"] == 2 and after[1]["step"] == 5
    for name in ("critic.own.weight", "decoder.last.weight", "class_encoder.body.0.weight"):
        torch.testing.assert_close(after[0][f"method/{name}"], before[0][f"method/{name}"], atol=1e-6, rtol=0)


def test_a_reconstruction_teaches_the_translation_to_keep_its_content() -> None:
    """The default's error reaches the examples' class, through the translation that is drawn back; the published one does not."""
    for case, reaches in (("funit", True), ("funit:paper", False)):
        one = model(case)
        batch = tiny.batch(one)
        batch["examples"].requires_grad_()
        error = one.translator_loss(dict(batch), progress(fraction=1.0)).values["reconstruct"]
        gradient = torch.autograd.grad(error, batch["examples"], allow_unused=True)[0]
        assert (gradient is not None and bool(gradient.abs().sum() > 0)) == reaches


def test_sizes_of_the_paper() -> None:
    with torch.device("meta"):
        paper = Funit(replace(PRESETS["paper"], seen=119))
    assert paper.codes[0].shape == (512, 16, 16) and paper.codes[1].shape == (64,)
    assert paper.critic.own.weight.shape == (119, 1024)


class Many:
    """Stands for a set of a great many classes, or of some whose pictures show who knows what."""

    def __init__(self, count: int = 10_000_000):
        self.classes, self.grey, self.grid, self.spec = range(count), True, None, "pictures"


def test_what_it_refuses() -> None:
    for wrong in ({"shots": 0}, {"channels": 2}, {"lazy": 0}, {"seen": 1}):
        with pytest.raises(UserError, match="funit needs"):
            FunitConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="10,000,000 classes take"):
        Funit.suited(FunitConfig(), Many())
    assert not Funit.suited(FunitConfig(), Many(7)).paired
    with pytest.raises(UserError, match="what each picture shows, as of glyphs and fonts; pictures does not say it"):
        Funit.suited(PRESETS["paired"], Many(7))
    with pytest.raises(UserError, match="256"):
        FunitConfig(size=512)


def test_it_learns_to_draw_again() -> None:
    """A few steps on one batch bring the reconstruction error down."""
    one = model(shots=1)
    batch = tiny.batch(one)
    batch["mates"] = batch["content"][:, None]
    group = one.groups["translator"]
    parameters = [p for name in group.networks for p in getattr(one, name).parameters()]
    optimiser = group.optimiser.build(parameters)
    for options in optimiser.param_groups:
        options["lr"] = 0.01
    errors = []
    for step in range(25):
        terms = one.translator_loss(dict(batch), progress(step, 0.0))
        errors.append(terms.values["reconstruct"].item())
        optimiser.zero_grad()
        terms.values["reconstruct"].backward()
        optimiser.step()
    assert sum(errors[-5:]) < 0.75 * sum(errors[:5])
