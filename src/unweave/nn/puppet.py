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
    """motion, skeleton, view: numbers in the codes. Channels are (N, T, 30): 14 joints about the hips, x and y each, and their velocity.

    The buffer `typical`, (15,), is to hold the length of each limb that is usual, and of the velocity."""

    tree: Tensor
    most: Tensor
    back: Tensor
    typical: Tensor
    picture: Tensor

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
        self.register_buffer("back", tree.inverse().contiguous())
        self.register_buffer("typical", torch.ones(limbs))
        across, up = (torch.kron(tree, torch.tensor(axis)).T for axis in ([[1.0], [0.0]], [[0.0], [1.0]]))  # (15, 30): limbs to channels
        self.register_buffer("picture", torch.stack([across, up, across]), persistent=False)  # of limbs' x, y and depth
        self.register_buffer("most", torch.tensor([SLACK] * (limbs - 1) + [FAST]), persistent=False)

    def lengths(self, skeleton: Tensor) -> Tensor:
        """Codes (..., D) -> how long each limb is, (..., 15)."""
        return self.typical * (STRETCH * torch.tanh(self.long(skeleton) / STRETCH)).exp()

    def angle(self, view: Tensor) -> Tensor:
        """Codes (..., D) -> cosine and sine of the turn about the vertical, (..., 2)."""
        turn = self.turn(view)
        return turn / (torch.linalg.vector_norm(turn, dim=-1, keepdim=True) + 1e-4)

    def directions(self, motion: Tensor) -> Tensor:
        """Codes (N, T / 8, D) -> where limbs point, no longer than 1, and the velocity: (N, T, 3, 15)."""
        found = self.space(motion).unflatten(2, (3, -1))
        limbs, velocity = found.split([found.shape[3] - 1, 1], 3)
        x, y, z = limbs.unbind(2)
        short = (x.square() + y.square() + z.square()).clamp_min(1.0).rsqrt()
        return torch.cat([limbs * short[:, :, None], velocity], 3)

    def grid(self, motion: Tensor, skeleton: Tensor, view: Tensor) -> Tensor:
        """Codes (N, I, T / 8, D), (N, J, D), (N, K, D) -> channels of all recombinations, (N, I, J, K, T, 30).

        A body and a view are one matrix, of directions (3 * 15) to channels (30)."""
        n, i, j, k = *motion.shape[:2], skeleton.shape[1], view.shape[1]
        space = self.directions(motion.flatten(0, 1)).reshape(n, -1, 45)
        c, s = self.angle(view)[:, None, None].unbind(-1)  # (N, 1, 1, K) each
        turn = torch.stack([c, torch.ones_like(c), s], 1)[..., None]  # (N, 3, 1, 1, K, 1)
        bodies = self.lengths(skeleton).transpose(1, 2)[:, None, :, :, None] * self.picture[:, :, None]  # (N, 3, 15, J, 30)
        made = space @ (bodies[:, :, :, :, None] * turn).reshape(n, 45, -1)
        return made.view(n, i, -1, j, k, 30).permute(0, 1, 3, 4, 2, 5)

    def prepare(self, channels: Tensor) -> None:
        """Typical lengths, out of clips (N, T, 30): limbs look as long as they are in some frame."""
        long = torch.linalg.vector_norm(self.limbs(channels), dim=3)
        self.typical.copy_(torch.cat([long[:, :, :-1].amax(1).mean(0), long[:, :, -1:].mean((0, 1))]))

    def limbs(self, channels: Tensor) -> Tensor:
        """Where limbs point in the picture, and the velocity: (N, T, 30) -> (N, T, 15, 2)."""
        return (channels @ torch.kron(self.back, torch.eye(2).to(self.back)).T).unflatten(2, (-1, 2))

    def bare(self, channels: Tensor, skeleton: Tensor, view: Tensor) -> Tensor:
        """What limbs do in the picture (N, T, 30), each over its length, and the camera's cosine and sine beside: (N, T, 32).

        channels: clips as they are, through which nothing is learned."""
        found = self.limbs(channels)
        scale = torch.minimum(1 / self.lengths(skeleton)[:, None], self.most / torch.hypot(*found.unbind(3)))
        seen = self.angle(view)[:, None].expand(-1, channels.shape[1], -1)
        return torch.cat([(found * scale[..., None]).flatten(2), seen], 2)


def _tree() -> Tensor:
    """(15, 15), invertible: which limbs add up to each of `OTHERS`; the velocity, last, is itself."""
    tree = torch.zeros(len(OTHERS) + 1, len(LIMBS) + 1)
    tree[-1, -1] = 1
    for row, joint in enumerate(OTHERS):
        while joint != ROOT:
            tree[row, OTHERS.index(joint)] = 1
            joint = PARENTS[joint]
    return tree
