"""One training step of the papers whose networks are chains of 4x4 convolutions, transcribed plainly: what each costs as it is written.

    PublishedMask         Mokady, Benaim, Wolf, Bermano: Mask Based Unsupervised Content Transfer, ICLR 2020
    PublishedContent      Press, Galanti, Benaim, Wolf: Emerging Disentanglement in ... Content Transfer, ICLR 2019
    PublishedDifference   Benaim, Khaitov, Galanti, Wolf: Domain Intersection and Domain Difference, ICCV 2019
    PublishedFader        Lample et al.: Fader Networks, NIPS 2017

Each term of a loss makes its own passes, the critic's turn encodes again, and Adam is PyTorch's own default. Nothing is passed back through
what the critic's turn encodes. The networks are those of our presets `paper`: without the spectral norms of the release of the third, and
with a depth of the fourth that leaves 4x4 cells. It stands alone: nothing of unweave is used, so that nothing of it makes this faster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE, CLIP, LR = 0.2, 5.0, 2e-4


def instance(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels)


def encoder(channels: Sequence[int], norm: Callable[[int], nn.Module] = nn.BatchNorm2d, bare: bool = False) -> nn.Sequential:
    """Halving convolutions. bare: the last one stands alone."""
    layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 4, 2, 1), nn.LeakyReLU(SLOPE)]
    for inputs, outputs in zip(channels, channels[1:]):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), norm(outputs), nn.LeakyReLU(SLOPE)]
    if bare:
        layers[-3:] = [nn.Conv2d(channels[-2], channels[-1], 4, 2, 1)]
    return nn.Sequential(*layers)


def decoder(outputs: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d, act: nn.Module | None = None) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = (512, 512, 256, 128, 64, 32)
    for inputs, width in zip(channels, channels[1:]):
        layers += [nn.ConvTranspose2d(inputs, width, 4, 2, 1, bias=False), norm(width), act or nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], outputs, 4, 2, 1))


def latent_critic(features: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(features, 512), nn.LeakyReLU(SLOPE), nn.Linear(512, 1))


class PublishedStep(nn.Module, ABC):
    """What all four share: two optimisers, a loss of named terms, and in each step one move of either side."""

    critic: nn.Module
    encode: Callable[[Tensor], Tensor]  # the code that the critic reads
    bf16 = False  # losses under autocast

    def optimise(self, networks: Sequence[nn.Module], betas: tuple[float, float]) -> None:
        self.moved = [p for network in networks for p in network.parameters()]
        self.adam, self.adam_critic = (torch.optim.Adam(p, lr=LR, betas=betas) for p in (self.moved, self.critic.parameters()))

    @abstractmethod
    def losses(self, a: Tensor, b: Tensor) -> dict[str, tuple[float, Tensor]]:
        """The terms of the autoencoder's loss with their weights."""

    def critic_loss(self, a: Tensor, b: Tensor) -> Tensor:
        """It tells a from b."""
        of_a, of_b = (self.critic(self.encode(x).detach()).float() for x in (a, b))
        return (F.softplus(of_a).mean() + F.softplus(-of_b).mean()) / 2

    def step(self, a: Tensor, b: Tensor) -> float:
        """One step of the autoencoder, then one of the critic, on pictures (N, 3, S, S) in [-1, 1]. -> the loss."""
        with torch.autocast(a.device.type, torch.bfloat16, enabled=self.bf16):
            total = torch.stack([weight * term for weight, term in self.losses(a, b).values() if weight]).sum()
        move(self.adam, total)
        with torch.autocast(a.device.type, torch.bfloat16, enabled=self.bf16):
            apart = self.critic_loss(a, b)
        move(self.adam_critic, apart)
        return total.item()


def move(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], CLIP)
    optimiser.step()


class PublishedMask(PublishedStep):
    """size: 64 or 128. bf16: losses under autocast. E_c sees a and b, the transfer x, and a and b again for the critic's turn (5 passes);
    E_s sees b and x (2); D1 draws a and b (2); D2 draws b twice, for Recon1 and for Recon2, a without a part, and x (4). The cycle of E_c
    has weight 0 for glasses: it is passed through but not back."""

    RECON1_B, RECON1_A, RECON2_B, RECON2_A, CYCLE_SEPARATE, CONFUSION = 7.0, 5.0, 0.7, 0.7, 0.001, 0.005

    def __init__(self, size: int = 64, separate: int = 25, bf16: bool = False):
        super().__init__()
        side, rest = size // 64, 512 - separate
        self.bf16, self.nothing = bf16, (separate, side, side)
        self.common, self.separate = encoder((32, 64, 128, 256, rest, rest)), encoder((32, 64, 128, 128, 128, separate))
        self.background, self.painter = decoder(3), decoder(4)
        self.critic = latent_critic(rest * side * side)
        self.optimise((self.common, self.separate, self.background, self.painter), (0.9, 0.999))

    def encode(self, x: Tensor) -> Tensor:
        return self.common(x)

    def clean(self, common: Tensor) -> Tensor:
        """D1's picture."""
        zeros = torch.zeros(len(common), *self.nothing, dtype=common.dtype, device=common.device)
        return torch.tanh(self.background(torch.cat([common, zeros], dim=1)).float())

    def painted(self, common: Tensor, separate: Tensor, onto: Tensor) -> Tensor:
        """D2's mask and raw colours on a picture."""
        drawn = self.painter(torch.cat([common, separate], dim=1)).float()
        mask, raw = torch.sigmoid(drawn[:, :1]), torch.tanh(drawn[:, 1:])
        return mask * raw + (1 - mask) * onto

    def losses(self, a: Tensor, b: Tensor) -> dict[str, tuple[float, Tensor]]:
        common_a, common_b, separate_b = self.common(a), self.common(b), self.separate(b)
        nothing = torch.zeros_like(separate_b)
        clean_a, clean_b = self.clean(common_a), self.clean(common_b)
        x = self.painted(common_a, separate_b, a)
        return {
            "recon1_b": (self.RECON1_B, F.l1_loss(self.painted(common_b, separate_b, clean_b), b)),
            "recon1_a": (self.RECON1_A, F.l1_loss(clean_a, a)),
            "recon2_b": (self.RECON2_B, F.l1_loss(self.painted(common_b, separate_b, b), b)),
            "recon2_a": (self.RECON2_A, F.l1_loss(self.painted(common_a, nothing, a), a)),
            "cycle_common": (0.0, F.mse_loss(self.common(x).float(), common_a.float())),
            "cycle_separate": (self.CYCLE_SEPARATE, F.mse_loss(self.separate(x).float(), separate_b.float())),
            "confusion": (self.CONFUSION, sum(F.softplus(self.critic(c).float()).mean() for c in (common_a, common_b)) / 2),
        }


class PublishedContent(PublishedStep):
    """At 128 px. E_c sees a and b, and both again for the critic's turn (4 passes); E_s sees b; D draws a and b."""

    CONFUSION = 0.001

    def __init__(self, separate: int = 25):
        super().__init__()
        rest = 512 - separate
        self.common = encoder((32, 64, 128, 256, rest, rest), instance)
        self.separate = encoder((32, 64, 128, 128, 128, separate), instance)
        self.decoder = decoder(3, instance, nn.ReLU())
        self.critic = latent_critic(rest * 4)
        self.optimise((self.common, self.separate, self.decoder), (0.5, 0.999))

    def encode(self, x: Tensor) -> Tensor:
        return self.common(x)

    def draw(self, common: Tensor, separate: Tensor) -> Tensor:
        return torch.tanh(self.decoder(torch.cat([common, separate], dim=1)))

    def losses(self, a: Tensor, b: Tensor) -> dict[str, tuple[float, Tensor]]:
        common_a, common_b, separate_b = self.common(a), self.common(b), self.separate(b)
        return {
            "reconstruct_a": (1.0, F.mse_loss(self.draw(common_a, torch.zeros_like(separate_b)), a)),
            "reconstruct_b": (1.0, F.mse_loss(self.draw(common_b, separate_b), b)),
            "confusion": (self.CONFUSION, sum(F.softplus(self.critic(c)).mean() for c in (common_a, common_b)) / 2),
        }


class PublishedDifference(PublishedStep):
    """At 128 px. E_c sees a and b, and both again for the critic's turn (4 passes); E_a and E_b each see both (4); G draws a and b."""

    CONFUSION = 0.001

    def __init__(self, separate: int = 25):
        super().__init__()
        rest = 512 - 2 * separate
        self.common = encoder((32, 64, 128, 256, rest, rest), instance)
        self.separate_a, self.separate_b = (encoder((32, 64, 128, 128, 128, separate), instance, bare=True) for _ in "ab")
        self.decoder = decoder(3, instance, nn.ReLU())
        self.critic = latent_critic(rest * 4)
        self.optimise((self.common, self.separate_a, self.separate_b, self.decoder), (0.5, 0.999))

    def encode(self, x: Tensor) -> Tensor:
        return self.common(x)

    def draw(self, common: Tensor, part_a: Tensor, part_b: Tensor) -> Tensor:
        return torch.tanh(self.decoder(torch.cat([common, part_a, part_b], dim=1)))

    def losses(self, a: Tensor, b: Tensor) -> dict[str, tuple[float, Tensor]]:
        common_a, common_b, part_a, part_b = self.common(a), self.common(b), self.separate_a(a), self.separate_b(b)
        nothing = torch.zeros_like(part_a)
        return {
            "reconstruct_a": (1.0, F.l1_loss(self.draw(common_a, part_a, nothing), a)),
            "reconstruct_b": (1.0, F.l1_loss(self.draw(common_b, nothing, part_b), b)),
            "zero_a": (1.0, self.separate_a(b).abs().mean()),
            "zero_b": (1.0, self.separate_b(a).abs().mean()),
            "confusion": (self.CONFUSION, sum(F.softplus(-self.critic(c)).mean() for c in (common_a, common_b)) / 2),
        }


class PublishedFader(PublishedStep):
    """size: 64, 128 or 256. One attribute, yes or no. The critic's turn comes first and has pictures of its own: E sees them and x (2
    passes), D draws x, the critic reads both codes (2)."""

    CONFUSION, RAMP = 1e-4, 500_000

    def __init__(self, size: int = 64):
        super().__init__()
        widths = (32, 64, 128, 256, 512, 512)[: {64: 4, 128: 5, 256: 6}[size]]
        self.encoder, self.decoder, self.steps = encoder(widths), nn.ModuleList(), 0
        for inputs, outputs in zip(widths[::-1], widths[-2::-1]):
            self.decoder.append(
                nn.Sequential(nn.ConvTranspose2d(inputs + 2, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
            )
        self.decoder.append(nn.ConvTranspose2d(widths[0] + 2, 3, 4, 2, 1))
        layers: list[nn.Module] = []
        for inputs in (widths[-1], 512):  # 4x4 cells, 2x2, one
            layers += [nn.Conv2d(inputs, 512, 4, 2, 1, bias=False), nn.BatchNorm2d(512), nn.LeakyReLU(SLOPE), nn.Dropout(0.3)]
        self.critic = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(512, 512), nn.LeakyReLU(SLOPE), nn.Dropout(0.3), nn.Linear(512, 2)
        )  # fmt: skip
        self.optimise((self.encoder, self.decoder), (0.5, 0.999))

    def draw(self, code: Tensor, y: Tensor) -> Tensor:
        """y: (N,), 0 or 1; as two planes at the input of every layer."""
        told = torch.stack([1 - y, y], dim=1)[:, :, None, None].float()
        for layer in self.decoder:
            code = layer(torch.cat([code, told.expand(-1, -1, *code.shape[2:])], dim=1))
        return torch.tanh(code)

    def losses(self, x: Tensor, y: Tensor) -> dict[str, tuple[float, Tensor]]:
        code = self.encoder(x)
        weight = self.CONFUSION * min(1.0, self.steps / self.RAMP)
        return {
            "reconstruct": (1.0, F.mse_loss(self.draw(code, y), x)),
            "confusion": (weight, F.cross_entropy(self.critic(code), 1 - y)),
        }

    def critic_loss(self, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            code = self.encoder(x)
        return F.cross_entropy(self.critic(code), y)

    def step(self, x: Tensor, y: Tensor, own_x: Tensor, own_y: Tensor) -> float:  # type: ignore[override]
        """x: (N, 3, S, S) in [-1, 1]. y: (N,) int64. own: the critic's batch. -> the autoencoder's loss."""
        self.eval()
        self.critic.train()
        move(self.adam_critic, self.critic_loss(own_x, own_y))
        self.train()
        self.critic.eval()
        total = torch.stack([weight * term for weight, term in self.losses(x, y).values()]).sum()
        move(self.adam, total)
        self.steps += 1
        return total.item()
