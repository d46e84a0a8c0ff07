"""Transcriptions of published steps in the benchmarks and our presets `paper`: as many numbers, one loss, the same gradients."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unweave.method import Batch, Method, Progress, Terms
from unweave.methods import get

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
published_step = pytest.importorskip("published_step")
published_funit_step = pytest.importorskip("published_funit_step")

TWO_SETS = {
    "mask": (published_step.PublishedMask, ("common", "separate", "background", "painter"), 64),
    "content": (published_step.PublishedContent, ("common", "separate", "decoder"), 128),
    "difference": (published_step.PublishedDifference, ("common", "separate_a", "separate_b", "decoder"), 128),
}
OTHERS = {
    "fader": (published_step.PublishedFader, ("encoder", "decoder")),
    "funit": (published_funit_step.PublishedFunit, ("content_encoder", "class_encoder", "decoder")),
}
NETWORKS = {name: networks for name, (_, networks, *_) in (TWO_SETS | OTHERS).items()}
FUNIT_WIDTH, CLASSES = 8, 5


@pytest.fixture(autouse=True)
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In double precision, also where methods ask for single: a rounding that turns the sign of one activation would move gradients by more
    than a mistake does."""
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    yield
    torch.set_default_dtype(torch.float32)


def ours(name: str, size: int, **settings: int) -> Method:
    return get(name)(replace(get(name).PRESETS["paper"], size=size, **settings))


def progress() -> Progress:
    return Progress(0, 0, 0.5, torch.Generator().manual_seed(0))


def pictures(n: int, size: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def pairs(method: Method, plain: nn.Module, networks: Iterable[str]) -> list[tuple[str, nn.Parameter, nn.Parameter]]:
    """Parameters in their order: network, ours, the transcription's."""
    return [
        (name, own, other)
        for name in networks
        for own, other in zip(getattr(method, name).parameters(), getattr(plain, name).parameters(), strict=True)
    ]


def share(method: Method, plain: nn.Module, networks: Iterable[str]) -> None:
    """Our weights for the transcription."""
    for name, own, other in pairs(method, plain, networks):
        assert own.squeeze().shape == other.squeeze().shape, name
        other.data.copy_(own.data.view_as(other))


def one_loss(terms: Terms, expected: dict[str, tuple[float, Tensor]], tolerance: float = 1e-4) -> None:
    """Every term and its weight."""
    assert set(terms.values) == {name for name, (weight, _) in expected.items() if weight}
    for name, value in terms.values.items():
        weight, true = expected[name]
        assert weight == pytest.approx(terms.weights[name]), name
        torch.testing.assert_close(value, true, rtol=tolerance, atol=1e-5, msg=name)


def one_gradient(method: Method, plain: nn.Module, networks: Iterable[str], total: Tensor, terms: Iterable[tuple[float, Tensor]]) -> None:
    total.backward()
    torch.stack([weight * term for weight, term in terms if weight]).sum().backward()
    for name, own, other in pairs(method, plain, networks):
        assert own.grad is not None and other.grad is not None, name
        assert (own.grad - other.grad.view_as(own)).norm() <= 1e-6 * other.grad.norm() + 1e-10, name


@pytest.mark.parametrize("name", NETWORKS)
def test_as_many_numbers(name: str) -> None:
    """At the size that is timed."""
    kind, size = (TWO_SETS | OTHERS)[name][0], TWO_SETS[name][2] if name in TWO_SETS else 64
    with torch.device("meta"):
        method, plain = ours(name, size, **({"seen": 119} if name == "funit" else {})), kind()
    for network in (*NETWORKS[name], "critic"):
        own, other = (sum(p.numel() for p in getattr(one, network).parameters()) for one in (method, plain))
        assert own == other > 0, network


@pytest.mark.parametrize("name", TWO_SETS)
def test_two_sets_are_one_loss(name: str) -> None:
    """Every term, the gradients of every network, and the critic's loss."""
    kind, networks, size = TWO_SETS[name]
    torch.manual_seed(0)
    method, plain = ours(name, size), kind()
    share(method, plain, (*networks, "critic"))
    a, b = pictures(4, size), pictures(4, size, 1)
    batch: Batch = {"a": a, "b": b}
    terms, expected = method.published_loss(batch, progress()), plain.losses(a, b)
    one_loss(terms, expected)
    one_gradient(method, plain, networks, terms.total, expected.values())
    torch.testing.assert_close(method.critic_loss(batch, progress()).total, plain.critic_loss(a, b), rtol=1e-4, atol=1e-5)


def test_fader_is_one_loss() -> None:
    torch.manual_seed(0)
    method, plain = ours("fader", 64), published_step.PublishedFader(64)
    share(method, plain, ("encoder", "decoder", "critic"))
    x, y = pictures(4, 64), torch.tensor([0, 1, 1, 0])
    batch: Batch = {"image": x, "attributes": y[:, None].float()}
    plain.steps = plain.RAMP  # lambda_E has risen
    for one in (method, plain):
        one.critic.eval()
    terms, expected = method.published_loss(batch, progress()), plain.losses(x, y)
    one_loss(terms, expected)
    one_gradient(method, plain, ("encoder", "decoder"), terms.total, expected.values())
    for one in (method, plain):
        one.eval()
    torch.testing.assert_close(method.critic_loss(batch, progress()).total, plain.critic_loss(x, y), rtol=1e-4, atol=1e-5)


def test_funit_is_one_loss() -> None:
    torch.manual_seed(0)
    method, plain = ours("funit", 32, width=FUNIT_WIDTH, seen=CLASSES), published_funit_step.PublishedFunit(CLASSES, FUNIT_WIDTH)
    networks = NETWORKS["funit"]
    share(method, plain, (*networks, "critic"))
    x, y, own, wanted = pictures(2, 32), pictures(2, 32, 1), torch.tensor([0, 3]), torch.tensor([4, 1])
    batch: Batch = {"content": x, "content_class": own.float(), "examples": y[:, None], "class_": wanted.float()}
    terms, expected = method.translator_loss(batch, progress()), plain.losses(x, own, y, wanted)
    # ours takes the mean of both differences of features twice
    one_loss(terms, expected | {"features": (2.0, expected["features"][1] / 2)})
    one_gradient(method, plain, networks, terms.total, expected.values())
    method.critic.zero_grad()
    plain.critic.zero_grad()
    terms, expected = method.critic_loss(batch, progress()), plain.critic_losses(x, y, wanted)
    one_loss(terms, expected)
    one_gradient(method, plain, ("critic",), terms.total, expected.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_the_transcription_learns(name: str) -> None:
    """Every number moves but the running statistics' own, and losses fall."""
    torch.manual_seed(0)
    if name == "funit":
        plain = published_funit_step.PublishedFunit(CLASSES, FUNIT_WIDTH)
        labels = torch.arange(CLASSES)  # of all classes: each has numbers of its own
        data = (pictures(CLASSES, 32), labels, pictures(CLASSES, 32, 1), labels.roll(1))
    elif name == "fader":
        plain = published_step.PublishedFader(64)
        y = torch.tensor([0, 1, 1, 0])
        data = (pictures(4, 64) / 4 - 0.5, y, pictures(4, 64, 1) / 4 - 0.5, y)
    else:
        kind, _, size = TWO_SETS[name]
        plain = kind()
        data = (pictures(4, size) / 4 - 0.5, pictures(4, size, 1) / 4 - 0.5)
    moving = {key: p.detach().clone() for key, p in plain.named_parameters()}
    losses = [plain.step(*data) for _ in range(3)]
    assert all(torch.tensor(losses).isfinite())
    for key, p in plain.named_parameters():
        assert p.isfinite().all() and not torch.equal(p, moving[key]), key
    if name != "funit":  # whose critic learns at the same time
        assert losses[-1] < losses[0]
