"""Built-in glyphs: what ships, how it is split, and that it follows its rule."""

import csv
from pathlib import Path

import numpy as np
import pytest

from unweave.data import glyphs as home
from unweave.data import load
from unweave.data.glyphs import CHARACTERS, PICTURES, PLAIN, TABLE, face, faces, packed
from unweave.errors import UserError


def test_what_ships_is_small_and_has_its_notice() -> None:
    assert PICTURES.stat().st_size < 5_000_000
    assert "Brian Kent" in (Path(home.__file__).parent / "typefaces" / "NOTICE.txt").read_text(encoding="utf-8")


def test_every_glyph_follows_the_rule() -> None:
    pictures = packed()
    assert pictures.shape == (464, 36, 64, 64) and pictures.dtype == np.uint8
    for one in pictures[::40, ::7].reshape(-1, 64, 64):
        rows, columns = (np.flatnonzero((one < 128).any(axis)) for axis in (1, 0))
        assert max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 in range(45, 54)  # faint or soft edges
        assert abs(rows[0] + rows[-1] - 63) <= 3 and abs(columns[0] + columns[-1] - 63) <= 3


def test_families_stay_together() -> None:
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["family"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    counts = {split: sum(row["split"] == split for row in rows) for split in ("train", "val", "test")}
    assert counts == {"train": 374, "val": 30, "test": 60}
    assert faces()[PLAIN] == "train"
    by_name = {row["face"]: row["family"] for row in rows}
    assert by_name["lucid"] == by_name["lucido"] and by_name["binchrt"] == by_name["binxchr"]  # by name, by picture


def test_columns() -> None:
    data = load("glyphs@test", size=32)
    assert data.lengths["image"] == 60 * 36
    pictures = data.take("image", [0, 37])
    assert pictures.shape == (2, 3, 32, 32) and (pictures[:, 0] == pictures[:, 2]).all()
    assert data.take("label", [0, 37]).tolist() == [0, 1]
    assert data.known("image", [37]) == [{"face": data.classes[1], "character": "B"}]  # type: ignore[attr-defined]
    alone = face(data.classes[1], 32)  # type: ignore[attr-defined]
    assert (alone[CHARACTERS.index("B")] == pictures[1, 0].numpy()).all()


def test_names_that_are_none() -> None:
    with pytest.raises(UserError, match="lucid"):
        face("lucit")
    with pytest.raises(UserError, match="no part"):
        load("glyphs:bold")
