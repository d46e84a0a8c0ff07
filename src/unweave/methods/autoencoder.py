"""The plain autoencoder: the entangled baseline.

Hinton and Salakhutdinov: Reducing the Dimensionality of Data with Neural Networks, Science 2006.

A picture is squeezed into a few numbers and drawn again from them. Nothing asks one number to hold one factor, so each number
moves several at once: what every other method here is measured against.

    symbol            here                  meaning
    E, D              encoder, decoder
    z                 factors               a short vector; which factor sits where is not asked
    L                 reconstruct           |D(E(x)) - x|^2

Departures: 1. convolutions in place of stacked restricted Boltzmann machines. 2. GroupNorm, so that one picture is coded alike
in any batch.
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
from unweave.method import Adam, Batch, Group, Method, Phase, Progress, Terms, images
from unweave.nn.decoders import VectorDecoder
from unweave.nn.encoders import VectorEncoder
from unweave.pictures import Sheet
from unweave.schedules import WarmDecay


@dataclass(frozen=True)
class AutoencoderConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16
    factors: int = 10  # numbers in the code z
    width: int = 32  # channels of the outermost layers; deeper ones have 2 and 4 times as many
    reconstruct: float = 1.0  # weight of L
    lr: float = 1e-3  # Adam's step size at its highest

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16:
            raise UserError(f"The autoencoder takes pictures whose side is a multiple of 16 from 32 on (32, 48, 64 ...), not {self.size}.")


PRESETS: Mapping[str, AutoencoderConfig] = {"ae": AutoencoderConfig(), "paper": AutoencoderConfig(factors=30)}


class Autoencoder(Method):
    """`encode` to a vector of numbers, `decode` back; verb interpolate."""

    name = "autoencoder"
    Config: ClassVar[type] = AutoencoderConfig
    PRESETS = PRESETS

    def __init__(self, config: AutoencoderConfig):
        super().__init__(config)
        w = config.width
        self.encoder = VectorEncoder((w, 2 * w, 4 * w, 4 * w), config.factors, size=config.size)
        self.decoder = VectorDecoder(config.factors, (4 * w, 4 * w, 2 * w, w), size=config.size)
        self.needs = {"image": images(config.size)}
        self.codes = (Code("factors", "vector", (config.factors,)),)
        self.groups = {"autoencoder": Group(("encoder", "decoder"), Adam(WarmDecay(config.lr), betas=(0.9, 0.99)), ema=5000)}
        self.phases = (Phase("autoencoder", self.reconstruct_loss),)

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1] -> factors (N, factors). There is one domain."""
        return Codes(factors=self.encoder(x))

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image (N, 3, S, S) in [-1, 1]. `onto` is unused: the whole picture is drawn anew."""
        return Output(image=self.draw(codes))

    def draw(self, codes: Codes) -> Tensor:
        """The picture that `decode` returns."""
        return self.decoder(codes["factors"]).float().tanh()

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def reconstruct_loss(self, batch: Batch, progress: Progress) -> Terms:
        drawn = self.draw(self.encode(batch["image"]))
        terms = Terms()
        terms.add("reconstruct", losses.squared(drawn, batch["image"]), self.config.reconstruct)
        return terms

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        """score: minus the mean squared error on held-out pictures."""
        drawn = self.draw(self.encode(batch["image"]))
        return {"score": -losses.squared(drawn, batch["image"]).item()}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Pictures, how they are drawn again, and each number of the first one's code swept from -2 to 2 standard deviations."""
        x = batch["image"][:7]
        codes = self.encode(x)
        centre, spread = codes["factors"][:1], codes["factors"].std(0, correction=0)
        sweep = torch.linspace(-2, 2, len(x)).to(spread)
        rows = [list(x), list(self.draw(codes))]
        for k in range(min(self.config.factors, 8)):
            swept = codes.take(slice(0, 1)).traverse("factors", k, centre[0, k] + sweep * spread[k])
            rows.append(list(self.draw(swept)))
        return Sheet(rows, left=["pictures", "drawn", *[f"z{k}" for k in range(len(rows) - 2)]])
