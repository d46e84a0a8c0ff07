"""How results are drawn: sheets, strips, overlays and animations, in one place.

Tensors come in as models make them: (3, H, W) in [-1, 1] for a picture, (1, H, W) in [0, 1] for a mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

CELL = 128  # a cell is enlarged by a whole number to about this many pixels, so that a 64 px picture can be judged by eye
GAP = 4
INK, PAPER = (60, 60, 60), (255, 255, 255)
MARK = (1.0, -0.55, -0.35)  # the colour of an overlay, in [-1, 1]: a red that no skin has


@dataclass
class Sheet:
    """A table of pictures. rows: (C, H, W) in [-1, 1] (or a mask (1, H, W) in [0, 1]), None for an empty cell.

    top, left: short labels of columns and rows.
    """

    rows: Sequence[Sequence[Tensor | None]]
    top: Sequence[str] = field(default_factory=list)
    left: Sequence[str] = field(default_factory=list)


def to_image(tensor: Tensor) -> Image.Image:
    """A picture (3, H, W) in [-1, 1] or uint8, or a mask (1, H, W) or (H, W) in [0, 1] or bool, as a Pillow image (RGB or L)."""
    x = tensor.detach().cpu()
    x = x[None] if x.dim() == 2 else x
    if x.dim() != 3 or len(x) not in (1, 3):
        raise ValueError(f"a picture is (3, H, W) and a mask (1, H, W), not {tuple(tensor.shape)}")
    if x.dtype != torch.uint8:
        x = x.float()
        x = (x * 255 if len(x) == 1 else (x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(x[0].numpy() if len(x) == 1 else x.permute(1, 2, 0).contiguous().numpy())


def strip(pictures: Iterable[Tensor | None], labels: Sequence[str] = ()) -> Sheet:
    """One row of pictures, each under its label."""
    return Sheet([list(pictures)], top=list(labels))


def overlay(image: Tensor, mask: Tensor, strength: float = 0.7) -> Tensor:
    """The picture with the mask painted over it in red: (3, H, W) in [-1, 1] and (1, H, W) in [0, 1] -> (3, H, W)."""
    m = mask.to(image) * strength
    return m * image.new_tensor(MARK)[:, None, None] + (1 - m) * image


def draw(sheet: Sheet, scale: int | None = None) -> Image.Image:
    """The sheet as one RGB picture on white paper. scale: enlargement of each pixel; None makes cells readable (about 128 px)."""
    cells = [[None if cell is None else to_image(cell).convert("RGB") for cell in row] for row in sheet.rows]
    filled = [cell for row in cells for cell in row if cell is not None]
    if not filled:
        raise ValueError("a sheet without a single picture cannot be drawn")
    width, height = max(c.width for c in filled), max(c.height for c in filled)
    scale = scale or max(1, round(CELL / max(width, height)))
    width, height, columns = width * scale, height * scale, max(len(row) for row in cells)

    font = ImageFont.load_default(size=13)
    left = max((int(font.getlength(text)) + 2 * GAP for text in sheet.left), default=0)
    top = 22 if any(sheet.top) else 0
    paper = Image.new("RGB", (left + columns * (width + GAP) + GAP, top + len(cells) * (height + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(paper)
    for i, text in enumerate(sheet.top):
        pen.text((left + GAP + i * (width + GAP) + width / 2, top / 2 + 1), _fitting(text, width, font), INK, font, anchor="mm")
    for j, text in enumerate(sheet.left):
        pen.text((GAP, top + GAP + j * (height + GAP) + height / 2), text, INK, font, anchor="lm")
    for j, row in enumerate(cells):
        for i, cell in enumerate(row):
            if cell is not None:
                # Whole-number enlargement without smoothing: the pixels shown are the pixels made.
                big = cell.resize((cell.width * scale, cell.height * scale), Image.Resampling.NEAREST)
                paper.paste(big, (left + GAP + i * (width + GAP), top + GAP + j * (height + GAP)))
    return paper


def column(titled: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures (drawn sheets) one below the other, each under its title."""
    font = ImageFont.load_default(size=16)
    head = 34
    paper = Image.new("RGB", (max(picture.width for _, picture in titled), sum(picture.height + head for _, picture in titled)), PAPER)
    pen, y = ImageDraw.Draw(paper), 0
    for title, picture in titled:
        pen.text((GAP, y + head - 8), _fitting(title, paper.width - 2 * GAP, font), INK, font, anchor="ls")
        paper.paste(picture, (0, y + head))
        y += head + picture.height
    return paper


def beside(titled: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures (drawn sheets) side by side, each under its title."""
    font, head, between = ImageFont.load_default(size=16), 34, 4 * GAP
    width = sum(picture.width for _, picture in titled) + between * (len(titled) - 1)
    paper = Image.new("RGB", (width, head + max(picture.height for _, picture in titled)), PAPER)
    pen, x = ImageDraw.Draw(paper), 0
    for title, picture in titled:
        pen.text((x + GAP, head - 8), _fitting(title, picture.width - 2 * GAP, font), INK, font, anchor="ls")
        paper.paste(picture, (x, head))
        x += picture.width + between
    return paper


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, shortened with an ellipsis until it is at most `width` pixels wide."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def gif(frames: Iterable[Tensor | Image.Image], path: str | Path, seconds: float = 0.1) -> None:
    """An endless animation; each frame stands for `seconds`."""
    first, *rest = [f if isinstance(f, Image.Image) else to_image(f).convert("RGB") for f in frames]
    first.save(path, "GIF", save_all=True, append_images=rest, duration=round(seconds * 1000), loop=0)
