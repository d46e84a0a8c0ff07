"""One training step of mask-based content transfer, transcribed plainly: what the published recipe costs when nothing is done about it.

Mokady, Benaim, Wolf, Bermano: Mask Based Unsupervised Content Transfer, ICLR 2020. Each term of the loss makes its own passes: E_c sees
a and b, the transfer x, and a and b again for the critic's turn (5 passes); E_s sees b and x (2); D1 draws a and b (2); D2 draws b twice,
for Recon1 and for Recon2, a without a part, and x (4). The cycle of E_c has weight 0 for glasses: it is passed through but not back. Adam
is PyTorch's own default. It stands alone: nothing of unweave is used, so that nothing of it makes this faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
RECON1_B, RECON1_A, RECON2_B, RECON2_A, CYCLE_SEPARATE, CONFUSION = 7.0, 5.0, 0.7, 0.7, 0.001, 0.005


def encoder(channels: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 4, 2, 1), nn.LeakyReLU(SLOPE)]
    for inputs, outputs in zip(channels, channels[1:]):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


def decoder(outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = (512, 512, 256, 128, 64, 32)
    for inputs, width in zip(channels, channels[1:]):
        layers += [nn.ConvTranspose2d(inputs, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], outputs, 4, 2, 1))


class PublishedStep(nn.Module):
    """Networks, losses and optimisers. size: 64 or 128. bf16: losses under autocast."""

    def __init__(self, size: int = 64, separate: int = 25, bf16: bool = False):
        super().__init__()
        side, rest = size // 64, 512 - separate
        self.bf16, self.nothing = bf16, (separate, side, side)
        self.common, self.separate = encoder((32, 64, 128, 256, rest, rest)), encoder((32, 64, 128, 128, 128, separate))
        self.background, self.painter = decoder(3), decoder(4)
        self.critic = nn.Sequential(nn.Flatten(), nn.Linear(rest * side * side, 512), nn.LeakyReLU(SLOPE), nn.Linear(512, 1))
        self.moved = [*self.common.parameters(), *self.separate.parameters(), *self.background.parameters(), *self.painter.parameters()]
        self.adam, self.adam_critic = (torch.optim.Adam(p, lr=2e-4) for p in (self.moved, self.critic.parameters()))

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
        """The terms of the autoencoder's loss with their weights."""
        common_a, common_b, separate_b = self.common(a), self.common(b), self.separate(b)
        nothing = torch.zeros_like(separate_b)
        clean_a, clean_b = self.clean(common_a), self.clean(common_b)
        x = self.painted(common_a, separate_b, a)
        return {
            "recon1_b": (RECON1_B, F.l1_loss(self.painted(common_b, separate_b, clean_b), b)),
            "recon1_a": (RECON1_A, F.l1_loss(clean_a, a)),
            "recon2_b": (RECON2_B, F.l1_loss(self.painted(common_b, separate_b, b), b)),
            "recon2_a": (RECON2_A, F.l1_loss(self.painted(common_a, nothing, a), a)),
            "cycle_common": (0.0, F.mse_loss(self.common(x).float(), common_a.float())),
            "cycle_separate": (CYCLE_SEPARATE, F.mse_loss(self.separate(x).float(), separate_b.float())),
            "confusion": (CONFUSION, sum(F.softplus(self.critic(c).float()).mean() for c in (common_a, common_b)) / 2),
        }

    def critic_loss(self, a: Tensor, b: Tensor) -> Tensor:
        of_a, of_b = (self.critic(self.common(x).detach()).float() for x in (a, b))
        return (F.softplus(of_a).mean() + F.softplus(-of_b).mean()) / 2

    def step(self, a: Tensor, b: Tensor) -> float:
        """One step of the autoencoder, then one of the critic, on pictures (N, 3, S, S) in [-1, 1]. -> the loss."""
        with torch.autocast(a.device.type, torch.bfloat16, enabled=self.bf16):
            total = torch.stack([weight * term for weight, term in self.losses(a, b).values() if weight]).sum()
        self.adam.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.moved, 5.0)
        self.adam.step()
        with torch.autocast(a.device.type, torch.bfloat16, enabled=self.bf16):
            apart = self.critic_loss(a, b)
        self.adam_critic.zero_grad()
        apart.backward()
        nn.utils.clip_grad_norm_(self.critic.parameters(), 5.0)
        self.adam_critic.step()
        return total.item()
