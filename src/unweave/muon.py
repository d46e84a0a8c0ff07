"""Muon: momentum whose update of each weight matrix is made orthogonal, so that all its directions learn at the same speed.

Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein: Muon, an optimizer for hidden layers in neural networks, 2024. Convolutions count as
matrices (outputs x inputs * kernel). What is no such matrix (biases, norms, thin first and last layers) moves by Adam in the same step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

THIN = 16  # a matrix with fewer rows or columns moves by Adam
STEPS = 5  # of the Newton-Schulz iteration
TINY = 1e-30  # momentum below it is none: a table's rows that seldom get a gradient would fade to subnormal numbers, which are slow
QUINTIC = (3.4445, -4.7750, 2.0315)  # its coefficients: singular values go to 0.7..1.2, fast rather than exactly to 1


class Muon(torch.optim.Optimizer):
    """lr: length of a matrix's step, in spectral norm (times sqrt(rows / columns) for tall ones). adam: Adam's step size, relative to lr.

    momentum, betas, eps: of the matrices and of Adam. All state is tensors of the parameters' shapes and one step count each.
    """

    def __init__(
        self,
        parameters: list[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        adam: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "adam": adam, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of all parameters that have a gradient."""
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)  # matrices of one shape are made orthogonal in one call
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.ndim > 1 and min(len(p), p[0].numel()) >= THIN:
                    alike[p.shape].append(p)
                else:
                    self._adam(p, group)
            for same in alike.values():
                self._orthogonal(same, group)

    def _orthogonal(self, same: list[Tensor], group: dict[str, Any]) -> None:
        ahead = []
        for p in same:
            assert p.grad is not None
            state, beta = self.state[p], group["momentum"]
            average = state.setdefault("momentum", torch.zeros_like(p))
            average.copy_(F.hardshrink(average.lerp_(p.grad, 1 - beta), TINY))
            ahead.append(p.grad.lerp(average, beta).flatten(1))  # Nesterov's look ahead
        updates = orthogonalised(torch.stack(ahead))
        rows, columns = updates.shape[1:]
        for p, update in zip(same, updates, strict=True):
            p.add_(update.view_as(p), alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _adam(self, p: Tensor, group: dict[str, Any]) -> None:
        assert p.grad is not None
        state, (beta1, beta2) = self.state[p], group["betas"]
        if not state:
            state |= {"step": torch.zeros(()), "first": torch.zeros_like(p), "second": torch.zeros_like(p)}
        state["step"] += 1
        t = state["step"].item()
        state["first"].lerp_(p.grad, 1 - beta1)
        state["second"].lerp_(p.grad.square(), 1 - beta2)
        scale = (state["second"] / (1 - beta2**t)).sqrt_().add_(group["eps"])
        p.addcdiv_(state["first"], scale, value=-group["lr"] * group["adam"] / (1 - beta1**t))


def orthogonalised(matrices: Tensor) -> Tensor:
    """U V^T of each matrix's singular value decomposition, nearly, by Newton-Schulz: (K, rows, columns) -> the same.

    Each step multiplies by a polynomial of the Gram matrix, so the steps are taken on that small matrix and multiplied out once: for a
    convolution of 3x3 a third of the work. In fp32, because small singular values are squared on the way.
    """
    a, b, c = QUINTIC
    x = matrices.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    done = one = torch.eye(x.shape[1], device=x.device).expand_as(gram)
    for step in range(STEPS):
        turn = torch.baddbmm(torch.add(a * one, gram, alpha=b), gram, gram, alpha=c)
        done = turn @ done if step else turn
        gram = turn @ gram @ turn if step < STEPS - 1 else gram
    x = done @ x
    return (x.mT if tall else x).to(matrices.dtype)
