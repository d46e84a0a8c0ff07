"""Path length, separability and turned attributes, against slow formulas and where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from unweave import sampled
from unweave.attributes import Attribute
from unweave.metrics import spaces


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def flat(x: Tensor) -> Tensor:
    return x.flatten(1)


def test_slerp_keeps_to_the_sphere_and_ends_where_it_should() -> None:
    a, b = (torch.nn.functional.normalize(normal(50, 8, seed=s), dim=1) for s in (0, 1))
    t = torch.rand(50, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(sampled.slerp(a, b, torch.zeros(50)), a, atol=1e-5) and torch.allclose(
        sampled.slerp(a, b, torch.ones(50)), b, atol=1e-5
    )
    on = sampled.slerp(a, b, t)
    assert torch.allclose(on.norm(dim=1), torch.ones(50), atol=1e-5)
    angle, whole = ((x * y).sum(1).clamp(-1, 1).acos() for x, y in ((a, on), (a, b)))
    assert torch.allclose(angle, t * whole, atol=1e-3), "even speed"
    assert torch.allclose(sampled.slerp(2 * a, 4 * b, t).norm(dim=1), 2 + 2 * t, atol=1e-4)


def test_on_a_straight_line_a_linear_generator_moves_by_the_distance_of_the_ends() -> None:
    """f(t) = a + t (b - a), so |f(t) - f(t + e)|^2 / e^2 = |b - a|^2, whatever t."""
    a, b = normal(80, 5), normal(80, 5, seed=1)
    found = spaces.path_length(lambda x: x, a, b, spaces.lerp, lambda x: x.double(), epsilon=1e-2)
    lengths = sorted((a - b).square().sum(1).tolist())
    assert found.value == pytest.approx(np.mean(lengths), rel=1e-3) and found.n == 80, "of 80 nothing is dropped"
    assert found.low is not None and found.high is not None and found.low < found.value < found.high


def test_on_the_sphere_it_is_the_squared_angle() -> None:
    a, b = (torch.nn.functional.normalize(normal(64, 6, seed=s), dim=1) for s in (0, 1))
    found = spaces.path_length(lambda x: x, a, b, sampled.slerp, flat, epsilon=1e-2)
    assert found.value == pytest.approx(float((a * b).sum(1).acos().square().mean()), rel=1e-2)


def test_path_length_against_a_loop_with_percentiles() -> None:
    """A crooked generator, pair by pair in double precision; the first and last percentile dropped by sorting."""
    a, b, epsilon = normal(300, 4), normal(300, 4, seed=1), 1e-4

    def draw(x: Tensor) -> Tensor:
        return torch.stack([(3 * x).sin().sum(1), x.prod(1)], 1)

    found = spaces.path_length(draw, a, b, spaces.lerp, flat, batch=7, seed=3)
    generator = torch.Generator().manual_seed(3)
    where = torch.cat([torch.rand(min(7, 300 - i), generator=generator) for i in range(0, 300, 7)]).double()
    lengths = []
    for p, q, t in zip(a.double(), b.double(), where, strict=True):
        one, two = (draw((p + s * (q - p))[None])[0] for s in (t, t + epsilon))
        lengths.append(float((one - two).square().sum()) / epsilon**2)
    kept = sorted(lengths)[3:-3]
    assert found.value == pytest.approx(sum(kept) / len(kept), rel=2e-2)  # float32 against float64
    assert max(lengths) > 1.5 * found.value


def test_a_warped_space_is_longer_than_the_even_one_behind_it() -> None:
    """The same pictures from w and from a z that bends it: what the paper claims of w."""
    z = normal(400, 2), normal(400, 2, seed=1)

    def mapped(z: Tensor) -> Tensor:
        return z + 0.8 * (4 * z.flip(1)).sin()

    in_z = spaces.path_length(mapped, *z, sampled.slerp, flat)
    in_w = spaces.path_length(lambda w: w, *map(mapped, z), spaces.lerp, flat)
    assert in_w.high is not None and in_z.low is not None and in_w.high < in_z.low


def entropy(*shares: float) -> float:
    return -sum(share * math.log(share) for share in shares if share)


def test_conditional_entropy_of_small_tables() -> None:
    x, y = np.array([1, 1, 1, 0, 0, 0, 0, 0]) > 0, np.array([1, 1, 0, 0, 0, 0, 0, 1]) > 0
    assert spaces.conditional_entropy(x, y) == pytest.approx(3 / 8 * entropy(2 / 3, 1 / 3) + 5 / 8 * entropy(1 / 5, 4 / 5))
    assert spaces.conditional_entropy(y, y) == pytest.approx(0)
    assert spaces.conditional_entropy(np.ones(8, bool), y) == pytest.approx(entropy(3 / 8, 5 / 8))


def test_separability_of_a_plane_is_one_and_of_a_chessboard_two() -> None:
    points = normal(4000, 2).numpy()
    plane = 1 / (1 + np.exp(-5 * points[:, :1]))
    board = 1 / (1 + np.exp(-5 * points[:, :1] * points[:, 1:]))  # no plane helps: H = ln 2
    value, left = spaces.separability(points, plane)
    assert value == pytest.approx(1, abs=0.01) and left == pytest.approx([0], abs=0.01)
    value, left = spaces.separability(points, np.concatenate([plane, board], 1))
    assert value == pytest.approx(2, abs=0.08) and left == pytest.approx([0, math.log(2)], abs=0.04)
    assert spaces.separability(points, np.concatenate([board, board], 1))[0] == pytest.approx(4, abs=0.35), "the best line wins a little"
    assert spaces.separability(points, np.full((4000, 1), 0.9))[0] == 1, "all alike: nothing is unknown"


def test_only_the_surer_half_counts() -> None:
    points = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]
    answers = (points > 0).astype(np.float32)
    doubtful = np.arange(200) % 2 == 0
    answers[doubtful] = 0.5 + 0.01 * np.random.default_rng(0).choice([-1, 1], (100, 1))
    assert spaces.separability(points, answers)[0] == pytest.approx(1, abs=0.05)
    answers[doubtful] = np.random.default_rng(0).choice([0, 1], (100, 1))
    assert spaces.separability(points, answers)[0] > 1.2


def test_the_scale_of_the_points_does_not_count() -> None:
    points = normal(600, 4).numpy()
    answers = 1 / (1 + np.exp(-points[:, :1] - 0.5 * normal(600, 1, seed=1).numpy()))
    first, second = (spaces.separability(points * scale + 3, answers)[0] for scale in (1, 100))
    assert first == pytest.approx(second, abs=0.01) and 1 < first < 2


def test_turned() -> None:
    kinds = (Attribute("glasses"), Attribute("smile", 0))
    before = torch.tensor([[0.1, 0.45], [0.9, 0.45], [0.2, 0.9], [0.9, 0.1]])
    after = torch.tensor([[0.8, 0.50], [0.2, 0.65], [0.3, 0.1], [0.9, 0.9]])
    changed, kept = spaces.turned(kinds, 0, before, after)
    assert changed.tolist() == [True, True, False, False] and kept.tolist() == [1, 0, 0, 0]
    changed, kept = spaces.turned(kinds, 1, before, after)
    assert changed.tolist() == [False, True, True, True] and kept.tolist() == [0, 0, 1, 1]
    near = torch.tensor([[0.1, 0.45]]), torch.tensor([[0.1, 0.55]])
    assert not spaces.turned(kinds, 1, *near)[0].item(), "a hair's breadth over the middle is no smile"
    assert spaces.turned(kinds[:1], 0, before[:, :1], after[:, :1])[1].tolist() == [1, 1, 1, 1]
