"""Has what was drawn the look of its examples? Exact on made levels; what is said with the shipped model of letters, handwriting, faces."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

import unweave as uw
from unweave.data import load
from unweave.data.feed import to_float
from unweave.data.glyphs import CHARACTERS, PLAIN, face
from unweave.data.ink import tidied
from unweave.metrics.looks import apart, elsewhere, remarks


def grey(*shares: tuple[float, float]) -> Tensor:
    """One picture of 64 x 64 with these (level, share of the pixels)."""
    column = torch.cat([torch.full((round(64 * share),), level) for level, share in shares])
    return column[None, None, :, None].expand(1, 3, 64, 64)


def test_levels() -> None:
    x, y = grey((-1, 0.25), (1, 0.75)), grey((-1, 0.5), (1, 0.5))
    assert elsewhere(x, x) == 0 and apart(x, x) == 0
    assert elsewhere(x, y) == pytest.approx(0.25) and apart(x, y) == pytest.approx(0.5, abs=0.01)
    assert elsewhere(x, -x) == pytest.approx(0.5) and apart(grey((-1, 1.0)), grey((1, 1.0))) == pytest.approx(2)
    assert elsewhere(grey((0.95, 1.0)), grey((0.8, 1.0))) == 0, "nearly the same paper"
    red = torch.cat([x[:, :1], y[:, 1:]], 1)
    assert elsewhere(red, y) == pytest.approx(0.25 / 3)


def test_remarks() -> None:
    letters, other = grey((-1, 0.25), (1, 0.75)), grey((0, 0.75), (1, 0.25))
    assert remarks(letters, letters) == [] == remarks(letters, letters, tidy=True)
    (said,) = remarks(letters, other)
    assert "another kind" in said and "75% of the pixels" in said and "--tidy" in said
    (said,) = remarks(letters, other, tidy=True)
    assert "another kind" in said and "--tidy" not in said
    (said,) = remarks(letters, torch.cat([letters[:, :1], letters[:, 1:] * 0.9], 1))
    assert "colours of the examples are left out" in said
    coloured = torch.cat([letters[:, :1], letters[:, 1:] * 0.9], 1)
    assert remarks(coloured, coloured) == [], "a model of colours"
    (said,) = remarks(letters, grey((-1, 0.1), (0.5, 0.25), (1, 0.65)), tidy=True)
    assert "25% of the tidied examples is neither ink nor paper" in said


def shown(name: str, letters: str) -> Tensor:
    return to_float(torch.from_numpy(face(name)[[CHARACTERS.index(c) for c in letters]])[:, None]).expand(-1, 3, -1, -1)


def handwritten() -> Tensor:
    """A, V and T with a pen on grey paper, darker to one side."""
    strokes = (
        [[(12, 52), (32, 10), (50, 54)], [(20, 36), (44, 35)]],
        [[(12, 12), (30, 52), (50, 10)]],
        [[(10, 12), (54, 14)], [(31, 13), (33, 54)]],
    )
    light = np.linspace(150, 190, 64)[None].repeat(64, 0)
    found = []
    for letter in strokes:
        ink = Image.new("L", (64, 64), 0)
        for stroke in letter:
            ImageDraw.Draw(ink).line(stroke, fill=255, width=5, joint="curve")
        found.append(light + np.asarray(ink) / 255 * (40 - light))
    return to_float(torch.from_numpy(np.stack(found).astype(np.uint8))[:, None]).expand(-1, 3, -1, -1)


def test_what_the_shipped_model_says() -> None:
    """Nothing of typefaces and of tidied handwriting; that faces, light letters on dark and handwriting as it is are of another kind."""
    model = uw.load("funit-glyphs")
    contents = shown(PLAIN, "BKO7")

    def said(examples: Tensor, tidy: bool = False) -> str:
        examples = tidied(examples) if tidy else examples
        return " ".join(remarks(model.translate(contents, examples), examples, tidy))

    for name in load("glyphs@test").classes[::12]:  # type: ignore[attr-defined]
        assert said(shown(name, "AGRS5")) == "" == said(shown(name, "A")), name
    assert said(handwritten(), tidy=True) == ""
    assert "needs --tidy" in said(handwritten())
    faces = to_float(load("faces", 64, "test", n=5).take("image", range(5)))
    assert "another kind" in said(faces) and "colours" in said(faces)
    assert "another kind" in said(faces.mean(1, keepdim=True).expand(-1, 3, -1, -1))
    assert "another kind" in said(-shown("lucid", "AGRS5"))
