"""The autoencoder family: which loss each preset has, what it reads, and what a config may not ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unweave import losses, recipe, runs
from unweave.errors import UserError
from unweave.method import Batch, Progress
from unweave.methods import get
from unweave.methods.autoencoder import PRESETS, Autoencoder, AutoencoderConfig


def build(preset: str, **fields: float) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(replace(PRESETS[preset], **{"size": 32, "width": 4, "factors": 3, **fields}))  # type: ignore[arg-type]


def progress(seed: int = 0) -> Progress:
    return Progress(0, 0, 0.0, torch.Generator().manual_seed(seed))


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_presets_have_their_papers_terms() -> None:
    image: Batch = {"image": pictures(5)}
    grid: Batch = {"grid": pictures(2, 2, 2, 2)}
    wanted = {
        "ae": {"reconstruct": 1.0},
        "paper": {"reconstruct": 1.0},
        "beta-vae": {"reconstruct": 1.0, "kl": 4.0, "total_correlation": 0.0},
        "tcvae": {"reconstruct": 1.0, "kl": 1.0, "total_correlation": 5.0},
        "supervised": {"cross": 1.0, "triplet": 1.0},
    }
    assert wanted.keys() == PRESETS.keys()
    for preset, weights in wanted.items():
        model = build(preset)
        assert list(model.needs) == (["grid"] if preset == "supervised" else ["image"])
        assert model.phases[0].loss(grid if preset == "supervised" else image, progress()).weights == weights


def test_a_vae_encodes_to_its_mean_and_draws_only_in_its_loss() -> None:
    model = build("beta-vae").eval()
    x = pictures(6)
    mean, log_variance = model.encoder(x).chunk(2, dim=1)
    assert torch.equal(model.encode(x)["factors"], mean) and torch.equal(model.encode(x)["factors"], mean)
    found = model.variational_loss({"image": x}, progress(1)).values
    noise = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    z = mean + (log_variance / 2).exp() * noise
    torch.testing.assert_close(found["reconstruct"], losses.normal(model.draw(z), x))
    torch.testing.assert_close(found["kl"], losses.kl(mean, log_variance))
    again, other = (model.variational_loss({"image": x}, progress(seed)).values["reconstruct"] for seed in (1, 2))
    assert torch.equal(found["reconstruct"], again) and not torch.equal(found["reconstruct"], other)


def test_the_cross_loss_draws_every_recombination_from_two_codes() -> None:
    """Only the codes of x_111 and x_222 are used: change the other pictures' codes and the term stays."""
    model = build("supervised", factors=2).eval()
    grid = pictures(3, 2, 2)
    first, second = model.encode(grid[:, 0, 0])["factors"], model.encode(grid[:, 1, 1])["factors"]
    total = torch.zeros(())
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        z = torch.stack([(first, second)[i][:, 0], (first, second)[j][:, 1]], 1)
        total = total + losses.squared(model.draw(z), grid[:, i, j])
    torch.testing.assert_close(model.recombine_loss({"grid": grid}, progress()).values["cross"], total)


def test_the_triplets_are_those_of_the_paper() -> None:
    """For three factors, by hand: x_122 and x_211 anchor the first, x_212 and x_121 the second, x_221 and x_112 the third."""
    model = build("supervised", margin=0.1).eval()
    grid = pictures(4, 2, 2, 2)

    def number(factor: int, *at: int) -> torch.Tensor:
        return model.encode(grid[(slice(None), *(n - 1 for n in at))])["factors"][:, factor : factor + 1]

    anchors = {0: ((1, 2, 2), (2, 1, 1)), 1: ((2, 1, 2), (1, 2, 1)), 2: ((2, 2, 1), (1, 1, 2))}
    total = torch.zeros(())
    for factor, pair in anchors.items():
        one, two = number(factor, 1, 1, 1), number(factor, 2, 2, 2)
        for anchor, (near, far) in zip(pair, ((one, two), (two, one))):
            total = total + losses.triplet(number(factor, *anchor), near, far, 0.1)
    assert total > 0
    torch.testing.assert_close(model.recombine_loss({"grid": grid}, progress()).values["triplet"], total)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"size": 40}, "multiple of 16"),
        ({"factors": 0}, "factors must be 1 or more"),
        ({"beta": -1.0}, "beta must be 0 or more"),
        ({"beta": float("nan")}, "beta must be 0 or more"),
        ({"total_correlation": 6.0}, "set beta too"),
        ({"triplet": 1.0}, "set cross too"),
        ({"cross": 1.0, "beta": 1.0, "factors": 3}, "set one of the two to 0"),
        ({"cross": 1.0, "factors": 9}, "512 pictures"),
    ],
)
def test_settings_that_do_not_fit_are_named(fields: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        AutoencoderConfig(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", ["ae", "beta-vae", "supervised"])
def test_learning_lowers_the_loss(preset: str) -> None:
    model = build(preset)
    batch: Batch = {"grid": pictures(2, 2, 2, 2)} if preset == "supervised" else {"image": pictures(16)}
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    totals = []
    for _ in range(12):
        total = model.phases[0].loss(batch, progress()).total
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert totals[-1] < 0.9 * totals[0]


def test_full_supervision_is_trained_by_name_and_measured(tmp_path: Path) -> None:
    run = recipe.train(
        "autoencoder", "rectangles", preset="supervised", overrides={"width": 4}, size=32, batch=1, images=32,
        out=tmp_path / "run", device="cpu", precision="fp32", snapshots=1, on_progress=lambda tick: None,
    )  # fmt: skip
    assert run.finished and run.images == 32  # four steps of one grid of eight pictures
    model = runs.load(run.path, get)
    assert model.encode(pictures(5))["factors"].shape == (5, 3)
    assert any((run.path / "samples").glob("*.png"))
