"""Who is in the picture: random faces, and which of them a split and a set show. Run as a module, it draws a share of a set into a file.

(Without torch: the processes that draw a set in parallel should start at once.)
"""

import colorsys
import json
import sys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unweave.data import SPLITS
from unweave.data.cartoon import SCALE, SHIFT, Beard, Face, Glasses, draw, draw_mask

PARTS = ("glasses", "beard", "smile")
SKIN = ["#614335", "#8d5a3c", "#ae5d29", "#d08b5b", "#edb98a", "#ffdbb4", "#f3cda8"]
HAIR = ["#2c1b18", "#4a312c", "#724133", "#a55728", "#b58143", "#d6b370", "#ecdcbf", "#b7b3b0", "#7d3a1c"]


@dataclass(frozen=True)
class Cast:
    """The faces of one built-in set.

    `parts`: none for one stream "image" of all kinds; one: set b has it and set a has not; two: a has only the first, b only the second."""

    parts: tuple[str, ...]
    split: str
    seed: int

    def face(self, stream: str, index: int) -> Face:
        """Face `index` of stream "image", "a" or "b"."""
        name = f"{self.split} {stream} {self.seed} {index}"  # of a person: no other split or stream has it
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), ("image", "a", "b").index(stream), index])
        odds = dict.fromkeys(PARTS, 0.3 if self.parts else 0.5)
        smile = (0.0, 1.0)
        if stream != "image":
            for place, part in enumerate(self.parts):
                has = stream == "b" if len(self.parts) == 1 else place == ("a", "b").index(stream)
                odds[part] = float(has)
                if part == "smile":
                    smile = (0.85, 1.0) if has else (0.0, 0.15)
        return random_face(rng, name, Allowed.of(self.split), glasses=odds["glasses"], beard=odds["beard"], smile=smile)

    def own_part(self, stream: str) -> str | None:
        """What this stream has and the other has not."""
        if stream == "b" and self.parts:
            return self.parts[-1]
        return self.parts[0] if stream == "a" and len(self.parts) == 2 else None


def without(face: Face, part: str) -> Face:
    if part == "smile":
        return face.with_(smile=max(0.0, face.smile - 0.85))
    return face.with_(**{f"has_{part}": False})


def give(face: Face, part: str, donor: Face) -> Face:
    """`face` with the donor's own glasses, beard or smile, where this face's head is."""
    if part == "smile":
        return face.with_(smile=donor.smile)
    return face.with_(**{part: getattr(donor, part), f"has_{part}": True})


def stranger(face: Face, other: Face) -> Face:
    """Somebody else in this picture: the other's eyes, brows, hair and clothes in the same place, with the same colours and parts."""
    return face.with_(head=json.dumps(json.loads(face.head) | {"seed": json.loads(other.head)["seed"]}))


def mask(face: Face, part: str, size: int, other: Face | None = None) -> NDArray[np.bool_]:
    """Where the part is seen. A smile replaces another mouth (that of `other`), so both belong to it."""
    seen = draw_mask(face, part, size)
    return seen | draw_mask(other or without(face, part), part, size) if part == "smile" else seen


def random_face(
    rng: np.random.Generator,
    name: str,
    allowed: "Allowed",
    *,
    glasses: float,
    beard: float,
    smile: tuple[float, float],
) -> Face:
    """A face drawn from `rng`; `glasses` and `beard` are the probabilities of having one, `smile` the range of the smile.

    `name` seeds the DiceBear head: different names are different people. `allowed` says which frames this split may show.
    The numbers are drawn in a fixed order and all of them always, so that a face does not depend on the parts it has."""
    hair = _between(rng, HAIR)
    head = json.dumps(
        {
            "seed": name,
            "skinColor": [_between(rng, SKIN)],
            "hairColor": [hair],
            "hatColor": [_hsv(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.35, 0.95))],
            "clothesColor": [_hsv(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.95))],
        }
    )
    background = _hsv(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.65, 1))
    x, y = rng.uniform(-SHIFT, SHIFT, 2)
    scale = rng.uniform(1 - SCALE, 1 + SCALE)
    has_glasses, has_beard = rng.random(2) < (glasses, beard)
    lips, smiling = rng.uniform(0.9, 1.1), rng.uniform(*smile)
    return Face(
        head,
        background,
        float(x),
        float(y),
        float(scale),
        float(smiling),
        float(lips),
        random_glasses(rng, allowed),
        random_beard(rng, hair),
        bool(has_glasses),
        bool(has_beard),
    )


class Allowed:
    """Which frames a split may show. The spaces of shapes and of colours are cut into cells; each belongs to one split (70 / 10 / 20 %)."""

    def __init__(self, split: str):
        of_ten = {"train": range(7), "val": range(7, 8), "test": range(8, 10)}[split]
        fixed = np.random.default_rng(2020)  # the cells never depend on the user's seed
        self.shapes = np.isin(fixed.integers(0, 10, (5, 5, 4, 4)), of_ten)  # aspect, power, taper, lift
        self.colours = np.isin(np.arange(60) * 7 % 10, of_ten).reshape(3, 20)  # hues; greys; browns and golds

    @staticmethod
    @lru_cache
    def of(split: str) -> "Allowed":
        return Allowed(split)

    def shape(self, u: NDArray[np.float64]) -> bool:
        return bool(self.shapes[tuple((u * self.shapes.shape).astype(int))])

    def colour(self, kind: int, u: float) -> bool:
        return bool(self.colours[kind, int(u * 20)])


def random_glasses(rng: np.random.Generator, allowed: Allowed) -> Glasses:
    while not allowed.shape(u := rng.random(4)):
        pass
    kind = int(rng.choice(3, p=[0.6, 0.28, 0.12]))
    while not allowed.colour(kind, c := rng.random()):
        pass
    if kind == 0:
        colour = _hsv(0.15 + 0.87 * c, rng.uniform(0.7, 1), rng.uniform(0.35, 0.95))  # every hue but skin's
    elif kind == 1:
        colour = _hsv(0.6, 0.1, float(0.06 + 0.94 * c**1.6))
    else:
        colour = _hsv(0.05 + 0.07 * c, rng.uniform(0.6, 0.9), float(0.12 + 0.2 * c if c < 0.5 else 0.45 + 0.5 * c))
    tinted = rng.random() < 0.5
    opacity = rng.uniform(0.4, 0.85)
    tint = _hsv(rng.random(), rng.uniform(0.3, 1), rng.uniform(0.1, 0.9))
    brow = rng.uniform(2, 6) if rng.random() < 0.25 else 0.0
    width = rng.uniform(33, 47)
    thickness = float(np.exp(rng.uniform(np.log(4.0), np.log(10.0))))
    bridge, bar = rng.uniform(0, 9), rng.random()
    taper = max(0.0, u[2] * 0.75 - 0.25)  # a third of the frames has straight sides
    lift = (u[3] - 0.35) * 0.75
    return Glasses(
        width=float(width),
        aspect=float(0.6 + 0.45 * u[0]),
        power=float(1.7 + 4.3 * u[1] ** 1.7),
        taper=float(taper),
        lift=float(lift),
        thickness=thickness,
        brow=float(brow),
        colour=colour,
        tint=tint,
        opacity=float(opacity) if tinted else 0.0,
        bridge=float(bridge),
        bar=bool(bar < 0.6 and taper > 0.2 and thickness < 6),
    )


def random_beard(rng: np.random.Generator, hair: str) -> Beard:
    kind = rng.choice(["full", "stubble", "goatee", "moustache", "chin"], p=[0.35, 0.15, 0.2, 0.2, 0.1])
    colour = _mix(_mix(hair, _between(rng, HAIR), rng.uniform(0, 0.6)), "#000000", rng.uniform(0.1, 0.35))  # darker than skin
    opacity, thick, wide, droop = rng.uniform(0.45, 0.7), rng.uniform(5, 9), rng.uniform(19, 31), rng.uniform(-6, 9)
    chin, length, line = rng.uniform(9, 26), rng.uniform(0, 20), rng.uniform(0, 1)
    waves, ripple = int(rng.integers(3, 12)), rng.uniform(0, 2)
    whole = kind in ("full", "stubble")
    return Beard(
        colour=colour,
        opacity=float(opacity) if kind == "stubble" else 1.0,
        moustache=0.0 if kind == "chin" else float(thick) if kind != "stubble" else 5.0,
        wide=float(wide),
        droop=float(droop if kind == "moustache" else max(0.0, droop)),
        chin=0.0 if kind == "moustache" else float(chin),
        length=0.0 if kind == "stubble" else float(length),
        cheeks=whole,
        line=float(line),
        waves=waves,
        ripple=float(ripple) if kind != "stubble" else 0.0,
    )


def _hsv(h: float, s: float, v: float) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in colorsys.hsv_to_rgb(h, s, v))


def _mix(first: str, second: str, t: float) -> str:
    one, two = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (first, second))
    return "#" + "".join(f"{round(float(c)):02x}" for c in one + (two - one) * t)


def _between(rng: np.random.Generator, palette: list[str]) -> str:
    """A colour between two neighbours of the palette."""
    i = rng.integers(len(palette) - 1)
    return _mix(palette[i], palette[i + 1], rng.random())


def draw_share(path: str, cast: Cast, stream: str, start: int, stop: int) -> None:
    """Draw faces start..stop into the array file at `path`: (N, 3, S, S) uint8."""
    pictures = np.load(path, mmap_mode="r+")
    for index in range(start, stop):
        pictures[index] = draw(cast.face(stream, index), pictures.shape[-1])
    pictures.flush()


if __name__ == "__main__":
    _path, _cast, _stream, _start, _stop = json.loads(sys.argv[1])
    draw_share(_path, Cast(tuple(_cast["parts"]), _cast["split"], _cast["seed"]), _stream, _start, _stop)
