"""The autoencoder family: from a code without meaning to one number for each factor.

Hinton and Salakhutdinov: Reducing the Dimensionality of Data with Neural Networks, Science 2006                      (ae, paper)
Higgins et al.: beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, ICLR 2017          (beta-vae)
Chen, Li, Grosse, Duvenaud: Isolating Sources of Disentanglement in Variational Autoencoders, NeurIPS 2018            (tcvae)
Aberman, Wu, Lischinski, Chen, Cohen-Or: Learning Character-Agnostic Motion for Motion Retargeting in 2D, 2019        (supervised)

A picture is squeezed into a few numbers and drawn again from them. Nothing asks one number of a plain autoencoder to hold one
factor, so each moves several at once: what every other method here is measured against. A VAE pays for what its code says
(beta), or for what its numbers say of each other (total correlation), and hopes that this parts the factors. With the losses of
Aberman et al. the factors of a grid of pictures are told: every recombination of two codes has a true picture.

    symbol                    here                          meaning
    E, D                      encoder, decoder              of a VAE, E gives a mean and a log variance
    z                         factors                       a short vector
    L, -log p(x | z)          reconstruct                   mean (D(z) - x)^2; of a VAE half the sum, a normal of unit variance
    beta, KL(q(z|x) | p(z))   beta, kl                      nats that the code says of a picture
    beta - 1 of eq. 4 (Chen)  total_correlation - 1         further weight of KL(q(z) | q(z_1) q(z_2) ...)
    L_cross                   cross                         D of the codes of x_111 and x_222, recombined, = x_ijk, all of them
    L_trip                    triplet, margin               code k is nearer where factor k is the same than where it is not

Departures: 1. convolutions in place of stacked restricted Boltzmann machines, and of the papers' small networks. 2. GroupNorm, so
that one picture is coded alike in any batch. 3. A normal likelihood where the VAEs had Bernoulli's: pixels have colours. 4. The
KL is exact; only the total correlation is estimated from the batch. 5. Cross and triplet on single numbers, not on motions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unweave import losses
from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.method import Adam, Batch, Group, Method, Phase, Progress, Terms, grids, images
from unweave.nn.decoders import VectorDecoder
from unweave.nn.encoders import VectorEncoder
from unweave.pictures import Sheet
from unweave.schedules import WarmDecay


@dataclass(frozen=True)
class AutoencoderConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16
    factors: int = 10  # numbers in the code z; with cross, one for each factor of the data
    width: int = 32  # channels of the outermost layers; deeper ones have 2 and 4 times as many
    reconstruct: float = 1.0  # weight of L (without cross, which contains it)
    beta: float = 0.0  # weight of the KL term; above 0 the code is a distribution (a VAE)
    total_correlation: float = 1.0  # beta of Chen et al.: how much heavier the total correlation counts than the rest of the KL term
    samples: int = 10_000  # N, pictures in the data set: shifts the logged total correlation, and no more
    cross: float = 0.0  # weight of the cross loss; above 0 training reads grids of factors
    triplet: float = 0.0  # weight of the triplet loss, with cross
    margin: float = 1.0  # of the triplet loss
    lr: float = 1e-3  # Adam's step size at its highest

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16:
            raise UserError(f"The autoencoder takes pictures whose side is a multiple of 16 from 32 on (32, 48, 64 ...), not {self.size}.")
        for name, least in {"factors": 1, "width": 1, "samples": 1, "beta": 0, "total_correlation": 1, "cross": 0, "triplet": 0}.items():
            if not getattr(self, name) >= least:
                raise UserError(f"{name} must be {least} or more, not {getattr(self, name)}.")
        if self.total_correlation > 1 and not self.beta:
            raise UserError("The total correlation is a part of the KL term: set beta too (1, as in the preset tcvae).")
        if self.triplet and not self.cross:
            raise UserError("The triplet loss needs the grids of the cross loss: set cross too (1, as in the preset supervised).")
        if self.cross and self.beta:
            raise UserError("The cross loss takes exact codes and beta makes them distributions: set one of the two to 0.")
        if self.cross and self.factors > 6:
            raise UserError(
                f"A grid of {self.factors} factors has {2**self.factors} pictures, which is too many: with cross, take 6 factors at most."
            )


PRESETS: Mapping[str, AutoencoderConfig] = {
    "ae": AutoencoderConfig(),
    "beta-vae": AutoencoderConfig(beta=4.0),
    "tcvae": AutoencoderConfig(beta=1.0, total_correlation=6.0),
    "supervised": AutoencoderConfig(factors=3, cross=1.0, triplet=1.0),
    "paper": AutoencoderConfig(factors=30),
}


class Autoencoder(Method):
    """`encode` to a vector of numbers, `decode` back; verb interpolate; `sweep` shows what each number does."""

    name = "autoencoder"
    Config: ClassVar[type] = AutoencoderConfig
    PRESETS = PRESETS

    def __init__(self, config: AutoencoderConfig):
        super().__init__(config)
        w, numbers = config.width, config.factors * (2 if config.beta else 1)  # a VAE's: mean and log variance
        self.encoder = VectorEncoder((w, 2 * w, 4 * w, 4 * w), numbers, size=config.size)
        self.decoder = VectorDecoder(config.factors, (4 * w, 4 * w, 2 * w, w), size=config.size)
        self.needs = {"grid": grids(config.factors, config.size)} if config.cross else {"image": images(config.size)}
        self.codes = (Code("factors", "vector", (config.factors,)),)
        self.groups = {"autoencoder": Group(("encoder", "decoder"), Adam(WarmDecay(config.lr), betas=(0.9, 0.99)), ema=5000)}
        loss = self.recombine_loss if config.cross else self.variational_loss if config.beta else self.reconstruct_loss
        self.phases = (Phase("autoencoder", loss),)

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1] -> factors (N, factors); of a VAE the means. There is one domain."""
        return Codes(factors=self.encoder(x)[:, : self.config.factors])

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image (N, 3, S, S) in [-1, 1]. `onto` is unused: the whole picture is drawn anew."""
        return Output(image=self.draw(codes["factors"]))

    def draw(self, z: Tensor) -> Tensor:
        """The picture that `decode` returns, (N, factors) -> (N, 3, S, S)."""
        return self.decoder(z).float().tanh()

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def reconstruct_loss(self, batch: Batch, progress: Progress) -> Terms:
        x, terms = batch["image"], Terms()
        terms.add("reconstruct", losses.squared(self.draw(self.encoder(x)), x), self.config.reconstruct)
        return terms

    def variational_loss(self, batch: Batch, progress: Progress) -> Terms:
        x, w, terms = batch["image"], self.config, Terms()
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        z = mean + (log_variance / 2).exp() * progress.randn(*mean.shape, like=mean)
        dependence = losses.total_correlation(z, mean, log_variance, w.samples)
        # Chen et al., eq. 4 with alpha = gamma = 1: the KL term has the total correlation in it once.
        terms.add("reconstruct", losses.normal(self.draw(z), x), w.reconstruct)
        terms.add("kl", losses.kl(mean, log_variance), w.beta)
        terms.add("total_correlation", dependence, w.beta * (w.total_correlation - 1))
        return terms

    def recombine_loss(self, batch: Batch, progress: Progress) -> Terms:
        grid, k, w, terms = batch["grid"], self.config.factors, self.config, Terms()
        first, second = (0,) * k, (1,) * k
        others = [tuple(int(j != i) for j in range(k)) for i in range(k)]  # x_122, x_212, x_221
        others += [tuple(int(j == i) for j in range(k)) for i in range(k)]  # x_211, x_121, x_112
        corners = torch.stack([grid[(slice(None), *at)] for at in (first, second, *others)])
        z = self.encoder(corners.flatten(0, 1)).float().unflatten(0, corners.shape[:2])  # (2 + 2k, N, k)
        numbers = z[0].split(1, dim=1), z[1].split(1, dim=1)  # each a code of its own
        terms.add("cross", losses.cross(lambda *code: self.draw(torch.cat(code, 1)), *numbers, grid), w.cross)
        terms.add("triplet", sum(self._triplets(z), torch.zeros(()).to(z)), w.triplet)
        return terms

    def _triplets(self, z: Tensor) -> list[Tensor]:
        """Two for each factor: where only it has the value of x_111 (or of x_222), its number is nearer to that of x_111 (or x_222)."""
        found = []
        for i in range(self.config.factors):
            one, two, like_one, like_two = (z[row, :, i : i + 1] for row in (0, 1, 2 + i, 2 + self.config.factors + i))
            found += [losses.triplet(like_one, one, two, self.config.margin), losses.triplet(like_two, two, one, self.config.margin)]
        return found

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        """score: minus the loss on held-out pictures (with the same draws each time)."""
        progress = Progress(0, 0, 0.0, torch.Generator().manual_seed(0))
        return {"score": -self.phases[0].loss(batch, progress).total.item()}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Pictures, how they are drawn again, and each number of the first one's code swept (those that vary most)."""
        x = batch["grid"].flatten(0, self.config.factors) if self.config.cross else batch["image"]
        swept = self.sweep(x[:64], steps=7)
        return Sheet(
            [list(x[:7]), list(self.draw(self.encode(x[:7])["factors"])), *swept.rows[:8]], left=["pictures", "drawn", *swept.left[:8]]
        )
