"""Clips as stick figures: in one picture for a sheet, moving side by side as GIF or MP4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def _scale(joints: Tensor) -> float:
    """How high clips (..., 15, 2) reach about their hips."""
    return float((joints - joints[..., ROOT : ROOT + 1, :]).abs()[..., 1].max().clamp_min(1e-6)) * 2


def motion_picture(clip: Tensor, poses: int = 5, height: int = 112) -> Tensor:
    """A clip (T, 15, 2) as poses in a row, each above the middle of its column: (3, height, poses * height * 3/5) in [-1, 1].

    One pixel is the same length for clips of one call of the sheet: bodies 1 tall fill most of the picture."""
    clip, column = clip.detach().float().cpu(), height * 3 // 5
    paper = Image.new("RGB", (poses * column * SMOOTH, height * SMOOTH), PAPER)
    pen, unit = ImageDraw.Draw(paper), height * SMOOTH * 0.62
    for i, frame in enumerate(torch.linspace(0, len(clip) - 1, poses).round().long().tolist()):
        at = clip[frame] - clip[frame, ROOT]
        points = [(float((i + 0.5) * column * SMOOTH + x * unit), float(height * SMOOTH * 0.56 - y * unit)) for x, y in at.tolist()]
        _figure(pen, points, 2.2 * SMOOTH)
    small = paper.resize((poses * column, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 127.5 - 1


def frames(clips: Mapping[str, Tensor], side: int = 240) -> Iterable[Image.Image]:
    """Clips (T, 15, 2), each under its name, moving side by side: one picture a frame; shorter ones wait at their end.

    Each clip has a scale of its own, so that pixels, centimetres and heights look alike; the camera follows nobody, but each clip fits."""
    names, longest = list(clips), max(len(clip) for clip in clips.values())
    font, head = ImageFont.load_default(size=13), 24
    places = []
    for clip in clips.values():
        clip = clip.detach().float().cpu()
        low, high = clip.flatten(0, 1).amin(0), clip.flatten(0, 1).amax(0)
        unit = 0.86 * side * SMOOTH / float((high - low).max().clamp_min(1e-6))
        places.append((clip, (low + high) / 2, unit, float(low[1])))
    for t in range(longest):
        paper = Image.new("RGB", (len(names) * side * SMOOTH, side * SMOOTH), PAPER)
        pen = ImageDraw.Draw(paper)
        for i, (clip, middle, unit, ground) in enumerate(places):
            centre = torch.tensor([(i + 0.5) * side * SMOOTH, side * SMOOTH / 2])
            at = (clip[min(t, len(clip) - 1)] - middle) * unit * torch.tensor([1.0, -1.0]) + centre
            floor = float(centre[1] - (ground - middle[1]) * unit)
            pen.line([((i + 0.04) * side * SMOOTH, floor), ((i + 0.96) * side * SMOOTH, floor)], FLOOR, SMOOTH)
            _figure(pen, [(x, y) for x, y in at.tolist()], 2.4 * SMOOTH)
        small = Image.new("RGB", (len(names) * side, side + head), PAPER)
        small.paste(paper.resize((len(names) * side, side), Image.Resampling.BILINEAR), (0, head))
        words = ImageDraw.Draw(small)
        for i, name in enumerate(names):
            words.text(((i + 0.5) * side, head / 2 + 2), name, INK, font, anchor="mm")
        yield small


def animate(clips: Mapping[str, Tensor], path: Path, fps: float, side: int = 240) -> None:
    """`frames` as a file: .gif, or .mp4 where imageio with ffmpeg or av is installed. Raises UserError where it is not."""
    if path.suffix.lower() == ".gif":  # its clock ticks in hundredths
        gif(frames(clips, side), path, seconds=max(2, round(100 / fps)) / 100)
        return
    try:
        import imageio.v3 as video

        video.imwrite(path, np.stack([np.asarray(frame) for frame in frames(clips, side)]), fps=fps)
    except ImportError as error:
        raise UserError("MP4 needs imageio with av: pip install 'unweave[video]', or write a .gif.") from error
