"""How entangled a space of codes is that a generator draws from, such as z or w of a style-based generator: no encoder is needed.

Source: Karras, Laine, Aila, A Style-Based Generator Architecture for Generative Adversarial Networks, 2019, section 4.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor

from unweave.attributes import TOLERANCE, Attributes, agree, spans
from unweave.metrics import intervals
from unweave.metrics.intervals import Array, Estimate

EPSILON = 1e-4  # of a path between two points: how far apart two pictures are drawn
TRIM = 0.01  # share of the least and of the greatest lengths that is dropped
Between = Callable[[Tensor, Tensor, Tensor], Tensor]  # points (n, ...), (n, ...) and where between them (n,), 0 to 1 -> (n, ...)


def lerp(first: Tensor, second: Tensor, where: Tensor) -> Tensor:
    """On the straight line, (n, ...) each. For styles."""
    return torch.lerp(first, second, where.view(-1, *[1] * (first.dim() - 1)))


@torch.no_grad()
def path_length(
    draw: Callable[[Tensor], Tensor],
    first: Tensor,
    second: Tensor,
    between: Between,
    features: Callable[[Tensor], Tensor],
    epsilon: float = EPSILON,
    batch: int = 32,
    seed: int = 0,
) -> Estimate:
    """How far pictures move on the way from one point to another, full paths: the mean over pairs of |f(t) - f(t + epsilon)|^2 / epsilon^2.

    draw: points (m, ...) -> pictures, always the same of the same point. first, second: (n, ...), points of the space; t is uniform.
    features: pictures -> (m, D). The first and the last percentile of lengths are dropped, as published. Without autocast: at so small an
    epsilon a difference is lost in lower precision. Small where a picture changes evenly; a detour costs.
    """
    generator, lengths = torch.Generator().manual_seed(seed), []
    for a, b in zip(first.split(batch), second.split(batch), strict=True):
        t = torch.rand(len(a), generator=generator).to(a)
        with torch.autocast(a.device.type, enabled=False):
            points = torch.cat([between(a.float(), b.float(), t), between(a.float(), b.float(), t + epsilon)])
            seen, moved = features(draw(points)).chunk(2)
        lengths.append((seen.double() - moved.double()).square().sum(1).cpu() / epsilon**2)
    return intervals.bootstrap(torch.cat(lengths).numpy(), trimmed)


def trimmed(lengths: Array) -> Array:
    """The mean over the last axis, without the least and the greatest percentile (of 100 numbers: without one of each)."""
    n = lengths.shape[-1]
    drop = int(n * TRIM)
    return np.sort(lengths, axis=-1)[..., drop : n - drop].mean(-1)


def separability(points: NDArray[np.float32], answers: NDArray[np.float32]) -> tuple[float, list[float]]:
    """Whether a plane parts those that show an attribute from those that do not: exp(sum of H(Y | X) over attributes), at least 1.

    points: (n, D). answers: (n, A), what a judge says of the pictures drawn from them, 0 to 1. Of each attribute the half of the points
    that it is surest of counts; a linear support vector machine is fitted to them, X is what it says and Y what the judge says; H, in
    nats, is what remains unknown of Y. -> the figure, and each attribute's H (0 where all pictures are alike).
    Points are standardised first, since the machine's margin depends on their scale. (The authors' program counts in bits inside exp,
    which makes larger numbers.)
    """
    left = [_remaining(points, column) for column in answers.T]
    return float(np.exp(sum(left))), left


def _remaining(points: NDArray[np.float32], answer: NDArray[np.float32]) -> float:
    sure = np.argsort(-np.abs(answer - 0.5), kind="stable")[: max(2, len(answer) // 2)]
    x, y = StandardScaler().fit_transform(points[sure]), answer[sure] > 0.5
    if y.all() or not y.any():
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a plane that is still turning parts them as well as it can be told to
        said = LinearSVC(random_state=0).fit(x, y).predict(x)
    return conditional_entropy(said, y)


def conditional_entropy(x: NDArray[np.bool_], y: NDArray[np.bool_]) -> float:
    """H(Y | X) in nats, of two columns of answers (n,)."""
    total = 0.0
    for value in (False, True):
        here = y[x == value]
        if len(here):
            share = np.clip([here.mean(), 1 - here.mean()], 1e-300, 1)
            total -= len(here) / len(y) * float((share * np.log(share)).sum())
    return total


def turned(attributes: Attributes, which: int, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Whether an edit turned one attribute round, and which share of the others it left: readings (n, W) twice -> (n,) bool, (n,).

    Round: to the other side of one half; a number must also have moved by more than .15 (or those near the middle would turn by chance).
    Others are left if the reading agrees with the one before: the same answer, a number within .15.
    """
    column = spans(attributes)[which].start
    was, now = before[:, column], after[:, column]
    changed = (was > 0.5) != (now > 0.5)
    if not attributes[which].classes:
        changed &= (now - was).abs() > TOLERANCE
    others = [i for i in range(len(attributes)) if i != which]
    same = agree(attributes, after, before).float()[:, others].mean(1) if others else torch.ones(len(before))
    return changed, same
