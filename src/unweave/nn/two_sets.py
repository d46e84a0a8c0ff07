"""What sides of pictures the methods of two sets take; the published networks of content transfer (Press et al. 2019) and of intersection
and difference (Benaim et al. 2019).

InstanceNorm without affine needs a map that varies: with the published six layers a picture of 64 px ends in a single cell, which it turns
into nothing. So the depth follows the size, and the code has 2x2 cells at any size; at 128 px the networks are the published ones.
"""

from __future__ import annotations

from torch import nn

from unweave.errors import UserError
from unweave.nn.decoders import Decoder
from unweave.nn.encoders import Encoder

SIZES = (32, 64, 128, 256)
CELLS = 2  # side of the code
WIDTH = 512  # channels of all codes together


def check(name: str, size: int, published: tuple[int, ...] | None) -> None:
    """Raises UserError for a side, in pixels, that a method of two sets cannot take: a `ContextEncoder` needs a multiple of 16, published
    networks are made for some sides alone (None: the networks are not published ones)."""
    if size < 32 or size % 16:
        raise UserError(f"{name} takes pictures whose side is a multiple of 16 from 32 on (32, 48, 64 ...), not {size}.")
    if published and size not in published:
        sides = f"{', '.join(map(str, published[:-1]))} or {published[-1]}"
        raise UserError(f"The published networks of {name} take pictures of {sides} pixels, not {size}.")


def _layers(size: int) -> int:
    return (size // CELLS).bit_length() - 1


def common_encoder(size: int, code: int) -> nn.Module:
    """(N, 3, size, size) -> (N, code, 2, 2): 32-64-128-256-code-code at 128 px."""
    return Encoder((*(32, 64, 128, 256, code, code)[: _layers(size) - 1], code), "instance")


def separate_encoder(size: int, code: int, bare: bool = False) -> nn.Module:
    """(N, 3, size, size) -> (N, code, 2, 2): 32-64-128-128-128-code at 128 px. bare: no norm at its end, so that it can say zero."""
    return Encoder((*(32, 64, 128, 128, 128, 128)[: _layers(size) - 1], code), "instance", bare=bare)


def decoder(size: int) -> nn.Module:
    """(N, 512, 2, 2) -> (N, 3, size, size) before the tanh: 512-512-256-128-64-32-3 at 128 px, ReLU."""
    return Decoder(WIDTH, (512, 512, 256, 128, 64, 32)[1 - _layers(size) :], kind="instance", act="relu")
