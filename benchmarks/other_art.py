"""Two folders of faces in another art than the built-in set's, with their truth: a test that nothing is tuned to one way of drawing.

    python benchmarks/other_art.py OUT [-n 2500] [--size 64] [--seed 0]

"Adventurer" by Lisa Wischofsky (CC BY 4.0), drawn by DiceBear: a without, b with the art's own five kinds of glasses, in any colour, one to
two pixels thick, about half with tinted lenses, partly under the hair. Heads are moved and scaled as in the built-in set.
The folder has the layout of `unweave data`: train on a/ and b/, and `unweave evaluate RUN --data.a OUT/a --data.b OUT/b` finds the truth
beside them. 2,500 + 2,500 take about four minutes.
"""

import argparse
import colorsys
import copy
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dicebear import Avatar, Style
from numpy.typing import NDArray

from unweave.data.cartoon import SCALE, VISIBLE, pixels
from unweave.data.files import save, write_table

CANVAS = 762
CENTRE = (335, 385)  # of the head
ZOOM = 1.2
SHIFT = CANVAS * 10 / 64
PLACE = "translate(133.5 332.3)"  # of the glasses on the canvas


@dataclass(frozen=True)
class Glasses:
    kind: str  # one of the art's five
    colour: str
    thicker: float  # units of the canvas, added to the frame: 10 are one pixel of 64
    tint: str
    opacity: float  # of the lenses, 0 for clear ones

    def svg(self) -> str:
        frame = frames()[self.kind]
        outer = re.split("(?<=.)[mM]", frame)[0]  # without the holes of the lenses
        larger = "translate(185 95) scale(1.6) translate(-185 -95)" if self.kind == "variant03" else ""  # it is smaller than the eyes
        return (
            f'<g transform="{PLACE} {larger}"><path d="{outer}" fill="{self.tint}" fill-opacity="{self.opacity:.3f}"/>'
            f'<path d="{frame}" fill="{self.colour}" fill-rule="evenodd" '
            f'stroke="{self.colour}" stroke-width="{self.thicker:.2f}"/></g>'
        )

    @property
    def tinted(self) -> bool:
        return self.opacity > 0 or self.kind == "variant01"  # which is drawn solid


@dataclass(frozen=True)
class Face:
    """`x`, `y`: shift in units of the canvas."""

    name: str
    skin: str
    hair: str
    background: str
    x: float
    y: float
    scale: float


@cache
def definition() -> Any:
    return json.loads((resources.files("dicebear_styles") / "adventurer.json").read_text())


@cache
def frames() -> dict[str, str]:
    """The outlines of the art's glasses."""
    variants = definition()["components"]["glasses"]["variants"]
    return {name: variant["elements"][0]["attributes"]["d"] for name, variant in variants.items()}


@cache
def style(layer: str) -> Style:
    """The art with the elements of one layer alone: "hair" or all else, "head". The glasses are drawn by `Glasses.svg`."""
    art = copy.deepcopy(definition())
    elements = [e for e in art["canvas"]["elements"] if e["name"] != "glasses"]
    art["canvas"]["elements"] = [e for e in elements if (e["name"] == "hair") == (layer == "hair")]
    return Style(art)


def layer(name: str, options: dict[str, Any]) -> str:
    svg = Avatar(style(name), options).to_string()
    return svg[svg.index("</metadata>") + len("</metadata>") : svg.rindex("</svg>")]


def picture(face: Face, content: str, background: bool, size: int) -> NDArray[np.uint8]:
    """-> (size, size, 4)"""
    middle = CANVAS / 2
    ground = f'<rect width="{CANVAS}" height="{CANVAS}" fill="{face.background}"/>' if background else ""
    return pixels(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {CANVAS} {CANVAS}" fill="none">{ground}'
        f'<g transform="translate({middle + face.x:.2f} {middle + face.y:.2f}) scale({ZOOM * face.scale:.4f}) '
        f'translate({-CENTRE[0]} {-CENTRE[1]})">{content}</g></svg>',
        size,
    )


def draw(face: Face, glasses: Glasses | None, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """-> picture (3, size, size) and where the glasses are seen (size, size)"""
    options = {"seed": face.name, "skinColor": [face.skin], "hairColor": [face.hair], "hairProbability": 100}
    head, hair = layer("head", options), layer("hair", options)
    worn = ""
    seen = np.zeros((size, size), bool)
    if glasses:
        worn = glasses.svg()
        over = picture(face, hair, False, size)[..., 3] / 255
        seen = picture(face, worn, False, size)[..., 3] / 255 * (1 - over) >= VISIBLE
    return picture(face, head + worn + hair, True, size)[..., :3].transpose(2, 0, 1), seen


def hsv(h: float, s: float, v: float) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in colorsys.hsv_to_rgb(h % 1, s, v))


def random_face(rng: np.random.Generator, name: str) -> Face:
    skin = hsv(0.065 + 0.025 * rng.random(), rng.uniform(0.28, 0.75), rng.uniform(0.4, 0.97))
    hair = hsv(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.9))
    x, y = rng.uniform(-SHIFT, SHIFT, 2)
    background = hsv(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.65, 1))
    return Face(name, skin, hair, background, float(x), float(y), float(rng.uniform(1 - SCALE, 1 + SCALE)))


def random_glasses(rng: np.random.Generator) -> Glasses:
    dark = rng.random() < 0.3
    hue = rng.random()
    colour = (
        hsv(hue, rng.uniform(0, 0.4), rng.uniform(0.05, 0.2))
        if dark
        else hsv(0.15 + 0.87 * hue, rng.uniform(0.7, 1), rng.uniform(0.35, 0.95))
    )
    tint, opacity = hsv(rng.random(), rng.uniform(0.3, 1), rng.uniform(0.1, 0.9)), rng.uniform(0.4, 0.85)
    return Glasses(f"variant0{rng.integers(1, 6)}", colour, float(rng.uniform(3, 12)), tint, float(opacity) if rng.random() < 0.4 else 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("-n", type=int, default=2500, help="pictures of each set")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.out.exists() and any(given.out.iterdir()):
        raise SystemExit(f"{given.out} is not empty; name a new folder.")

    rows = []
    for i in range(given.n):
        rng = np.random.default_rng([given.seed, i])
        a, b, glasses = random_face(rng, f"a {given.seed} {i}"), random_face(rng, f"b {given.seed} {i}"), random_glasses(rng)
        drawn = {"a": draw(a, None, given.size)[0], "clean": draw(b, None, given.size)[0]}
        drawn["b"], drawn["masks"] = draw(b, glasses, given.size)
        drawn["wear"], drawn["wear-masks"] = draw(a, glasses, given.size)
        for folder, array in drawn.items():
            save(given.out / folder, [i], torch.from_numpy(np.ascontiguousarray(array))[None])
        rows += [
            {"file": f"a/{i:05d}.png", "glasses": 0, "tinted": 0},
            {"file": f"b/{i:05d}.png", "glasses": 1, "tinted": int(glasses.tinted)},
        ]
    write_table(given.out / "attributes.csv", rows)
    (given.out / "truth.json").write_text(json.dumps({"spec": "adventurer", "part": "glasses", "seed": given.seed}) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
