"""A decoder of clips that knows what a body is: a code for where limbs point in space, one for how long they are, one for the camera.

    limb l in the picture = length_l(skeleton) * P(view) direction_l(motion),   P = the turn about the vertical, without depth

A joint is the sum of the limbs on the way to it from the hips. The velocity of the hips is a fifteenth limb, of which the body says how far
its legs go. So a body changes nothing of where limbs point, and all recombinations of codes cost little more than one. Backwards it tells
what a clip's limbs do apart from how long they are. Lengths and directions are bounded: a clip unlike any in training cannot tear limbs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unweave.body import LIMBS, OTHERS, PARENTS, ROOT
from unweave.nn.blocks import SLOPE
from unweave.nn.sequence import ClipDecoder, Steps

STRETCH = 1.2  # by what power of e a limb is longer or shorter than the typical one, at most
SLACK = 1.3  # a limb in a picture that is read is no longer than that times its length
FAST = 8.0  # the most that a velocity is read as, in typical ones


class Puppet(nn.Module):
    """motion, skeleton, view: numbers in the codes. Channels are (N, 30, T): 14 joints about the hips, x and y each, and their velocity.

    The buffer `typical`, (15,), is to hold the length of each limb that is usual, and of the velocity."""

    tree: Tensor
    back: Tensor
    typical: Tensor

    def __init__(self, motion: int, skeleton: int, view: int, widths: tuple[int, int] = (128, 60), hidden: int = 32):
        super().__init__()
        limbs = len(LIMBS) + 1
        self.space = nn.Sequential(Steps(motion), ClipDecoder(motion, 3 * limbs, widths, dropout=0.0))
        self.long = nn.Sequential(nn.Linear(skeleton, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, limbs))
        self.turn = nn.Sequential(nn.Linear(view, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, 2))
        for last, start in ((self.long[2], torch.zeros(limbs)), (self.turn[2], torch.tensor([1.0, 0.0]))):
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=0.02)
            last.bias.data.copy_(start)
        tree = _tree()
        self.register_buffer("tree", tree)
        self.register_buffer("back", tree.inverse())
        self.register_buffer("typical", torch.ones(limbs))

    def lengths(self, skeleton: Tensor) -> Tensor:
        """Codes (..., D) -> how long each limb is, (..., 15)."""
        return self.typical * (STRETCH * torch.tanh(self.long(skeleton) / STRETCH)).exp()

    def angle(self, view: Tensor) -> Tensor:
        """Codes (..., D) -> cosine and sine of the turn about the vertical, (..., 2)."""
        turn = self.turn(view)
        return turn / (torch.linalg.vector_norm(turn, dim=-1, keepdim=True) + 1e-4)

    def directions(self, motion: Tensor) -> Tensor:
        """Codes (N, D, T / 8) -> where limbs point, no longer than 1, and the velocity: (N, 3, 15, T)."""
        found = self.space(motion).unflatten(1, (3, -1))
        return torch.cat([_short(found[:, :, :-1], 1.0, 1), found[:, :, -1:]], 2)

    def grid(self, motion: Tensor, skeleton: Tensor, view: Tensor) -> Tensor:
        """Codes (N, I, ..), (N, J, ..), (N, K, ..) -> channels of all recombinations, (N, I, J, K, 30, T)."""
        n, i, j, k = *motion.shape[:2], skeleton.shape[1], view.shape[1]
        space = self.directions(motion.flatten(0, 1)).unflatten(0, (n, i)).permute(0, 2, 1, 3, 4)  # (N, 3, I, 15, T)
        c, s = self.angle(view).unbind(-1)
        nought = torch.zeros_like(c)
        seen = torch.stack([c, nought, s, nought, nought + 1, nought], -1).reshape(n, 2 * k, 3) @ space.flatten(2)
        seen = seen.reshape(n, k, 2, i, 15, -1).permute(0, 4, 3, 1, 2, 5)  # (N, 15, I, K, 2, T)
        bodies = (self.tree * self.lengths(skeleton)[:, :, None]).flatten(1, 2)
        made = (bodies @ seen.flatten(2)).reshape(n, j, *seen.shape[1:])  # (N, J, 15, I, K, 2, T)
        return made.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5)

    def prepare(self, channels: Tensor) -> None:
        """Typical lengths, out of clips (N, 30, T): limbs look as long as they are in some frame."""
        found = (self.back @ channels.reshape(len(channels), len(self.typical), -1)).unflatten(2, (2, -1))
        long = torch.linalg.vector_norm(found, dim=2)
        self.typical.copy_(torch.cat([long[:, :-1].amax(2).mean(0), long[:, -1:].mean((0, 2))]))

    def bare(self, channels: Tensor, skeleton: Tensor, view: Tensor) -> Tensor:
        """What limbs do in the picture (N, 30, T), each over its length, and the camera's cosine and sine beside: (N, 32, T)."""
        n, _, frames = channels.shape
        found = (self.back @ channels.reshape(n, 15, -1)) / self.lengths(skeleton)[:, :, None]
        found = found.reshape(n, 15, 2, frames)
        found = torch.cat([_short(found[:, :-1], SLACK, 2), _short(found[:, -1:], FAST, 2)], 1)
        return torch.cat([found.flatten(1, 2), self.angle(view)[:, :, None].expand(-1, -1, frames)], 1)


def _short(x: Tensor, most: float, dim: int) -> Tensor:
    """Vectors along `dim`, the longer ones cut to the length `most`."""
    return x * (most / torch.linalg.vector_norm(x, dim=dim, keepdim=True).clamp_min(most))


def _tree() -> Tensor:
    """(15, 15), invertible: which limbs add up to each of `OTHERS`; the velocity, last, is itself."""
    tree = torch.zeros(len(OTHERS) + 1, len(LIMBS) + 1)
    tree[-1, -1] = 1
    for row, joint in enumerate(OTHERS):
        while joint != ROOT:
            tree[row, OTHERS.index(joint)] = 1
            joint = PARENTS[joint]
    return tree
