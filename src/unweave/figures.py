"""Clips as stick figures: in one picture for a sheet, moving side by side as GIF or MP4."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from unweave.body import LIMBS, ROOT
from unweave.errors import UserError
from unweave.pictures import INK, PAPER, gif

RIGHT, LEFT, MIDDLE, FLOOR = (214, 84, 60), (46, 121, 196), (70, 70, 74), (214, 214, 208)
SMOOTH = 3  # figures are drawn this many times larger, then reduced
SIDES = {"r": (2, 3, 4, 9, 10, 11), "l": (5, 6, 7, 12, 13, 14)}  # joints of the right and the left side


def _figure(pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], width: float) -> None:
    """One pose: limbs in the colours of their sides, the head as a disc. points: 15 pixels."""
    for joint, parent in LIMBS:
        colour = RIGHT if joint in SIDES["r"] else LEFT if joint in SIDES["l"] else MIDDLE
        pen.line([points[parent], points[joint]], colour, max(1, round(width)), joint="curve")
    x, y = points[0]
    pen.ellipse([x - 1.7 * width, y - 1.7 * width, x + 1.7 * width, y + 1.7 * width], MIDDLE)


def motion_picture(clip: Tensor, poses: int = 5, height: int = 112) -> Tensor:
    """A clip (T, 15, 2) as poses in a row, each above the middle of its column: (3, height, poses * height * 3/5) in [-1, 1].

    The scale is the same in all pictures: a body 1 tall fills most of the height."""
    clip, column = clip.detach().float().cpu(), height * 3 // 5
    paper = Image.new("RGB", (poses * column * SMOOTH, height * SMOOTH), PAPER)
    pen, unit = ImageDraw.Draw(paper), height * SMOOTH * 0.62
    for i, frame in enumerate(torch.linspace(0, len(clip) - 1, poses).round().long().tolist()):
        at = clip[frame] - clip[frame, ROOT]
        points = [(float((i + 0.5) * column * SMOOTH + x * unit), float(height * SMOOTH * 0.56 - y * unit)) for x, y in at.tolist()]
        _figure(pen, points, 2.2 * SMOOTH)
    small = paper.resize((poses * column, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 127.5 - 1


def frames(clips: Mapping[str, Tensor], side: int = 240, columns: int | None = None, together: bool = False) -> Iterator[Image.Image]:
    """Clips (T, 15, 2), each under its name, moving side by side: one picture a frame; shorter ones wait at their end.

    side: of each, pixels. columns: how many stand in a row; all if not given. together: one scale for all; without, each clip fills its
    square, whatever its units."""
    names, longest = list(clips), max(len(clip) for clip in clips.values())
    columns = columns or len(names)
    rows, head, font = -(-len(names) // columns), 24, ImageFont.load_default(size=13)
    places = []
    for clip in clips.values():
        clip = clip.detach().float().cpu()
        low, high = clip.flatten(0, 1).amin(0), clip.flatten(0, 1).amax(0)
        places.append((clip, (low + high) / 2, float((high - low).max().clamp_min(1e-6)), float(low[1])))
    widest = max(extent for _, _, extent, _ in places)
    for t in range(longest):
        paper = Image.new("RGB", (columns * side, rows * (side + head)), PAPER)
        words = ImageDraw.Draw(paper)
        for i, (clip, middle, extent, ground) in enumerate(places):
            square = Image.new("RGB", (side * SMOOTH, side * SMOOTH), PAPER)
            pen, unit = ImageDraw.Draw(square), 0.86 * side * SMOOTH / (widest if together else extent)
            at = (clip[min(t, len(clip) - 1)] - middle) * unit * torch.tensor([1.0, -1.0]) + side * SMOOTH / 2
            floor = side * SMOOTH / 2 - (ground - float(middle[1])) * unit
            pen.line([(0.04 * side * SMOOTH, floor), (0.96 * side * SMOOTH, floor)], FLOOR, SMOOTH)
            _figure(pen, [(x, y) for x, y in at.tolist()], 2.4 * SMOOTH)
            left, top = i % columns * side, i // columns * (side + head)
            paper.paste(square.resize((side, side), Image.Resampling.BILINEAR), (left, top + head))
            words.text((left + side / 2, top + head / 2 + 2), names[i], INK, font, anchor="mm")
        yield paper


def animate(pictures: Iterable[Image.Image], path: Path, fps: float) -> None:
    """`frames` as a file: .gif, or .mp4 where imageio with av is installed. Raises UserError where it is not."""
    if path.suffix.lower() == ".gif":
        gif(pictures, path, seconds=max(2, round(100 / fps)) / 100)  # its clock ticks in hundredths
        return
    try:
        import imageio.v3 as video

        video.imwrite(path, np.stack([np.asarray(picture) for picture in pictures]), fps=fps, codec="h264", plugin="pyav")
    except ImportError as error:
        raise UserError("MP4 needs imageio and av: pip install 'unweave[video]', or name a .gif.") from error


def scatter(points: Tensor, labels: Sequence[int], side: int = 200) -> Tensor:
    """Dots (N, 2) in the colours of their labels, (3, side, side) in [-1, 1]: which codes lie together."""
    points = points.detach().float().cpu()
    low, high = points.quantile(0.01, dim=0), points.quantile(0.99, dim=0)
    at = ((points - low) / (high - low).clamp_min(1e-9) * 0.9 + 0.05).clamp(0, 1) * side * SMOOTH
    paper = Image.new("RGB", (side * SMOOTH, side * SMOOTH), (250, 250, 248))
    pen, count = ImageDraw.Draw(paper), max(labels) + 1
    for (x, y), label in zip(at.tolist(), labels):
        colour = tuple(round(255 * c) for c in colorsys.hsv_to_rgb(label / count, 0.75, 0.5 + 0.4 * (label % 2)))
        pen.ellipse([x - SMOOTH, y - SMOOTH, x + SMOOTH, y + SMOOTH], colour)
    small = paper.resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 127.5 - 1
