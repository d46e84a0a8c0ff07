"""Encoders: pictures to spatial codes or to vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave.nn.blocks import Double, Halve, HalvingConv, Norm, Residual, activation, down, norm


class Encoder(nn.Module):
    """A chain of halving 4x4 convolutions, (N, 3, S, S) -> (N, channels[-1], S / 2^k, S / 2^k), k = len(channels).

    The encoder of the three two-set papers (Press 2019, section 4; Mokady 2020, appendix): norm and LeakyReLU after each
    convolution but the first, which has no norm. bare: the last convolution stands alone, so that its map can be zero everywhere.
    """

    def __init__(self, channels: Sequence[int], kind: Norm = "batch", inputs: int = 3, bare: bool = False):
        super().__init__()
        widths = [inputs, *channels]
        steps: list[nn.Module] = [down(i, o, kind if n else "none") for n, (i, o) in enumerate(zip(widths, channels))]
        if bare:
            steps[-1] = HalvingConv(widths[-2], widths[-1])
        self.body = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class ContextEncoder(nn.Module):
    """A fine map that has seen the whole picture: (N, 3, S, S) -> (N, 48, S / 4, S / 4).

    A U-Net (Ronneberger et al. 2015) from S / 2 down to S / 16 decides pixel by pixel what to drop of the picture, and what to put in its
    place; the picture that is left is moved into 48 channels, one for each number of a 4x4 square. It starts by keeping nearly all.
    """

    channels = 48

    def __init__(self, width: int):
        super().__init__()
        w = width
        self.first, self.in2, self.out2 = nn.Conv2d(12, w, 3, 1, 1), Residual(w), Residual(w)
        self.down4, self.in4, self.out4 = Halve(w, 2 * w), Residual(2 * w), Residual(2 * w)
        self.down8, self.in8, self.out8 = Halve(2 * w, 4 * w), Residual(4 * w), Residual(4 * w)
        self.down16, self.mid16 = Halve(4 * w, 2 * w), Residual(2 * w)
        self.up8, self.up4, self.up2 = Double(2 * w, 4 * w), Double(4 * w, 2 * w), Double(2 * w, w)
        head = nn.Conv2d(w, 16, 3, 1, 1)  # for each pixel of a 2x2 square: drop it? and what colour instead
        nn.init.constant_(head.bias[:4], -3.0)  # type: ignore[index]
        self.last = nn.Sequential(norm("group", w), activation(), head)

    def forward(self, x: Tensor) -> Tensor:
        return self.look(x)[0]

    def look(self, x: Tensor, steady: bool = False, sure: float = 0.0, again: int = 0) -> tuple[Tensor, Tensor]:
        """-> the map, and logits of what was dropped, (N, 1, S, S).

        steady: the map teaches what to drop, not what to put in its place. sure: added to the logits, where it is known that something is
        to be dropped: pictures of b all show the part, of those that taught E_c only some did. again: how often it looks once more at what
        it has left: an edge is easier to see when the part is gone. Of these looks the logits say nothing.
        """
        drop, instead = self.decide(x)
        drop = drop + sure
        kept = x + drop.sigmoid() * ((instead.detach() if steady else instead) - x)
        return (self.look(kept, again=again - 1)[0] if again else F.pixel_unshuffle(kept, 4)), drop

    def look_behind(self, x: Tensor, covered: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`look`, steady, and between its two answers the map in which all that is `covered`, (N, 1, S, S) in [0, 1], is replaced as well.

        The first teaches what to drop, the second what to put in its place, however unsure E_c is. If one map taught both, things that
        look like the part and belong to the picture would teach to put back what is there.
        """
        drop, instead = self.decide(x)
        share = drop.sigmoid()
        kept = x + share * (instead.detach() - x)
        behind = x + torch.maximum(share.detach(), covered) * (instead - x)
        return F.pixel_unshuffle(kept, 4), F.pixel_unshuffle(behind, 4), drop

    def decide(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of what to drop, (N, 1, S, S), and what to put in its place, (N, 3, S, S)."""
        x2 = self.in2(self.first(F.pixel_unshuffle(x, 2)))
        x4 = self.in4(self.down4(x2))
        x8 = self.in8(self.down8(x4))
        x16 = self.mid16(self.down16(x8))
        x8 = self.out8(x8 + self.up8(x16))
        x4 = self.out4(x4 + self.up4(x8))
        x2 = self.out2(x2 + self.up2(x4))
        drop, instead = (F.pixel_shuffle(part, 2) for part in self.last(x2).float().split((4, 12), dim=1))
        return drop, instead


class VectorEncoder(nn.Module):
    """Halving residual layers and one linear layer over all cells: (N, 3, size, size) -> (N, code)."""

    def __init__(self, channels: Sequence[int], code: int, size: int, inputs: int = 3):
        super().__init__()
        widths = [inputs, *channels]
        self.body = nn.Sequential(
            *[Halve(i, o, first=not n) for n, (i, o) in enumerate(zip(widths, widths[1:], strict=False))],
            Residual(channels[-1]),
            activation(),
        )
        self.head = nn.Linear((size >> len(channels)) ** 2 * channels[-1], code)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))
