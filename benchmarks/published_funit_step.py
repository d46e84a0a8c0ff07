"""One training step of few-shot translation, transcribed plainly: what the published recipe costs when nothing is done about it.

Liu et al.: Few-Shot Unsupervised Image-to-Image Translation, ICCV 2019. The translator's turn: E_x sees x; E_y sees y and x; F draws the
translation and the reconstruction; D sees both, and y and x for their features, one after the other. The critic's turn: the translation
is drawn again (E_x, E_y, F), D sees y, with the penalty on its gradient, and the translation. D has an output map for every class, of
which one is used. RMSprop, an average of the weights in each step. The networks are those of our preset `paper`. It stands alone:
nothing of unweave is used, so that nothing of it makes this faster.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE, RECONSTRUCT, FEATURES, PENALTY, DECAY = 0.2, 0.1, 1.0, 10.0, 0.999


def normed(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2), nn.InstanceNorm2d(outputs)]


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(*normed(channels, channels, 3), nn.ReLU(), *normed(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def content_encoder(w: int) -> nn.Sequential:
    layers = [*normed(3, w, 7), nn.ReLU()]
    for i in (w, 2 * w, 4 * w):
        layers += [*normed(i, 2 * i, 4, 2), nn.ReLU()]
    return nn.Sequential(*layers, Residual(8 * w), Residual(8 * w))


def class_encoder(w: int, code: int = 64) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, w, 7, 1, 3), nn.ReLU()]
    for i, o in ((w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w), (4 * w, 4 * w)):
        layers += [nn.Conv2d(i, o, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * w, code))


class Steered(nn.Module):
    """A residual block whose two norms are scaled and shifted by the class."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(2))

    def forward(self, x: Tensor, numbers: Tensor) -> Tensor:
        scale1, shift1, scale2, shift2 = numbers[:, :, None, None].chunk(4, dim=1)
        h = F.relu(F.instance_norm(self.first(x)) * (1 + scale1) + shift1)
        return x + F.instance_norm(self.second(h)) * (1 + scale2) + shift2


class Decoder(nn.Module):
    def __init__(self, w: int, code: int = 64, hidden: int = 256):
        super().__init__()
        self.blocks = nn.ModuleList([Steered(8 * w), Steered(8 * w)])
        layers: list[nn.Module] = []
        for i in (8 * w, 4 * w, 2 * w):
            layers += [nn.Upsample(scale_factor=2), *normed(i, i // 2, 5), nn.ReLU()]
        self.ups, self.last = nn.Sequential(*layers), nn.Conv2d(w, 3, 7, 1, 3)
        self.steer = nn.Sequential(
            nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 64 * w)
        )  # fmt: skip

    def forward(self, content: Tensor, class_: Tensor) -> Tensor:
        for block, numbers in zip(self.blocks, self.steer(class_).chunk(2, dim=1)):
            content = block(content, numbers)
        return torch.tanh(self.last(self.ups(content)))


class Ascent(nn.Module):
    """A residual block of the critic."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.second = nn.Conv2d(inputs, inputs, 3, 1, 1), nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.second(F.leaky_relu(self.first(F.leaky_relu(x, SLOPE)), SLOPE))


class Critic(nn.Module):
    """-> logits of each picture's own class (N, s, s), and features (N, C): the mean of what the last layer sees, before its activation."""

    def __init__(self, w: int, classes: int):
        super().__init__()
        widths: Sequence[int] = (w, 2 * w, 4 * w, 8 * w, 16 * w, 16 * w)
        layers: list[nn.Module] = [nn.Conv2d(3, w, 7, 1, 3)]
        for k, (i, o) in enumerate(zip(widths, widths[1:])):
            layers += [Ascent(i, i), Ascent(i, o), *([nn.AvgPool2d(2)] if k < 4 else [])]
        self.body, self.out = nn.Sequential(*layers), nn.Conv2d(16 * w, classes, 1)

    def forward(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.out(F.leaky_relu(h, SLOPE))[torch.arange(len(x)), classes], h.mean((2, 3))


class PublishedFunit(nn.Module):
    """Networks, losses and optimisers. width: channels of the outermost layers."""

    def __init__(self, classes: int = 119, width: int = 64):
        super().__init__()
        self.content_encoder, self.class_encoder, self.decoder = content_encoder(width), class_encoder(width), Decoder(width)
        self.critic = Critic(width, classes)
        self.translator = nn.ModuleList([self.content_encoder, self.class_encoder, self.decoder])
        self.average = copy.deepcopy(self.translator)
        self.rms, self.rms_critic = (
            torch.optim.RMSprop(network.parameters(), lr=1e-4, weight_decay=1e-4) for network in (self.translator, self.critic)
        )

    def losses(self, x: Tensor, own: Tensor, y: Tensor, wanted: Tensor) -> dict[str, tuple[float, Tensor]]:
        """The terms of the translator's loss with their weights."""
        content = self.content_encoder(x)
        translated, again = self.decoder(content, self.class_encoder(y)), self.decoder(content, self.class_encoder(x))
        (logits, found), (logits_again, found_again) = self.critic(translated, wanted), self.critic(again, own)
        with torch.no_grad():
            features_y, features_x = self.critic(y, wanted)[1], self.critic(x, own)[1]
        return {
            "adversary": (1.0, -(logits.mean() + logits_again.mean()) / 2),
            "reconstruct": (RECONSTRUCT, F.l1_loss(again, x)),
            "features": (FEATURES, F.l1_loss(found, features_y) + F.l1_loss(found_again, features_x)),
        }

    def critic_losses(self, x: Tensor, y: Tensor, wanted: Tensor) -> dict[str, tuple[float, Tensor]]:
        """The critic's terms with their weights."""
        with torch.no_grad():
            translated = self.decoder(self.content_encoder(x), self.class_encoder(y))
        y = y.detach().requires_grad_()
        logits = self.critic(y, wanted)[0]
        (slope,) = torch.autograd.grad(logits.mean((1, 2)).sum(), y, create_graph=True)
        return {
            "real": (1.0, F.relu(1 - logits).mean()),
            "fake": (1.0, F.relu(1 + self.critic(translated, wanted)[0]).mean()),
            "penalty": (PENALTY, slope.square().sum((1, 2, 3)).mean()),
        }

    def step(self, x: Tensor, own: Tensor, y: Tensor, wanted: Tensor) -> float:
        """x: contents, (N, 3, S, S) in [-1, 1], of the classes own (N,). y: an example of each class wanted (N,). -> the translator's."""
        total = torch.stack([weight * term for weight, term in self.losses(x, own, y, wanted).values()]).sum()
        self.rms.zero_grad()
        total.backward()
        self.rms.step()
        apart = torch.stack([weight * term for weight, term in self.critic_losses(x, y, wanted).values()]).sum()
        self.rms_critic.zero_grad()
        apart.backward()
        self.rms_critic.step()
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.translator.parameters()):
                slow.mul_(DECAY).add_(fast, alpha=1 - DECAY)
        return total.item()
