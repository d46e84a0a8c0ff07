import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unweave.metrics.probes import leakage
from unweave.nn.erase import Eraser

KINDS = {
    "yes or no": lambda n, g: torch.randint(0, 2, (n, 1), generator=g).float(),
    "one of three": lambda n, g: F.one_hot(torch.randint(0, 3, (n,), generator=g), 3).float(),
    "two and a number": lambda n, g: (
        torch.rand(n, 3, generator=g).mul(torch.tensor([1.0, 2, 2])).floor_().add(torch.rand(n, 1, generator=g))
    ),
}


def telling(labels: Tensor, channels: int = 4, side: int = 3, seed: int = 0) -> Tensor:
    """Codes of varied variance whose means say the labels, (N, C, S, S)."""
    generator = torch.Generator().manual_seed(seed)
    d = channels * side * side
    mixed = torch.randn(len(labels), d, generator=generator) @ torch.randn(d, d, generator=torch.Generator().manual_seed(9)) / d**0.5
    slopes = torch.randn(labels.shape[1], d, generator=torch.Generator().manual_seed(8))
    return (mixed + 0.5 * labels @ slopes + 2).view(-1, channels, side, side)


def covariance(codes: Tensor, labels: Tensor) -> Tensor:
    x, z = codes.flatten(1).double(), labels.double()
    return (x - x.mean(0)).T @ (z - z.mean(0)) / len(x)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_that_goes_along_with_a_label(kind: str) -> None:
    labels = KINDS[kind](500, torch.Generator().manual_seed(1))
    codes, eraser = telling(labels), Eraser(4, 3, labels.shape[1])
    eraser.follow(codes, labels, step=1)
    erased = eraser(codes)
    assert covariance(codes, labels).abs().max() > 0.05
    assert covariance(erased, labels).abs().max() < 1e-5
    assert erased.mean(0).allclose(codes.mean(0), atol=1e-4)
    assert (erased - codes).pow(2).mean() < 0.5 * codes.var(0).mean()


def test_it_is_leace_where_the_covariance_has_the_form_that_is_assumed() -> None:
    """With one channel the covariance is any one. The formula of Belrose et al., theorem 4.3, by whitening."""
    labels = KINDS["two and a number"](800, torch.Generator().manual_seed(1))
    codes, eraser = telling(labels, channels=1, side=4), Eraser(1, 4, 3)
    eraser.follow(codes, labels, step=1)
    x = codes.flatten(1).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    whiten, back = vectors @ np.diag(values**-0.5) @ vectors.T, vectors @ np.diag(values**0.5) @ vectors.T
    basis, _, _ = np.linalg.svd(whiten @ covariance(codes, labels).numpy(), full_matrices=False)
    expected = x - (x - x.mean(0)) @ (back @ basis @ basis.T @ whiten).T
    assert np.abs(eraser(codes).flatten(1).numpy() - expected).max() < 0.02 * np.abs(expected - x).max()


def test_a_linear_reader_finds_nothing_in_other_pictures() -> None:
    known, asked, held = (KINDS["yes or no"](2000, torch.Generator().manual_seed(k)) for k in range(3))
    codes = [telling(labels, seed=k) for k, labels in enumerate((known, asked, held))]
    eraser = Eraser(4, 3, 1)
    for step, rows in enumerate(torch.arange(2000).split(50), start=1):
        eraser.follow(codes[0][rows], known[rows], step)

    def read(*both: Tensor) -> float:
        return leakage(both[0].numpy(), asked[:, 0].numpy(), both[1].numpy(), held[:, 0].numpy())["leakage_linear"].value

    assert read(*codes[1:]) > 0.9
    assert read(*(eraser(code) for code in codes[1:])) < 0.56


def test_it_forgets_what_codes_were() -> None:
    labels = KINDS["yes or no"](1000, torch.Generator().manual_seed(1))
    then, now = telling(labels), -telling(labels, seed=5).flip(1)
    eraser = Eraser(4, 3, 1)
    for step in range(1, 21):
        eraser.follow(then, labels, step)
    before = covariance(eraser(now), labels).abs().max()
    for step in range(21, 121):
        eraser.follow(now, labels, step)
    assert covariance(eraser(now), labels).abs().max() < 0.02 * before


def test_it_starts_as_nothing_and_lets_gradients_through() -> None:
    labels = KINDS["yes or no"](64, torch.Generator().manual_seed(1))
    codes = telling(labels).requires_grad_()
    eraser = Eraser(4, 3, 1)
    assert torch.equal(eraser(codes), codes) and not list(eraser.parameters())
    eraser.follow(codes, labels, step=1)
    eraser(codes).square().sum().backward()
    assert codes.grad is not None and covariance(codes.grad, labels).abs().max() < 1e-3


def test_labels_that_do_not_vary_take_nothing_out() -> None:
    codes = telling(torch.zeros(100, 1))
    eraser = Eraser(4, 3, 2)
    eraser.follow(codes, torch.tensor([[1.0, 0.0]]).expand(100, 2), step=1)
    assert eraser(codes).allclose(codes, atol=1e-4)
