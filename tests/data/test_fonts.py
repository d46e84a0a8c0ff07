"""Fonts from files, made here: a box for every character, its width its number."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fontTools import fontBuilder as builder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

from unweave.cli import run
from unweave.data import ClassFolders, load
from unweave.data.classes import Classed, FewShot
from unweave.data.fonts import Both, Fonts, draw_font, placed
from unweave.data.glyphs import CHARACTERS, Glyphs
from unweave.errors import UserError
from unweave.recipe import describe, described


def make(path: Path, family: str, characters: str = CHARACTERS, flavor: str | None = None) -> Path:
    """A font file in which each character is a box of its own width."""

    def box(width: int) -> object:
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for point in ((0, 700), (width, 700), (width, 0)):
            pen.lineTo(point)
        pen.closePath()
        return pen.glyph()

    names = [f"g{ord(c)}" for c in characters]
    font = builder.FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", *names])
    font.setupCharacterMap({ord(c): name for c, name in zip(characters, names, strict=True)})
    font.setupGlyf({".notdef": box(333), **{name: box(100 + 15 * i) for i, name in enumerate(names)}})
    font.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (800, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.font.flavor = flavor
    font.save(path)
    return path


def test_the_rule(tmp_path: Path) -> None:
    drawn = draw_font(make(tmp_path / "a.ttf", "A"), 64)
    assert drawn.shape == (36, 64, 64)
    for i, one in enumerate(drawn):
        rows, columns = (np.flatnonzero((one < 128).any(axis)) for axis in (1, 0))
        assert len(rows) == 50 and abs(rows[0] + rows[-1] - 63) <= 1  # 700 units high, and none wider
        assert abs(len(columns) - 50 * (100 + 15 * i) / 700) <= 1 and abs(columns[0] + columns[-1] - 63) <= 1


def test_woff_too(tmp_path: Path) -> None:
    assert np.array_equal(draw_font(make(tmp_path / "a.woff", "A", flavor="woff"), 32), draw_font(make(tmp_path / "a.ttf", "A"), 32))


def test_a_folder_of_fonts(tmp_path: Path) -> None:
    for i in range(6):
        make(tmp_path / f"f{i}.ttf", f"Family {i // 2}" if i < 2 else f"Family {i}")
    (tmp_path / "broken.otf").write_bytes(b"no font")
    Image.new("L", (9, 9)).save(tmp_path / "stray.png")
    make(tmp_path / "short.ttf", "Short", "ABC")
    sets = {split: load(ClassFolders(str(tmp_path)), 32, split) for split in ("train", "val", "test")}
    names = {split: data.classes for split, data in sets.items()}  # type: ignore[attr-defined]
    assert sorted(sum(names.values(), ())) == [f"f{i}" for i in range(6)]
    assert any({"f0", "f1"} <= set(found) for found in names.values()), "siblings stay together"
    said = "\n".join(sets["train"].notes)
    assert "skipped 2" in said and "beside the fonts are left out: 1" in said
    assert "broken.otf" in said and "short.ttf lacks DEFGHIJK" in said
    assert sets["train"].lengths["image"] == 36 * len(names["train"])


def test_what_is_no_font(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="check the path"):
        draw_font(tmp_path / "none.ttf", 32)
    (tmp_path / "x.woff2").write_bytes(b"wOF2 and no more")
    with pytest.raises(UserError, match="convert it to TTF"):
        draw_font(tmp_path / "x.woff2", 32)
    with pytest.raises(UserError, match="no font that can be used, and at least two .* skipped: .*x.woff2"):
        load(ClassFolders(str(tmp_path)), 32)


def test_nothing_cannot_be_placed() -> None:
    with pytest.raises(ValueError, match="no ink"):
        placed(Image.new("L", (9, 9)), 32)


def test_varied_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unweave.data.glyphs.VARIATIONS", 2)
    for i in range(6):
        make(tmp_path / f"f{i}.ttf", f"Family {i}")
    plain, data = (load(ClassFolders(str(tmp_path), varied=varied), size=16) for varied in (False, True))
    assert len(data.classes) == 3 * len(plain.classes) and data.classes[-1] == f"{plain.classes[-1]}~2"  # type: ignore[attr-defined]
    assert data.take("image", [len(data.classes) * 36 - 1]).shape == (1, 3, 16, 16)  # type: ignore[attr-defined]
    test = data.sibling("test")
    assert not any("~" in name for name in test.classes + test.content_source().classes)  # type: ignore[attr-defined]


def test_fonts_beside_the_built_in_ones(tmp_path: Path) -> None:
    for i in range(6):
        make(tmp_path / f"f{i}.ttf", f"Family {i}")
    source = ClassFolders(str(tmp_path), beside="glyphs")
    own, ours = load(replace(source, beside=None), 16), load("glyphs", 16)
    both = load(source, 16)
    assert isinstance(own, Classed) and isinstance(ours, Classed) and isinstance(both, Classed)
    assert both.classes == ours.classes + own.classes and both.plain == ours.plain and both.grid is not None
    count = ours.lengths["image"]
    assert torch.equal(both.take("image", [count - 1, count + 7]), torch.cat([ours.take("image", [count - 1]), own.take("image", [7])]))
    assert both.known("image", [count + 7]) == [{"face": own.classes[0], "character": "H"}]
    test = both.sibling("test")
    assert isinstance(test, Classed) and test.content_source().classes == both.classes
    assert len(test.classes) == 61, "one family of six is held out, beside the 60"
    assert described(describe(source)) == replace(source, classes=str(tmp_path.absolute()))


def test_every_second_class_asked_for_is_built_in(tmp_path: Path) -> None:
    """However many fonts there are: of two glyph classes and four fonts, half and a third of the other half."""
    for i in range(4):
        make(tmp_path / f"f{i}.ttf", "Family")
    fonts = load(ClassFolders(str(tmp_path)), 16)
    assert isinstance(fonts, Fonts) and len(fonts.classes) == 4
    both = Both(Glyphs(size=16, split="train", n=2), fonts)
    rows = np.arange(len(both.rows)).repeat(40)
    asked = both.labels[both.asked(rows, np.arange(len(rows)), seed=1)]
    counts = np.bincount(asked, minlength=6) / len(asked)
    assert counts[:2] == pytest.approx([1 / 3, 1 / 3], abs=0.02) and counts[2:] == pytest.approx([1 / 12] * 4, abs=0.02)
    batches = FewShot(both, 2, 1)
    cut = torch.cat([batches.batch(at, 8, seed=1)["class_"] for at in (0, 8)])
    assert torch.equal(batches.batch(0, 16, seed=1)["class_"], cut)


def test_built_in_ones_go_beside_fonts_alone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "one" / "a.png")
    with pytest.raises(UserError, match="beside font files, and .* holds none"):
        load(ClassFolders(str(tmp_path), beside="glyphs"), 16)
    assert run(["train", "funit", "glyphs", "--data.beside", "glyphs"]) == 2
    for i in range(2):
        make(tmp_path / f"f{i}.ttf", f"Family {i}")
    with pytest.raises(UserError, match='glyphs:varied, not "faces"'):
        load(ClassFolders(str(tmp_path), beside="faces"), 16)
