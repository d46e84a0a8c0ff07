"""What sides of pictures the methods of two sets take; the published networks of content transfer (Press et al. 2019) and of intersection
and difference (Benaim et al. 2019).

InstanceNorm without affine needs a map that varies: with the published six layers a picture of 64 px ends in a single cell, which it turns
into nothing. So the depth follows the size, and the code has 2x2 cells at any size; at 128 px the networks are the published ones.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from unweave.errors import UserError
from unweave.nn.decoders import Decoder
from unweave.nn.encoders import Encoder

SIZES = (32, 64, 128, 256)
CELLS = 2  # side of the code
WIDTH = 512  # channels of all codes together


def check(name: str, config: Any, sides: tuple[int, ...]) -> None:
    """Raises UserError for a side, in pixels, that a method of two sets cannot take, and for a share or a number that is none.

    A `ContextEncoder` needs a side that is a multiple of 16; published networks are made for some `sides` alone."""
    size = config.size
    if size < 32 or size % 16:
        raise UserError(f"{name} takes pictures whose side is a multiple of 16 from 32 on (32, 48, 64 ...), not {size}.")
    if config.published and size not in sides:
        said = f"{', '.join(map(str, sides[:-1]))} or {sides[-1]}"
        raise UserError(f"The published networks of {name} take pictures of {said} pixels, not {size}.")
    for share in ("alone", "grafted", "worn"):
        if not 0 <= (value := getattr(config, share, 0.0)) <= 1:
            raise UserError(f'The setting "{share}" of {name} is a share, from 0 to 1, not {value}.')
    if (blur := getattr(config, "blur", 0)) < 0 or blur and size % blur:
        raise UserError(f"The blur of {name} is 0 or divides the side of {size} pixels (2, 4, 8 ...), not {blur}.")
    if (again := getattr(config, "again", 0)) < 0:
        raise UserError(f'The setting "again" of {name} says how often E_c looks once more, 0 or more, not {again}.')


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
