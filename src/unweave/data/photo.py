"""One picture from a file, in any format Pillow reads, as the square a model sees; and an edited square pasted back at full size."""

import errno
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

from unweave.data.feed import to_float, to_uint8
from unweave.errors import UserError, did_you_mean

NOT_READ = {"EPS", "PDF"}  # programs, not pictures: Pillow would run them in Ghostscript
STRIP = 256  # rows pasted at a time
FITS = ("crop", "pad", "stretch")
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the picture


@dataclass(frozen=True)
class Decoded:
    """A picture upright and in eight bits. `rgb` over white where it is transparent, `plain` as the file has it."""

    rgb: Image.Image
    plain: Image.Image
    alpha: Image.Image | None
    size: tuple[int, int]  # width and height of the file's picture; `rgb` may be smaller (see `decode`)
    animated: bool  # then this is its first frame


def formats() -> list[str]:
    """What is read: all of Pillow's formats that are pictures."""
    Image.init()
    return [name for name in Image.OPEN if name not in NOT_READ]


def decode(path: str | Path, least: int | None = None) -> Decoded:
    """Read a file. With `least`, a JPEG may be decoded at a half, a quarter or an eighth of its size, no side below `least`: much faster.

    Raises UserError for what is no picture, broken, or so large that it must be a decompression bomb."""
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats()) as image:
                width, height = image.size
                animated = getattr(image, "n_frames", 1) > 1 and image.format not in ("MPO", "TIFF", "PSD", "ICO")  # pages, sizes
                if least:
                    image.draft(None, (least, least))
                image.load()
                upright = _upright(image)
                if (upright.width > upright.height) != (image.width > image.height):
                    width, height = height, width
        plain, alpha = _eight_bits(upright)
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} claims {_pixels(path)} pixels, too many to be decoded safely; make it smaller first.") from error
    except UnidentifiedImageError as error:
        what = "is empty (0 bytes)" if path.stat().st_size == 0 else "is not a picture in a format that Pillow reads"
        raise UserError(f"{path} {what}; replace it or take it out.") from error
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise UserError(f"there is no file {path}; check the path.") from error
        if error.errno == errno.EISDIR or path.is_dir():
            raise UserError(f"{path} is a folder; give a picture.") from error
        if error.errno == errno.EACCES:
            raise UserError(f"{path} may not be read; change its permissions.") from error
        raise UserError(f"{path} is damaged or cut short ({error}); replace it or take it out.") from error
    except (ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, ArithmeticError, MemoryError) as error:
        raise UserError(f"{path} cannot be decoded ({error}); replace it or take it out.") from error  # what Pillow's readers raise
    rgb = plain
    if alpha is not None:
        rgb = Image.new("RGB", plain.size, "white")
        rgb.paste(plain, mask=alpha)
    return Decoded(rgb, plain, alpha, (width, height), animated)


def read_image(path: str | Path, size: int, fit: str = "crop") -> Tensor:
    """The picture in a file as a square: uint8 (3, size, size). `fit`: crop the middle, pad with white, or stretch. Raises UserError."""
    return square(decode(path, least=size).rgb, size, fit)


def square(image: Image.Image, size: int, fit: str = "crop") -> Tensor:
    """-> uint8 (3, size, size)"""
    width, height = image.size
    left, top, right, bottom = square_box(width, height, fit)
    if fit == "pad":
        scale = size / (right - left)
        inner = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.LANCZOS, reducing_gap=3)
        small = Image.new("RGB", (size, size), "white")
        small.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
    else:
        small = image.resize((size, size), Image.Resampling.LANCZOS, (left, top, right, bottom), reducing_gap=3)
    return torch.from_numpy(np.array(small).transpose(2, 0, 1).copy())


def square_box(width: int, height: int, fit: str) -> Box:
    """The part of a picture that becomes the square; with "pad" it reaches beyond the picture."""
    if fit not in FITS:
        raise UserError(f'a picture cannot be fitted by "{fit}": {did_you_mean(fit, FITS)}.')
    if fit == "stretch":
        return 0, 0, width, height
    side = min(width, height) if fit == "crop" else max(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


class Photo:
    """A photograph of any size and the square of it that a model of `size` pixels edits.

    `square`: float (1, 3, size, size) in [-1, 1], for the model. `paste(edited, mask)` gives the whole photograph back."""

    def __init__(self, path: str | Path, size: int, fit: str = "crop"):
        decoded = decode(path)
        self.path, self.size, self.fit = Path(path), size, fit
        self.full, self.alpha = decoded.plain, decoded.alpha
        self.notes = (f"{path} is animated: its first frame is taken.",) if decoded.animated else ()
        self.box = square_box(*self.full.size, fit)
        self.square = to_float(square(decoded.rgb, size, fit))[None]

    def paste(self, edited: Tensor, mask: Tensor | None = None) -> Image.Image:
        """The photograph with the edit in its square, RGB (RGBA where it had an alpha channel, which is kept).

        edited: (1, 3, S, S) or (3, S, S) in [-1, 1]; mask: (1, 1, S, S), (1, S, S) or (S, S) in [0, 1], how much of each pixel is new.
        With a mask only what is new is enlarged: full * (1 - M) + enlarged(edited - (1 - mask) * square), M the enlarged mask; where it is
        0 every pixel stays as it was. Without one the whole square is replaced by the enlarged edit. Outside it nothing changes."""
        edited = edited.detach().float().cpu().reshape(3, self.size, self.size)
        left, top, right, bottom = (int(side) for side in self.box)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, self.full.width), min(bottom, self.full.height)
        down = _enlargement(self.size, bottom - top)[y0 - top : y1 - top]
        across = _enlargement(self.size, right - left)[x0 - left : x1 - left].T
        if mask is not None:
            mask = mask.detach().float().cpu().reshape(1, self.size, self.size)
            edited = edited - (1 - mask) * self.square[0]

        out = self.full.copy()
        for start in range(0, y1 - y0, STRIP):  # a strip at a time: a whole photograph of floats takes gigabytes
            rows = down[start : start + STRIP]
            new = rows @ edited @ across
            if mask is not None:
                old = self.full.crop((x0, y0 + start, x1, y0 + start + len(rows)))
                new += to_float(torch.from_numpy(np.array(old).transpose(2, 0, 1))) * (1 - rows @ mask @ across)
            out.paste(Image.fromarray(to_uint8(new).permute(1, 2, 0).numpy()), (x0, y0 + start))
        if self.alpha is not None:
            out.putalpha(self.alpha)
        if profile := self.full.info.get("icc_profile"):
            out.info["icc_profile"] = profile
        return out


def _enlargement(small: int, large: int) -> Tensor:
    """Bilinear interpolation from `small` to `large` pixels as a matrix, (large, small). Shrinking is antialiased."""
    return interpolate(torch.eye(small)[None, None], (large, small), mode="bilinear", antialias=large < small)[0, 0]


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block does not make the picture worthless
        return image


def _eight_bits(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """-> RGB, and alpha where the picture has any"""
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        levels = np.asarray(image, dtype=np.float64)
        top = levels.max(initial=0)
        full = 1.0 if image.mode == "F" and top <= 1 else 255.0 if top <= 255 and image.mode != "I;16" else 65535.0 if top <= 65535 else top
        image = Image.fromarray(np.clip(levels / full * 255, 0, 255).round().astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        if image.mode in ("La", "RGBa"):
            image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
        rgba = image.convert("RGBA")
        rgb, alpha = rgba.convert("RGB"), rgba.getchannel("A")
    else:
        rgb, alpha = image.convert("RGB"), None
    rgb.info = {"icc_profile": profile} if profile else {}
    return rgb, alpha


def _pixels(path: Path) -> str:
    """Width x height of a file too large to be opened."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path, formats=formats()) as image:
            return f"{image.width:,} x {image.height:,}"
    except Exception:
        return f"more than {2 * (limit or 0):,}"
    finally:
        Image.MAX_IMAGE_PIXELS = limit
