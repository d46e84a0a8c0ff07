"""Rectangles whose factors are known exactly: height, width and colour; on request their place, and their angle.

    rectangles                       in the middle
    rectangles:position              anywhere
    rectangles:rotation              turned by up to 90 degrees; one corner is ticked, so that every angle looks different
    rectangles:position,rotation     both;   with `levels` every factor takes ten values, else height, width, place and angle are continuous

Factors run from 0 to 1 and are independent. Colour is always one of ten, an ordered palette.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from unweave.data import cache
from unweave.data.dataset import Indices
from unweave.data.drawn import Drawn
from unweave.errors import UserError, did_you_mean
from unweave.method import Need, images

Array = NDArray[np.floating[Any]]
VERSION = 1  # of the drawing: raise it whenever a picture changes
COUNTS = {"train": 10000, "val": 1000, "test": 5000}
OPTIONS = {"position": ("x", "y"), "rotation": ("rotation",), "levels": ()}
LEVELS = 10
PALETTE = np.array(
    [  # violet to red, as a rainbow is ordered
        (94, 60, 153),
        (69, 84, 184),
        (46, 121, 196),
        (37, 158, 184),
        (40, 175, 139),
        (92, 184, 84),
        (160, 193, 58),
        (226, 188, 52),
        (235, 137, 46),
        (214, 62, 50),
    ],
    dtype=np.float32,
)
GROUND = np.array([246, 246, 243], dtype=np.float32)
TICK = np.array([30, 30, 34], dtype=np.float32)
SIDE = (0.16, 0.52)  # shortest and longest side, shares of the picture
TICK_SIDE = 0.45  # of the tick, a share of the shorter side


class Rectangles(Drawn):
    """`options`: position, rotation, levels. Columns: image, and factors (N, F) in 0..1, named by `names`; `truth` holds all of them."""

    def __init__(self, options: tuple[str, ...] = (), *, size: int = 64, split: str = "train", seed: int = 0, n: int | None = None):
        for option in options:
            if option not in OPTIONS:
                raise UserError(f'rectangles have no option "{option}": {did_you_mean(option, OPTIONS)}.')
        options = tuple(option for option in OPTIONS if option in options)
        self.spec = self.source = "rectangles" + (":" + ",".join(options) if options else "")
        self.split, self.size, self.seed = split, size, seed
        n = COUNTS[split] if n is None else n
        self.names = ("height", "width", "colour", *(name for option in options for name in OPTIONS[option]))
        self.key = "rectangles-" + cache.key(spec=self.spec, split=split, size=size, seed=seed, n=n, version=VERSION)
        self.streams = {"image": ("image", "factors")}
        self.offers = {"image": images(size), "factors": Need("factors", (len(self.names),))}
        self.lengths = {"image": n, "factors": n}
        self._stepped = [True] * len(self.names) if "levels" in options else [name == "colour" for name in self.names]
        self.truth = Factors(self, n)

    def _settled(self, factors: Array) -> Array:
        """Uniform numbers in [0, 1) -> factors: those that have levels take the ten of them evenly."""
        return np.where(self._stepped, np.floor(factors * LEVELS) / (LEVELS - 1), factors)

    def redraw(self, factors: Array) -> NDArray[np.uint8]:
        """Pictures of other factors than its own: uniform numbers (N, F) in [0, 1) -> (N, 3, S, S)."""
        return draw(self._settled(factors), self.names, self.size)

    def take(self, name: str, indices: Indices) -> Tensor:
        if name == "factors":
            return torch.from_numpy(self.truth.factors[np.asarray(indices, dtype=np.int64)].astype(np.float32))
        return super().take(name, indices)

    def draw(self, name: str, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return draw(self.truth.factors[indices], self.names, self.size)

    def known(self, name: str, indices: Indices) -> list[dict[str, float]]:
        return [dict(zip(self.names, np.round(row, 6).tolist())) for row in self.truth.factors[np.asarray(indices, dtype=np.int64)]]


class Factors:
    """What is true of the pictures of a set. factors: (N, F) in 0..1, of all of them; names: (F,). For evaluation only."""

    def __init__(self, of: Rectangles, n: int):
        self._set, self.names = of, of.names
        self.factors = self._sequence(n)

    def _sequence(self, n: int) -> Array:
        rng = np.random.default_rng([self._set.seed, ("train", "val", "test").index(self._set.split)])
        return self._set._settled(rng.random((n, len(self.names))))  # row by row: more rows begin with the same ones

    def points(self, start: int, count: int) -> tuple[Tensor, Array]:
        """Pictures start .. start + count of the endless sequence of which the set shows the first N: uint8 (count, 3, S, S), and their
        factors (count, F). A measure that asks for more than N still gets pictures of this split, unseen in training."""
        factors = self._sequence(start + count)[start:]
        return torch.from_numpy(draw(factors, self.names, self._set.size)), factors

    def read(self, pictures: Tensor) -> Array:
        """The factors of any pictures of a rectangle, a decoder's too. uint8 (N, 3, S, S) -> (N, F); see `read`."""
        return read(pictures.cpu().numpy(), self.names)


def draw(factors: Array, names: tuple[str, ...], size: int) -> NDArray[np.uint8]:
    """Pictures of factors (N, F) in 0..1, antialiased. -> (N, 3, size, size)"""
    value = {name: factors[:, i, None, None].astype(np.float32) for i, name in enumerate(names)}
    half_h, half_w = ((SIDE[0] + (SIDE[1] - SIDE[0]) * value[name]) / 2 for name in ("height", "width"))
    angle = np.pi / 2 * value.get("rotation", np.zeros_like(half_h))
    reach = SIDE[1] / np.sqrt(2) if "rotation" in names else SIDE[1] / 2  # so that it never leaves the picture
    x, y = (reach + (1 - 2 * reach) * value.get(name, np.full_like(half_h, 0.5)) for name in ("x", "y"))

    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    across, down = at[None, None, :] - x, at[None, :, None] - y
    u = across * np.cos(angle) + down * np.sin(angle)  # along the width
    v = down * np.cos(angle) - across * np.sin(angle)  # along the height

    def covered(left: Array, right: Array, top: Array, bottom: Array) -> Array:
        inside = np.minimum(np.minimum(u - left, right - u), np.minimum(v - top, bottom - v))
        return np.clip(inside * size + 0.5, 0, 1)[:, None]  # half covered where the edge runs through

    colour = PALETTE[np.rint(value["colour"][:, 0, 0] * (LEVELS - 1)).astype(int)][:, :, None, None]
    cover = covered(-half_w, half_w, -half_h, half_h)
    pictures = GROUND[None, :, None, None] * (1 - cover) + colour * cover
    if "rotation" in names:
        tick = 2 * TICK_SIDE * np.minimum(half_h, half_w)
        cover = covered(-half_w, -half_w + tick, -half_h, -half_h + tick)
        pictures = pictures * (1 - cover) + TICK[None, :, None, None] * cover
    return np.rint(pictures).astype(np.uint8)


def read(pictures: NDArray[np.uint8], names: tuple[str, ...]) -> Array:
    """The inverse of `draw`: the factors seen in pictures, (N, 3, S, S) -> (N, F), 0..1 for those that `draw` makes.

    On average within .001 of the truth at 64 px (.003 at 32), of turned ones within .006 (.012). It also reads what decoders make: blurred
    edges, colours between the ten. A row is NaN where no rectangle is seen, and rotation alone is NaN where no tick is."""
    rows = [_read(chunk.astype(np.float32), "rotation" in names) for chunk in np.array_split(pictures, max(1, len(pictures) // 64))]
    seen = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return np.stack([seen[name] for name in names], axis=1)


def _read(pictures: Array, turned: bool) -> dict[str, Array]:
    n, size = len(pictures), pictures.shape[-1]
    pixels = pictures.reshape(n, 3, -1).transpose(0, 2, 1) - GROUND  # (N, pixels, 3)
    errors = [_shares(pixels, np.broadcast_to(paint - GROUND, (n, 3)), turned)[2].sum(1) for paint in PALETTE]
    paint = PALETTE[np.argmin(errors, axis=0)] - GROUND
    area, tick, _ = _shares(pixels, paint, turned)
    inner = np.where((area > 0.9) & (tick < 0.05), 1.0, 1e-9)[..., None]  # if there is none, any pixel tells as little
    paint = np.where(inner.sum(1) > 0.5, (pixels * inner).sum(1) / inner.sum(1), paint).astype(np.float32)
    area, tick, _ = _shares(pixels, paint, turned)

    # Only near where more than half is covered, so that faint errors of the ground do not count.
    inside = torch.from_numpy((area + tick > 0.5).astype(np.float32)).reshape(n, 1, size, size)
    near = max_pool2d(inside, 5, 1, 2).flatten(1).numpy()
    cover, tick = near * np.clip(area + tick, 0, 1).astype(np.float64), near * np.clip((tick - 0.1) / 0.8, 0, 1)
    whole = cover.sum(1)
    likely = (whole > size**2 * SIDE[0] ** 2 / 4) & (whole < size**2 * SIDE[1] ** 2 * 2)  # else it is not one rectangle
    cover = cover / np.where(likely, whole, np.nan)[:, None]
    at = np.stack(np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2), axis=-1).reshape(-1, 2) @ np.array([1, 1j])  # across + i down
    centre = cover @ at
    off = at - centre[:, None]
    across, down, both = (np.sum(cover * part, axis=1) for part in (off.real**2, off.imag**2, off.real * off.imag))
    across, down = (np.maximum(part * size**2 - 1 / 12, 1e-6) / size**2 for part in (across, down))  # less what a soft edge adds
    whole = np.where(likely, whole - 1 / 3, np.nan) / size**2  # less what `draw` adds at the corners
    width, height = _sides(whole, across, down)
    angle: Array = np.zeros(n)
    if turned:
        width, height, angle = _turned(whole, cover, off, across, down, both, tick)
    reach = SIDE[1] / np.sqrt(2) if turned else SIDE[1] / 2
    return {
        "height": (height - SIDE[0]) / (SIDE[1] - SIDE[0]),
        "width": (width - SIDE[0]) / (SIDE[1] - SIDE[0]),
        "colour": np.where(np.isnan(width), np.nan, _shade(paint + GROUND)),
        "x": (centre.real - reach) / (1 - 2 * reach),
        "y": (centre.imag - reach) / (1 - 2 * reach),
        "rotation": angle / (np.pi / 2),
    }


def _shares(pixels: Array, paint: Array, ticked: bool) -> tuple[Array, Array, Array]:
    """How much of each pixel is paint, how much tick, and the squared error of that mixture.

    pixels (N, P, 3) and paint (N, 3) less the ground -> three times (N, P)"""
    ink = TICK - GROUND
    pp, pt, tt = (paint**2).sum(1)[:, None], (paint @ ink)[:, None], float(ink @ ink)
    by_paint, by_ink = (pixels @ paint[..., None])[..., 0], pixels @ ink
    if not ticked:
        area, tick = np.clip(by_paint / pp, 0, 1), np.zeros_like(by_ink)
    else:
        area = np.clip((by_paint * tt - by_ink * pt) / (pp * tt - pt**2), 0, 1)
        tick = np.clip((by_ink - area * pt) / tt, 0, 1)
    error = (pixels**2).sum(2) - 2 * (area * by_paint + tick * by_ink) + area**2 * pp + tick**2 * tt + 2 * area * tick * pt
    return area, tick, error


def _shade(paint: Array) -> Array:
    """Where on the palette a colour lies, 0..1: on the line through the ten colours, in order. (N, 3) -> (N,)"""
    here, step = PALETTE[:-1], np.diff(PALETTE, axis=0)
    along = np.clip(((paint[:, None] - here) * step).sum(2) / (step**2).sum(1), 0, 1)  # on each of the nine pieces
    nearest = np.argmin(((paint[:, None] - here - along[..., None] * step) ** 2).sum(2), axis=1)
    return (nearest + along[np.arange(len(paint)), nearest]) / (LEVELS - 1)


def _sides(area: Array, along: Array, beside: Array) -> tuple[Array, Array]:
    """The sides of a rectangle of that area whose variances along and beside stand in that ratio: blur changes both little."""
    ratio = np.sqrt(along / beside)
    return np.sqrt(area * ratio), np.sqrt(area / ratio)


def _turned(whole: Array, cover: Array, off: Array, across: Array, down: Array, both: Array, tick: Array) -> tuple[Array, Array, Array]:
    """Width, height and angle of a turned rectangle from its moments, and from where its tick is, which tells one side from the other."""
    mean, half = (across + down) / 2, np.hypot((across - down) / 2, both)
    long, short = _sides(whole, mean + half, np.maximum(mean - half, 1e-9))
    axis = np.arctan2(2 * both, across - down) / 2  # of the long side
    corner = np.arctan2(short * (1 - TICK_SIDE), long - TICK_SIDE * short)  # from the long side to the middle of the tick
    weight = tick.sum(1)
    to_tick = np.angle(-np.sum(tick * off, axis=1))  # the tick is at the left and upper corner, so its opposite is at + and +
    guesses = np.stack([to_tick - corner, to_tick - (np.pi / 2 - corner)])  # the width is the long side, or the short one
    axes = np.stack([axis, axis - np.pi / 2])
    upright = np.argmin(np.abs(_near(guesses, axes, np.pi) - guesses), axis=0) == 1
    guess = np.where(upright, guesses[1], guesses[0])
    square = long < 1.25 * short  # then the axis says little, and the fourth moment much
    fourth = (np.angle(np.sum(cover * off**4, axis=1)) - np.pi) / 4
    angle = np.where(square, _near(guess, fourth, np.pi / 2), _near(guess, np.where(upright, axes[1], axes[0]), np.pi))
    angle = np.where(weight > 1, (angle + np.pi * 3 / 4) % (2 * np.pi) - np.pi * 3 / 4, np.nan)
    upright = np.where(weight > 1, upright, axis % np.pi > np.pi / 2)  # without a tick: the angle is below a right one
    return np.where(upright, short, long), np.where(upright, long, short), angle


def _near(guess: Array, angle: Array, period: float) -> Array:
    """The angle, moved by whole periods until it is nearest to the guess."""
    return angle + period * np.round((guess - angle) / period)
