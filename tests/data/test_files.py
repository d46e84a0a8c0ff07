"""Built-in sets written as files, and their truth read again beside the folders."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from unweave.data import Folders, load
from unweave.data.files import write
from unweave.errors import UserError


def test_two_sets_and_their_truth_come_back_exactly(tmp_path):
    drawn = load("faces:glasses,beard", 32, "test", n=12)
    out = write(drawn, tmp_path / "set")
    read = load(Folders(str(out / "a"), str(out / "b")), 32, "train")
    assert read.truth.part == "beard" and len(read.truth.pairs) == read.lengths["b"] == read.lengths["a"] == 10
    here = range(10)
    there = [int(read.name("b", i)[:5]) for i in here]
    assert torch.equal(read.take("a", here), drawn.take("a", there)) and torch.equal(read.take("b", here), drawn.take("b", there))
    for of in "ab":
        assert torch.equal(read.truth.clean(here, of=of), drawn.truth.clean(there, of=of))
        assert torch.equal(read.truth.mask(here, of=of), drawn.truth.mask(there, of=of))
    for ours, theirs in zip(read.truth.wear(*read.truth.pairs.T), drawn.truth.wear(there, there)):
        assert torch.equal(ours, theirs)
    assert not read.truth.tinted.any() and not drawn.truth.tinted.any()  # of beards none is
    with pytest.raises(UserError, match="there is no true picture of a/"):
        read.truth.wear([0], [1])
    assert json.loads((out / "truth.json").read_text()) == {"spec": "faces:glasses,beard", "split": "test", "part": "beard"}


def test_the_kind_of_lens_comes_back(tmp_path):
    drawn = load("faces:glasses", 32, "test", n=12)
    out = write(drawn, tmp_path / "set")
    read = load(Folders(str(out / "a"), str(out / "b")), 32, "train")
    there = [int(read.name("b", i)[:5]) for i in range(10)]
    assert np.array_equal(read.truth.tinted, drawn.truth.tinted[there]) and 0 < read.truth.tinted.sum() < 10


def test_one_set_and_its_table(tmp_path):
    drawn = load("rectangles:position", 32, "test", n=7)
    out = write(drawn, tmp_path / "set")
    rows = list(csv.DictReader((out / "attributes.csv").open()))
    assert [row["file"] for row in rows] == [f"images/{i:05d}.png" for i in range(7)]
    for i, row in enumerate(rows):
        assert [float(row[name]) for name in drawn.names] == pytest.approx(drawn.truth.factors[i], abs=1e-6)
        assert np.array_equal(np.array(Image.open(out / row["file"])).transpose(2, 0, 1), drawn.take("image", [i])[0].numpy())
    faces = write(load("faces", 32, "test", n=3), tmp_path / "faces")
    assert set(next(csv.DictReader((faces / "attributes.csv").open()))) == {"file", "glasses", "beard", "smile", "tinted"}


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("hello")
    with pytest.raises(UserError, match="is not empty; name a new folder"):
        write(load("faces:glasses", 32, n=2), tmp_path)
    with pytest.raises(UserError, match="is not empty"):
        write(load("faces:glasses", 32, n=2), tmp_path / "mine.txt")
