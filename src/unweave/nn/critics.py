"""Critics: networks that only training needs."""

from __future__ import annotations

from torch import Tensor, nn

from unweave.nn.blocks import activation, norm


class VectorCritic(nn.Module):
    """Latent discriminator of the two-set papers: the whole code, Linear 512, LeakyReLU, Linear -> (N,) logits of set b."""

    def __init__(self, features: int, width: int = 512):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(features, width), activation(), nn.Linear(width, 1))

    def forward(self, code: Tensor) -> Tensor:
        return self.body(code).squeeze(1)


class PatchCritic(nn.Module):
    """Latent discriminator of a fine map, (N, channels, S, S) -> (N * (S / 4)^2,): a logit of set b for each cell of its last map."""

    def __init__(self, channels: int, width: int = 64):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1), activation(), nn.Conv2d(width, width, 4, 2, 1), norm("group", width), activation(),
            nn.Conv2d(width, 2 * width, 4, 2, 1), norm("group", 2 * width), activation(), nn.Conv2d(2 * width, 1, 3, 1, 1), nn.Flatten(),
        )  # fmt: skip

    def forward(self, code: Tensor) -> Tensor:
        return self.body(code).flatten()
