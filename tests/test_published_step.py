"""The benchmark's transcription of the published step and the preset `paper` of mask compute the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from unweave.method import Progress
from unweave.methods.mask import PRESETS, Mask

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
published_step = pytest.importorskip("published_step")

NETWORKS = ("common", "separate", "background", "painter", "critic")


def test_transcription_and_preset_are_one_loss() -> None:
    """Every term, the gradients of every network, and the critic's loss, in single precision."""
    torch.manual_seed(0)
    mask, plain = Mask(PRESETS["paper"]), published_step.PublishedStep()
    for name in NETWORKS:
        for own, other in zip(getattr(mask, name).parameters(), getattr(plain, name).parameters(), strict=True):
            other.data.copy_(own.data)
    a, b = torch.rand(4, 3, 64, 64) * 2 - 1, torch.rand(4, 3, 64, 64) * 2 - 1
    batch = {"a": a, "b": b}
    progress = Progress(0, 0, 0.5, torch.Generator())
    terms, expected = mask.published_loss(batch, progress), plain.losses(a, b)
    assert set(expected) - set(terms.values) == {"cycle_common"} and expected["cycle_common"][0] == 0
    for name, value in terms.values.items():
        weight, true = expected[name]
        assert weight == terms.weights[name]
        torch.testing.assert_close(value, true, rtol=1e-4, atol=1e-5, msg=name)
    terms.total.backward()
    torch.stack([weight * term for weight, term in expected.values() if weight]).sum().backward()
    for name in NETWORKS[:-1]:
        for own, other in zip(getattr(mask, name).parameters(), getattr(plain, name).parameters(), strict=True):
            assert own.grad is not None and other.grad is not None
            assert (own.grad - other.grad).norm() <= 1e-3 * other.grad.norm() + 1e-7, name
    torch.testing.assert_close(mask.critic_loss(batch, progress).total, plain.critic_loss(a, b), rtol=1e-4, atol=1e-5)


def test_a_step_of_the_transcription_learns() -> None:
    torch.manual_seed(0)
    plain = published_step.PublishedStep()
    a = torch.rand(4, 3, 64, 64) - 1
    losses = [plain.step(a, a.flip(0)) for _ in range(3)]
    assert losses[-1] < losses[0]
