"""The training contract: terms, phases, groups, progress, and what a model keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.method import Adam, Batch, Group, Method, Phase, Progress, Terms, images
from unweave.methods import METHODS, get
from unweave.schedules import Ramp, WarmDecay


@dataclass(frozen=True)
class Sizes:
    size: int = 8
    widths: tuple[int, ...] = (2, 3)


class Small(Method):
    """Two networks of which editing needs one, and a buffer of its own."""

    name = "small"
    Config: ClassVar[type] = Sizes
    PRESETS: ClassVar[dict[str, Any]] = {"paper": Sizes()}

    def __init__(self) -> None:
        super().__init__(Sizes())
        self.encoder, self.critic = nn.Linear(2, 2), nn.Linear(2, 1)
        self.register_buffer("weight", torch.ones(1))
        self.needs = {"a": images(8)}
        self.codes = (Code("common", "vector", (2,)), Code("separate", "vector", (2,), domains=("b",)))
        self.groups = {"edit": Group(("encoder",), Adam()), "critic": Group(("critic",), Adam(), keep=False)}
        self.phases = (Phase("edit", self.draw_loss), Phase("critic", self.critic_loss))

    def draw_loss(self, batch: Batch, progress: Progress) -> Terms:
        return Terms(all=self.encoder(batch["a"]).mean())

    critic_loss = draw_loss

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        return Codes(common=x, separate=x)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        return Output(image=codes["common"] + 10 * codes["separate"])


def progress(step: int = 0, fraction: float = 0.0, seed: int = 0) -> Progress:
    return Progress(step, step * 8, fraction, torch.Generator().manual_seed(seed))


# -- terms ---------------------------------------------------------------------------------------------------------------------


def test_terms_keep_their_order_and_raw_values() -> None:
    terms = Terms(zeta=torch.tensor(1.0))
    terms.add("alpha", torch.tensor(2.0), 0.5)
    terms.add("mid", torch.tensor(4.0), 0.25)
    assert list(terms.values) == ["zeta", "alpha", "mid"]
    assert [number.item() for number in terms.values.values()] == [1, 2, 4]
    assert terms.total.item() == 1 + 2 * 0.5 + 4 * 0.25


def test_a_term_of_weight_zero_is_logged_but_not_minimised() -> None:
    x, y = torch.tensor(3.0, requires_grad=True), torch.tensor(5.0, requires_grad=True)
    terms = Terms(x=x**2)
    terms.add("y", y * float("inf"), 0.0)
    terms.total.backward()
    assert terms.total.item() == 9 and "y" in terms.values
    assert x.grad is not None and x.grad.item() == 6 and y.grad is None


def test_terms_refuse_a_second_of_one_name_and_a_total_of_nothing() -> None:
    terms = Terms(x=torch.tensor(1.0))
    with pytest.raises(ValueError, match="'x' is there already"):
        terms.add("x", torch.tensor(1.0))
    with pytest.raises(ValueError, match="at least one term"):
        Terms().total  # noqa: B018


def test_a_total_is_summed_in_full_precision() -> None:
    terms = Terms(x=torch.tensor(256.0).bfloat16(), y=torch.tensor(1.0).bfloat16())  # bf16 has no 257
    assert terms.total.dtype == torch.float32 and terms.total.item() == 257


# -- phases --------------------------------------------------------------------------------------------------------------------


def test_a_phase_is_due_every_so_many_steps() -> None:
    phase = Phase("edit", Small().draw_loss, every=4)
    assert [step for step in range(10) if phase.due(progress(step))] == [0, 4, 8]


def test_a_phase_is_due_between_two_fractions() -> None:
    phase = Phase("edit", Small().draw_loss, start=0.2, stop=0.6)
    assert [f for f in (0.0, 0.19, 0.2, 0.4, 0.59, 0.6, 0.9) if phase.due(progress(fraction=f))] == [0.2, 0.4, 0.59]


def test_the_work_of_a_stretch_of_a_run_goes_by_the_costs_of_phases() -> None:
    small = Small()
    assert small.work(0, 0.25) > 0 and small.work(0.25, 0.75) == pytest.approx(2 * small.work(0, 0.25))
    small.phases = (
        Phase("edit", small.draw_loss, stop=0.25),
        Phase("edit", small.draw_loss, start=0.25, cost=3.0),
        Phase("critic", small.critic_loss, start=0.5, every=2),
    )
    assert small.work(0, 1) == pytest.approx(0.25 * 1 + 0.75 * 3 + 0.5 * 0.5)
    assert small.work(0.2, 0.3) == pytest.approx(0.05 * 1 + 0.05 * 3)
    assert small.work(1, 1) == 0
    assert small.dearer == pytest.approx(small.work(0, 1))  # a run of the first steps alone would take 1


def test_terms_of_two_losses_in_one() -> None:
    both = Terms(one=torch.tensor(1.0)) | Terms(two=torch.tensor(2.0))
    assert list(both.values) == ["one", "two"] and both.total == 3
    with pytest.raises(ValueError):
        Terms(one=torch.tensor(1.0)) | Terms(one=torch.tensor(1.0))


def test_a_phase_is_called_after_its_loss() -> None:
    assert Small().phases[0].name == "draw"


# -- progress ------------------------------------------------------------------------------------------------------------------


def test_progress_gives_numbers_as_they_stand() -> None:
    here = progress(fraction=0.25)
    assert here.at(0.7) == 0.7 and here.at(Ramp(0.0, 8.0)) == 2.0


def test_progress_draws_the_same_numbers_of_one_seed() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    first, again, other = (progress(seed=seed).randn(4, 2, like=like) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other) and first.dtype == torch.float64
    assert sorted(progress(seed=3).permutation(9).tolist()) == list(range(9))
    assert not torch.equal(progress(seed=3).permutation(9), progress(seed=4).permutation(9))


# -- optimisers ----------------------------------------------------------------------------------------------------------------


def test_adam_is_built_as_declared() -> None:
    parameters = list(nn.Linear(2, 2).parameters())
    plain = Adam(lr=3e-4, betas=(0.5, 0.99), eps=1e-6).build(parameters)
    assert type(plain) is torch.optim.Adam
    options = plain.param_groups[0]
    assert (options["lr"], options["betas"], options["eps"], options["weight_decay"]) == (3e-4, (0.5, 0.99), 1e-6, 0.0)
    assert options["params"] == parameters or all(p is q for p, q in zip(options["params"], parameters, strict=True))


def test_adam_with_weight_decay_is_adamw() -> None:
    """Decay is decoupled: without a gradient, weights shrink by lr * decay of themselves."""
    weight = nn.Parameter(torch.tensor([3.0]))
    optimiser = Adam(lr=0.1, weight_decay=0.5).build([weight])
    weight.grad = torch.zeros(1)
    optimiser.step()
    assert weight.item() == pytest.approx(3.0 * (1 - 0.1 * 0.5))  # Adam's own decay would give 2.9


def test_adam_starts_where_its_schedule_does() -> None:
    optimiser = Adam(lr=WarmDecay(1.0)).build(list(nn.Linear(2, 2).parameters()))
    assert optimiser.param_groups[0]["lr"] == pytest.approx(WarmDecay(1.0)(0.0))


# -- what a model keeps and says -----------------------------------------------------------------------------------------------


def test_networks_that_only_training_needs_are_not_kept() -> None:
    assert sorted(Small().kept()) == ["encoder.bias", "encoder.weight", "weight"]


def test_settings_are_the_config() -> None:
    assert Small().settings() == {"size": 8, "widths": (2, 3)} and Small().size == 8


def test_needs_say_kind_and_shape() -> None:
    assert (images(32).kind, images(32).shape, images(16, channels=1).shape) == ("image", (3, 32, 32), (1, 16, 16))


def test_a_grid_has_targets_down_and_donors_across() -> None:
    targets, donors = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1), torch.tensor([3.0, 4.0, 5.0]).view(3, 1, 1, 1)
    rows = Small().grid(targets, donors).rows
    assert rows[0][0] is None and [cell.item() for cell in rows[0][1:] if cell is not None] == [3, 4, 5]
    cells = [[cell.item() for cell in row if cell is not None] for row in rows[1:]]
    assert cells == [[1, 31, 41, 51], [2, 32, 42, 52]]


def test_what_a_method_does_not_define_is_refused_by_name() -> None:
    class Empty(Small):
        encode, decode = Method.encode, Method.decode

    for call in (lambda m: m.encode(torch.zeros(1)), lambda m: m.decode(Codes()), lambda m: m.validate({}, None), lambda m: m.preview({})):
        with pytest.raises(TypeError, match="^small "):
            call(Empty())


# -- the table of methods ------------------------------------------------------------------------------------------------------


def test_the_table_leads_to_classes_of_the_same_name() -> None:
    assert all(get(name).name == name for name in METHODS)
    with pytest.raises(UserError, match='^There is no method "autoencodr": did you mean "autoencoder"'):
        get("autoencodr")
