"""A small two-set method with two groups that fight, an average of its weights and a loss that draws random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unweave.codes import Code, Codes, Output
from unweave.method import Adam, Batch, Group, Method, Phase, Progress, Terms, images
from unweave.pictures import Sheet
from unweave.schedules import Schedule


@dataclass(frozen=True)
class Config:
    size: int = 8
    width: int = 4
    noise: float = 0.1
    lr: float = 1e-2
    ema: float = 64.0
    batch_norm: bool = False
    dropout: float = 0.0


class Tiny(Method):
    """Encodes to a common and a separate code; a critic tells the sets apart by the common one."""

    name = "tiny"
    Config = Config
    PRESETS = {"tiny": Config()}

    def __init__(self, config: Config, lr: float | Schedule | None = None):
        super().__init__(config)
        w = config.width
        norm = [nn.BatchNorm2d(w)] if config.batch_norm else []
        self.common = nn.Sequential(nn.Conv2d(3, w, 3, 2, 1), *norm, nn.Tanh(), nn.Dropout(config.dropout))
        self.separate = nn.Conv2d(3, w, 3, 2, 1)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(2 * w, 3, 4, 2, 1), nn.Tanh())
        self.critic = nn.Sequential(nn.Flatten(), nn.Linear(w * (config.size // 2) ** 2, 1))
        self.register_buffer("seen", torch.zeros(()))
        self.needs = {"a": images(config.size), "b": images(config.size)}
        self.codes = (Code("common", "spatial", (w, 4, 4)), Code("separate", "spatial", (w, 4, 4), domains=("b",)))
        self.groups = {
            "autoencoder": Group(("common", "separate", "decoder"), Adam(lr or config.lr), clip=1.0, ema=config.ema or None),
            "critic": Group(("critic",), Adam(config.lr), keep=False),
        }
        self.phases = (Phase("autoencoder", self.transfer_loss), Phase("critic", self.critic_loss))

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        separate = self.separate(x)
        return Codes(common=self.common(x), separate=torch.zeros_like(separate) if domain == "a" else separate)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        codes = codes.broadcast()
        return Output(self.decoder(torch.cat([codes["common"], codes["separate"]], 1)))

    def transfer_loss(self, batch: Batch, progress: Progress) -> Terms:
        terms = Terms()
        codes = Codes.stack(self.encode(batch["a"], "a"), self.encode(batch["b"], "b"))
        batch["common"] = codes["common"].detach()
        x = torch.cat([batch["a"], batch["b"]])
        if self.config.noise:
            x = x + self.config.noise * progress.randn(*x.shape, like=x)
        terms.add("reconstruct", (self.decode(codes).image - x).square().mean())
        terms.add("confusion", self.critic(codes["common"]).square().mean(), 0.1)
        return terms

    def critic_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b = self.critic(batch["common"]).chunk(2)
        return Terms(domains=nn.functional.softplus(a).mean() + nn.functional.softplus(-b).mean())

    def after(self, step: int, logged) -> None:
        self.seen += logged["transfer/reconstruct"]

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        error = (self.decode(self.encode(batch["b"], "b")).image - batch["b"]).abs().mean().item()
        return {"score": -error, "error": error} | ({"seen": judge(batch["b"]).mean().item()} if judge else {})

    def preview(self, batch: Batch) -> Sheet:
        return self.grid(batch["a"][:2], batch["b"][:2])


def pictures(position: int, batch: int = 4, size: int = 8, seed: int = 0) -> Batch:
    """Batch `position` of an endless stream: pictures of b have a white corner."""
    samples = []
    for i in range(position * batch, (position + 1) * batch):
        samples.append(torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed * 1_000_003 + i)) - 0.5)
    a, b = torch.stack(samples, 1)
    b[:, :, : size // 2, : size // 2] += 0.5
    return {"a": a, "b": b}
