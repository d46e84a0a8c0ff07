"""segments.csv: where the part is in each picture, in numbers that a labeller can use."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unweave import edits
from unweave.cli import run
from unweave.codes import Code, Codes, Output
from unweave.method import Method

SIZE = 32


@dataclass(frozen=True)
class Plain:
    size: int = SIZE


class Redness(Method):
    """Marks what is red, at .8; its codes are the picture."""

    name = "redness"
    Config: ClassVar[type] = Plain
    masks = True

    def __init__(self) -> None:
        super().__init__(Plain())
        self.weight = torch.nn.Parameter(torch.tensor(0.8))
        shape = (3, SIZE, SIZE)
        self.codes = (Code("common", "spatial", shape), Code("separate", "spatial", shape, domains=("b",)))

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        return Codes(common=x, separate=x)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        red = (codes["separate"][:, :1] > 0.5) & (codes["separate"][:, 1:2] < -0.5)
        return Output(image=codes["common"], mask=red * self.weight, background=codes["common"])


def picture(path: Path, width: int, height: int, box: tuple[int, int, int, int] | None, orientation: int | None = None) -> Path:
    """White, with a red box (left, top, right, bottom)."""
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    if box:
        pixels[box[1] : box[3], box[0] : box[2]] = 255, 0, 0
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def lines(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {Path(line["file"]).name: line for line in csv.DictReader(file)}


def box(line: dict[str, str]) -> list[int]:
    return [int(line[side]) for side in ("x0", "y0", "x1", "y1")]


def test_a_line_for_each_picture(tmp_path: Path) -> None:
    """Boxes and areas are those of the files, whatever their shape and however they are turned."""
    files = [
        picture(tmp_path / "same.png", 32, 32, (4, 8, 14, 20)),
        picture(tmp_path / "wide.png", 128, 64, (44, 16, 64, 40)),  # its middle, of twice the model's size
        picture(tmp_path / "turned.jpg", 64, 64, (0, 0, 16, 32), orientation=6),  # shown turned to the right by a quarter
        picture(tmp_path / "nothing.png", 40, 40, None),
    ]
    done = edits.segment(Redness(), files, tmp_path / "out")
    found = lines(tmp_path / "out" / "segments.csv")
    assert list(found) == [path.name for path in files] and [line["file"] for line in found.values()] == [str(path) for path in files]
    assert box(found["same.png"]) == [4, 8, 14, 20] and float(found["same.png"]["area"]) == pytest.approx(120 / 32**2, abs=1e-6)
    assert np.abs(np.subtract(box(found["wide.png"]), [44, 16, 64, 40])).max() <= 1
    assert float(found["wide.png"]["area"]) == pytest.approx(20 * 24 / (128 * 64), rel=0.15)
    assert np.abs(np.subtract(box(found["turned.jpg"]), [32, 0, 64, 16])).max() <= 2
    assert all(float(found[name]["confidence"]) == pytest.approx(0.8, abs=1e-4) for name in ("same.png", "wide.png", "turned.jpg"))
    nothing = found["nothing.png"]
    assert [nothing[side] for side in ("x0", "y0", "x1", "y1")] == [""] * 4
    assert float(nothing["area"]) == 0 and float(nothing["confidence"]) == 0
    for path, line in zip(done.written, found.values()):  # the masks beside it say the same
        with Image.open(path) as mask:
            assert list(mask.getbbox() or []) == (box(line) if line["x0"] else [])


@pytest.mark.parametrize("threshold", ["soft", "0.5", "0.9"])
def test_what_counts_as_marked(tmp_path: Path, threshold: str) -> None:
    """Soft masks are written as they are, and counted by their automatic threshold; a number counts what is above it."""
    edits.segment(Redness(), [picture(tmp_path / "one.png", 32, 32, (4, 8, 14, 20))], tmp_path / "out", threshold)
    (line,) = lines(tmp_path / "out" / "segments.csv").values()
    with Image.open(tmp_path / "out" / "one.png") as mask:
        brightest = mask.getextrema()[1]
    assert brightest == {"soft": 204, "0.5": 255, "0.9": 0}[threshold]
    assert float(line["area"]) == pytest.approx(0 if threshold == "0.9" else 120 / 32**2, abs=1e-6)


def test_what_cannot_be_read_has_no_line(model_file: Path, folders: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "b.png").write_bytes((folders / "b" / "b00.png").read_bytes())
    (mixed / "cut.png").write_bytes((folders / "b" / "b01.png").read_bytes()[:200])
    assert run(["segment", str(model_file), str(mixed), "-o", str(tmp_path / "out")]) == 1
    assert list(lines(tmp_path / "out" / "segments.csv")) == ["b.png"]
