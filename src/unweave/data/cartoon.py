"""Cartoon faces made of layers: a head drawn by DiceBear ('avataaars'), and a mouth, a beard and glasses of our own on top.

Everything that can be seen is a number in `Face`, so the same face can be drawn with and without a part, or with the part of another.
Shapes are SVG in the head's own units (a 280 x 280 canvas); one transform then places the head in the picture, resvg turns it into pixels.

The head's art is read from the installed `dicebear-styles` package ("Avataaars" by Pablo Stanley, free for personal and commercial use).
"""

import io
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CANVAS = 280  # side of the head's canvas, in its own units
EYES = (140.0, 112.0)  # the middle between the eyes
EYE_DISTANCE = 52.0
ZOOM = 1.28  # the head fills the picture a little more than DiceBear draws it; also keeps the shoulders below the edge
SHIFT = CANVAS * 10 / 64  # largest shift of the head: 10 pixels of a picture of 64
SCALE = 0.12  # largest relative change of the head's size
VISIBLE = 0.25  # a pixel belongs to a layer's mask where the layer covers at least this much of it

# Of the art, what would be no ordinary face: hearts or crosses for eyes, tears, a veil of snow.
LEFT_OUT = {"eyes": {"hearts", "xDizzy", "cry"}, "top": {"winterHat04"}}
DRAWN_BY_US = {"mouth", "facialHair", "accessories"}


@dataclass(frozen=True)
class Glasses:
    """One pair of glasses. Lengths are in canvas units: 1 pixel of a 64 picture is about 3.4."""

    width: float  # of one lens
    aspect: float  # height / width
    power: float  # of the superellipse: 2 an ellipse, 6 nearly a rectangle
    taper: float  # how much narrower the lens is below: aviators
    lift: float  # how far the outer edge is raised: cat eyes (> 0) or drooping (< 0)
    thickness: float  # of the frame
    brow: float  # extra thickness of the upper rim
    colour: str
    tint: str  # colour of the lenses
    opacity: float  # of the lenses; 0 for clear ones
    bridge: float  # how far the bridge arches upwards
    bar: bool  # a second bridge, as aviators have

    @property
    def tinted(self) -> bool:
        return self.opacity > 0

    def svg(self) -> str:
        x0, y0 = EYES
        distance = max(EYE_DISTANCE, self.width + self.thickness + 3)  # centre to centre: the lenses never meet
        t = np.linspace(0, 2 * np.pi, 49)[:-1]
        cos, sin = np.cos(t), np.sin(t)
        u = np.sign(cos) * np.abs(cos) ** (2 / self.power)  # -1..1, +1 is outside
        v = np.sign(sin) * np.abs(sin) ** (2 / self.power)  # -1..1, +1 is below
        half = self.width / 2
        x = half * u * (1 - self.taper * (v + 1) / 2) + half * self.taper * (v + 1) / 4  # narrower below, pulled to the outside
        y = half * self.aspect * v - half * self.lift * np.clip(u, 0, 1) ** 1.5 * (1 - v) / 2 + half * 0.1

        shapes = []
        for side in (-1, 1):
            points = np.stack([x0 + side * (distance / 2 + x), y0 + y], 1)
            shapes.append(
                f'<path d="{_closed(points)}" fill="{self.tint}" fill-opacity="{self.opacity:.3f}" '
                f'stroke="{self.colour}" stroke-width="{self.thickness:.2f}" stroke-linejoin="round"/>'
            )
            if self.brow:
                upper = points[np.argsort(x)][(v < 0.15)[np.argsort(x)]]
                shapes.append(
                    f'<path d="M{_list(upper)}" fill="none" stroke="{self.colour}" '
                    f'stroke-width="{self.thickness + self.brow:.2f}" stroke-linejoin="round" stroke-linecap="round"/>'
                )
        inner, outer = distance / 2 - half * 0.97, distance / 2 + half * 0.97
        top = y0 - half * self.aspect * 0.3
        ear = top - half * self.lift * 0.8
        thin = max(3.4, self.thickness * 0.8)
        line = f'fill="none" stroke="{self.colour}" stroke-width="{thin:.2f}"'
        shapes.append(f'<path d="M{x0 - inner:.2f} {top:.2f}Q{x0} {top - self.bridge:.2f} {x0 + inner:.2f} {top:.2f}" {line}/>')
        if self.bar:
            high = y0 - half * self.aspect * 0.85
            shapes.append(f'<path d="M{x0 - inner - 5:.2f} {high:.2f}H{x0 + inner + 5:.2f}" {line}/>')
        for side in (-1, 1):  # temples, to the ears
            shapes.append(f'<path d="M{x0 + side * outer:.2f} {ear:.2f}L{x0 + side * max(62, outer + 3):.2f} {y0 - 3:.2f}" {line}/>')
        return "".join(shapes)


@dataclass(frozen=True)
class Beard:
    """Facial hair: a moustache, hair on the chin, and cheeks up to the ears, each possibly missing."""

    colour: str
    opacity: float  # below 1: stubble
    moustache: float  # thickness, 0 for none
    wide: float  # half width of the moustache
    droop: float  # how far its ends hang down
    chin: float  # half width of the chin's hair, 0 for none
    length: float  # how far it hangs below the chin
    cheeks: bool  # grown up to the ears
    line: float  # height of the cheeks' edge: 0 along the jaw, 1 up to the mouth
    waves: int  # of the lower edge
    ripple: float  # their height

    def svg(self) -> str:
        shapes = []
        if self.chin:
            reach = 57.5 if self.cheeks else self.chin
            x = np.linspace(-reach, reach, 65)
            jaw = 130 + np.sqrt(np.clip(57.0**2 - x**2, 0, None))  # the lower edge of the head is a circle
            fall = np.clip(np.cos(np.pi / 2 * x / reach), 0, 1) ** (0.5 if self.cheeks else 0.7)
            lower = jaw + 1 + self.length * fall + self.ripple * np.cos(self.waves * np.pi * x / reach) * fall
            if self.cheeks:
                side = np.clip((np.abs(x) - 26) / (reach - 26), 0, 1)
                upper = 150 - self.line * 6 - side**3.5 * 44 + (1 - self.line) * 18 * np.sin(np.pi * np.clip(side, 0, 1)) ** 0.8
                upper = np.minimum(upper, jaw - 3)
                upper = np.where(np.abs(x) < 26, 150 - self.line * 6, upper)
                lower = np.maximum(lower, upper)
            else:
                upper = np.minimum(166 + 3 * (x / reach) ** 2, jaw - 2)
            outline = np.concatenate([np.stack([140 + x, upper], 1), np.stack([140 + x, lower], 1)[::-1]])
            hole = np.linspace(0, 2 * np.pi, 33)[:-1]
            mouth = np.stack([140 + 25 * np.cos(hole), 156 + (11 + 2.5 * (np.sin(hole) > 0)) * np.sin(hole)], 1)
            shapes.append(f'<path fill-rule="evenodd" d="{_closed(outline)}{_closed(mouth) if self.cheeks else ""}"/>')
        if self.moustache:
            w, h, d = self.wide, self.moustache, self.droop
            shapes.append(
                f'<path d="M140 {140.5}C{140 + w * 0.35:.1f} {138} {140 + w * 0.8:.1f} {142} {140 + w:.1f} {146 + d:.1f}'
                f"C{140 + w * 0.7:.1f} {144 + h + d * 0.3:.1f} {140 + w * 0.3:.1f} {142 + h:.1f} 140 {141 + h * 0.7:.1f}"
                f"C{140 - w * 0.3:.1f} {142 + h:.1f} {140 - w * 0.7:.1f} {144 + h + d * 0.3:.1f} {140 - w:.1f} {146 + d:.1f}"
                f'C{140 - w * 0.8:.1f} {142} {140 - w * 0.35:.1f} {138} 140 140.5Z"/>'
            )
        return f'<g fill="{self.colour}" opacity="{self.opacity:.3f}">{"".join(shapes)}</g>'


@dataclass(frozen=True)
class Face:
    """One picture, completely. `has_glasses` and `has_beard` say which layers are drawn."""

    head: str  # seed and colours of the DiceBear head, as JSON options
    background: str
    x: float  # shift of the head, canvas units
    y: float
    scale: float
    smile: float  # 0, a frown, to 1, a wide open smile
    lips: float  # width of the mouth, relative
    glasses: Glasses
    beard: Beard
    has_glasses: bool
    has_beard: bool

    def with_(self, **changes: Any) -> "Face":
        return replace(self, **changes)

    def layers(self) -> dict[str, str]:
        """The parts over the head, lowest first."""
        layers = {}
        if self.has_beard:
            layers["beard"] = self.beard.svg()
        layers["smile"] = _mouth(self.smile, self.lips)
        if self.has_glasses:
            layers["glasses"] = self.glasses.svg()
        return layers


def draw(face: Face, size: int) -> NDArray[np.uint8]:
    """-> (3, size, size)"""
    rgba = pixels(_picture(face, _head(face.head) + "".join(face.layers().values()), face.background), size)
    return np.ascontiguousarray(rgba[..., :3].transpose(2, 0, 1))


def draw_mask(face: Face, part: str, size: int, least: float = VISIBLE) -> NDArray[np.bool_]:
    """-> (size, size): the pixels where `part` (glasses, beard or smile) is seen: covered by `least` or more.

    The layer is drawn alone, less what lies over it."""
    layers = face.layers()
    above = list(layers)[list(layers).index(part) + 1 :]
    alpha = pixels(_picture(face, layers[part]), size)[..., 3] / 255
    if above:
        alpha = alpha * (1 - pixels(_picture(face, "".join(layers[name] for name in above)), size)[..., 3] / 255)
    return alpha >= least


def _mouth(smile: float, lips: float) -> str:
    half = (13 + 12 * smile) * lips
    gap = max(0.0, smile - 0.4) / 0.6 * 15  # how far it is open
    bend = -8 + 18 * smile  # of the line of the lips: < 0 a frown
    y = 152 - bend * 0.4
    left, right = f"{140 - half:.2f} {y:.2f}", f"{140 + half:.2f} {y:.2f}"
    if gap < 0.5:
        lips_line = 'fill="none" stroke="#5b2322" stroke-width="4.2" stroke-linecap="round"'
        return f'<path d="M{left}Q140 {y + bend * 1.1:.2f} {right}" {lips_line}/>'
    upper, lower = y + bend - gap * 0.3, y + bend + gap * 1.7  # control points of the two lips
    teeth = upper + (lower - upper) * min(0.45, 0.2 + gap / 40)
    tongue = ""
    if gap > 5:
        x0, x1 = 140 - half * 0.5, 140 + half * 0.5
        at, top, bottom = (y + (lower - y) * share for share in (0.4, 0.2, 0.62))
        tongue = f'<path d="M{x0:.2f} {at:.2f}Q140 {top:.2f} {x1:.2f} {at:.2f}Q140 {bottom:.2f} {x0:.2f} {at:.2f}Z" fill="#e0526a"/>'
    inside = 'fill="#5b2322" stroke="#5b2322" stroke-width="3.4" stroke-linejoin="round"'
    return (
        f'<path d="M{left}Q140 {upper:.2f} {right}Q140 {lower:.2f} {left}Z" {inside}/>{tongue}'
        f'<path d="M{left}Q140 {upper:.2f} {right}Q140 {teeth:.2f} {left}Z" fill="#ffffff"/>'
    )


def _picture(face: Face, content: str, background: str | None = None) -> str:
    s = ZOOM * face.scale
    ground = f'<rect width="{CANVAS}" height="{CANVAS}" fill="{background}"/>' if background else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {CANVAS} {CANVAS}" fill="none">{ground}'
        f'<g transform="translate({140 + face.x:.3f} {140 + face.y:.3f}) scale({s:.4f}) translate(-140 -118)">{content}</g></svg>'
    )


def pixels(svg: str, size: int) -> NDArray[np.uint8]:
    """-> (size, size, 4): red, green, blue, alpha"""
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


@lru_cache(maxsize=64)
def _head(options: str) -> str:
    from dicebear import Avatar

    svg = Avatar(_style(), json.loads(options)).to_string()
    return svg[svg.index("</metadata>") + len("</metadata>") : svg.rindex("</svg>")]


@lru_cache(maxsize=1)
def _style() -> Any:
    """Avataaars without the parts that we draw ourselves."""
    from dicebear import Style

    definition = json.loads((resources.files("dicebear_styles") / "avataaars.json").read_text())
    elements = definition["canvas"]["elements"]
    definition["canvas"]["elements"] = [e for e in elements if e["name"] not in DRAWN_BY_US]
    for component, names in LEFT_OUT.items():
        for name in names:
            del definition["components"][component]["variants"][name]
    return Style(definition)


def _list(points: NDArray[np.float64]) -> str:
    return "L".join(f"{x:.2f} {y:.2f}" for x, y in points)


def _closed(points: NDArray[np.float64]) -> str:
    return f"M{_list(points)}Z"
