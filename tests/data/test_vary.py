"""Typefaces made of given ones: by the rule, alike for all glyphs, legible, the same every time; and the sets that hold them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unweave.cli import run
from unweave.data import ClassFolders, glyphs, load, vary
from unweave.data.classes import Classed
from unweave.data.glyphs import CHARACTERS, PLAIN, face
from unweave.errors import UserError


def made(name: str, number: int) -> np.ndarray:
    return vary.varied(face(name), np.random.default_rng([7, number]))


@pytest.mark.parametrize("number", range(12))
def test_a_made_typeface_follows_the_rule_and_can_be_read(number: int) -> None:
    plain, new = face(PLAIN), made(PLAIN, number)
    assert new.shape == plain.shape and new.dtype == np.uint8
    assert (np.abs(new.astype(int) - plain).mean((1, 2)) > 2).mean() > 0.9  # another typeface
    for one in new:
        rows, columns = (np.flatnonzero((one < 128).any(axis)) for axis in (1, 0))
        assert max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 in range(45, 55)
        assert abs(rows[0] + rows[-1] - 63) <= 4 and abs(columns[0] + columns[-1] - 63) <= 4
    ink = [torch.from_numpy(1 - x.astype(np.float32) / 255)[:, None] for x in (plain, new)]
    assert vary.apart(ink[1]) > 0.3 * vary.apart(ink[0])  # letters differ from each other
    assert (made(PLAIN, number) == new).all()


def test_changes_of_strokes() -> None:
    """A bar of 40 x 12 fine pixels: thicker by 3 is 46 x 18, thinner by 3 is 34 x 6; an outline of it is hollow; feet are at its ends."""
    bar = torch.zeros(1, 1, 128, 128)
    bar[..., 44:84, 58:70] = 1
    assert vary.thicker(bar, 3).sum() == pytest.approx(46 * 18, abs=12)  # less the corners
    assert vary.thicker(bar, -3).sum() == 34 * 6
    assert vary.longer(bar, 2, 5).sum() == 50 * 16
    ring = vary.outline(bar, np.random.default_rng(0))
    assert ring[..., 64, 64] == 0 and ring.sum() > 100
    foot = next(x for x in (vary.serif(bar, np.random.default_rng(seed)) for seed in range(50)) if x.sum() > bar.sum())
    assert foot[..., 44, 56] == 1 and foot[..., 83, 71] == 1 and foot[..., 64, 56] == 0


def test_every_filling_leaves_ink() -> None:
    ink = torch.from_numpy(1 - face("lamebrai", 64).astype(np.float32) / 255)[:, None].repeat_interleave(2, 2).repeat_interleave(2, 3)
    for change in vary.FILLS:
        filled = change(ink, np.random.default_rng(3)).clamp(0, 1)
        assert filled.shape == ink.shape and filled.isfinite().all()
        assert filled.mean() > 0.1 * ink.mean(), change.__name__
        assert (filled - ink).abs().mean() > 0.03 * ink.mean(), change.__name__


def test_varied_glyphs_have_more_classes_to_learn_from_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path))
    monkeypatch.setattr(glyphs, "VARIATIONS", 1)
    data, plain = load("glyphs:varied", size=16), load("glyphs", size=16)
    assert isinstance(data, Classed) and isinstance(plain, Classed) and data.key != plain.key
    assert data.classes == plain.classes + tuple(f"{name}~1" for name in plain.classes)
    per = len(CHARACTERS)
    assert data.lengths["image"] == 2 * plain.lengths["image"]
    rows = [0, 374 * per, 5 * per + 3, (374 + 5) * per + 3]
    pictures = data.take("image", rows)
    assert (pictures[[0, 2]] == plain.take("image", [0, 5 * per + 3])).all()
    assert (pictures[[1, 3]] != pictures[[0, 2]]).any((1, 2, 3)).all()
    assert data.known("image", rows)[3] == {"face": f"{plain.classes[5]}~1", "character": "D"}
    test, held = data.sibling("test"), load("glyphs@test", size=16)
    assert isinstance(test, Classed) and isinstance(held, Classed) and test.classes == held.classes and test.key == held.key
    assert test.content_source().classes == plain.classes  # no contents of made typefaces


def test_what_cannot_be_varied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for name in ("one/a", "one/b", "two/a", "two/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), "white").save(tmp_path / f"{name}.png")
    with pytest.raises(UserError, match="only font files can be varied"):
        load(ClassFolders(str(tmp_path), varied=True), size=32)
    with pytest.raises(UserError, match="no part"):
        load("glyphs:varied,bold")
    assert run(["train", "funit", "glyphs", "--data.varied"]) == 2
    assert "glyphs:varied" in capsys.readouterr().err
