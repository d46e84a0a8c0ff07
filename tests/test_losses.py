"""Losses, each against its formula in NumPy, and their gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unweave import losses


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


X, Y = draw(3, 2, 4, 4), draw(3, 2, 4, 4, seed=1)
LOGITS_A, LOGITS_B = draw(5, 1, seed=2), draw(7, 1, seed=3)


def test_absolute_squared_and_zero() -> None:
    x, y = X.numpy(), Y.numpy()
    assert losses.absolute(X, Y).item() == pytest.approx(np.abs(x - y).mean(), rel=1e-6)
    assert losses.squared(X, Y).item() == pytest.approx(((x - y) ** 2).mean(), rel=1e-6)
    assert losses.zero(X).item() == pytest.approx(np.abs(x).mean(), rel=1e-6)
    assert losses.zero(torch.zeros(2, 3)) == 0


def test_tell_apart_is_cross_entropy_with_both_sets_of_equal_weight() -> None:
    a, b = LOGITS_A.numpy(), LOGITS_B.numpy()
    wanted = (-np.log(1 - sigmoid(a)).mean() - np.log(sigmoid(b)).mean()) / 2
    assert losses.tell_apart(LOGITS_A, LOGITS_B).item() == pytest.approx(wanted, rel=1e-6)
    assert losses.tell_apart(torch.tensor([-20.0]), torch.tensor([20.0])).item() < 1e-6  # a is 0 and b is 1
    assert losses.tell_apart(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(np.log(2))


def test_domain_confusion_is_cross_entropy_of_both_sets_with_label_a() -> None:
    a, b = LOGITS_A.numpy(), LOGITS_B.numpy()
    wanted = (-np.log(1 - sigmoid(a)).mean() - np.log(1 - sigmoid(b)).mean()) / 2
    assert losses.domain_confusion(lambda x: x, LOGITS_A, LOGITS_B).item() == pytest.approx(wanted, rel=1e-6)


def test_domain_confusion_pushes_both_codes_towards_a() -> None:
    """A step against the gradient lowers the critic's "b" for the codes of both sets."""
    critic = nn.Linear(4, 1).requires_grad_(False)
    codes = [draw(6, 4, seed=seed).float().requires_grad_() for seed in (4, 5)]
    losses.domain_confusion(critic, *codes).backward()
    for code in codes:
        assert code.grad is not None
        moved = code.detach() - code.grad
        assert (critic(moved) < critic(code)).all()


def test_domain_confusion_is_not_flipped_labels() -> None:
    """Once every code looks like a, there is nothing to gain by looking like b."""
    a, b = torch.full((3,), -9.0), torch.full((3,), -9.0)
    assert losses.domain_confusion(lambda x: x, a, b) < losses.domain_confusion(lambda x: x, -a, b)
    assert losses.domain_confusion(lambda x: x, a, b).item() < 1e-3


def smooth(x: Tensor) -> Tensor:
    """A critic for checks: smooth, not linear, and exact for inputs of any precision."""
    return (x.double() ** 2).sum(1) - x.double().tanh().sum(1)


CASES: dict[str, tuple[Callable[..., Tensor], int]] = {
    "absolute": (losses.absolute, 2),
    "squared": (losses.squared, 2),
    "zero": (losses.zero, 1),
    "tell_apart": (losses.tell_apart, 2),
    "domain_confusion": (lambda a, b: losses.domain_confusion(smooth, a, b), 2),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    """Against finite differences. Losses compute in float32, so the step is large and the tolerance that of the step."""
    loss, count = CASES[name]
    inputs = tuple(draw(2, 3, seed=10 + i).requires_grad_() for i in range(count))
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-2, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_computed_in_full(name: str) -> None:
    """Under autocast, inputs arrive in bf16; the loss must not be rounded to its 8 bits."""
    loss, count = CASES[name]
    inputs = [draw(2, 3, seed=10 + i).bfloat16() for i in range(count)]
    assert loss(*inputs).dtype == torch.float32
    assert loss(*inputs).item() == loss(*[x.float() for x in inputs]).item()
