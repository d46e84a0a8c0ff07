"""Folders and tables of pictures: what is taken, what is left out, who is in which split."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from test_photo import broken_files

from unweave.data import Folders, Table, load
from unweave.data.folders import splits
from unweave.data.tables import read_table
from unweave.errors import UserError

SPLITS = ("train", "val", "test")


def fill(folder, count, first=0, size=(20, 16), name="{:03d}.png"):
    """Pictures of one grey each, that of their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        Image.new("RGB", size, (i % 256,) * 3).save(folder / name.format(i))
    return str(folder)


def two(tmp_path, count=30):
    return Folders(fill(tmp_path / "a", count), fill(tmp_path / "b", count, first=100))


def greys(pictures):
    return sorted(pictures[:, 0, 0, 0].tolist())


def test_two_folders_are_two_sets_and_every_picture_is_in_one_split(tmp_path):
    folders = two(tmp_path)
    sets = [load(folders, 16, split) for split in SPLITS]
    for stream, numbers in (("a", range(30)), ("b", range(100, 130))):
        shown = [greys(one.take(stream, range(one.lengths[stream]))) for one in sets]
        assert sorted(sum(shown, [])) == list(numbers) and [len(one) for one in shown] == [24, 3, 3]
    batch = sets[0].batch(0, 24, seed=0)
    assert greys(batch["a"]) == greys(sets[0].take("a", range(24))) and batch["b"].shape == (24, 3, 16, 16)
    assert sets[0].sibling("val").key == sets[1].key and len({one.key for one in sets}) == 3
    assert "a: 30 pictures (24 train, 3 val, 3 test) of 20 x 16 px" in sets[0].notes[0]
    assert sets[0].truth is None


def test_a_picture_keeps_its_split_when_others_are_added():
    names = [f"{i}.jpg" for i in range(2000)]
    (before,), (after,) = splits([names[:1000]]), splits([names])
    assert before == after[:1000]
    assert 0.76 < before.count("train") / 1000 < 0.84 and before.count("val") > 70 and before.count("test") > 70


def test_a_person_is_in_one_split_in_both_folders():
    people = [f"person{i:02d}" for i in range(150)]
    a, b = ([f"{kind}/{person}_{i}.jpg" for person in people for i in range(3)] for kind in "xy")
    found = {}
    for names, of in zip((a, b), splits([a, b], r"(person\d+)_")):
        for name, split in zip(names, of):
            found.setdefault(name[2:].split("_")[0], set()).add(split)
    assert all(len(one) == 1 for one in found.values()) and {s for one in found.values() for s in one} == set(SPLITS)
    with pytest.raises(UserError, match="no regular expression"):
        splits([a, b], "(person")


def test_broken_files_are_skipped_and_listed(tmp_path):
    folders = two(tmp_path)
    expected = broken_files(tmp_path / "a")
    (tmp_path / "a" / ".hidden.png").write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_text("hello")
    data = load(folders, 16)
    listed = {path.name: error for path, error in data.broken}
    assert set(listed) == set(expected) - {"script.eps"} and all(expected[name] in error for name, error in listed.items())
    assert data.notes[-1].startswith("skipped 6 files that cannot be read: ") and "; ..." in data.notes[-1]
    every = [load(folders, 16, split) for split in SPLITS]
    assert sum(one.lengths["a"] for one in every) == 30


def test_a_changed_picture_is_read_again(tmp_path):
    folders = two(tmp_path)
    before = load(folders, 16)
    Image.new("RGB", (20, 16), (250, 250, 250)).save(tmp_path / "a" / before.name("a", 0))
    after = load(folders, 16)
    assert after.key != before.key
    assert after.take("a", [0]).float().mean() == 250 and torch.equal(after.take("a", [1]), before.take("a", [1]))


def test_what_a_user_should_know_is_noted(tmp_path):
    fill(tmp_path / "a", 10, size=(10, 40))
    Image.new("RGB", (30, 30)).save(tmp_path / "a" / "x.gif", save_all=True, append_images=[Image.new("RGB", (30, 30), "red")])
    folders = Folders(str(tmp_path / "a"), fill(tmp_path / "b", 10, first=100, size=(10, 40)))
    notes = "\n".join(load(folders, 16).notes)
    for words in ("10 x 40 to 30 x 30 px", "very few", "10 pictures are smaller than 16 px", "twice as long", "1 animated files"):
        assert words in notes
    assert "twice as long" not in "\n".join(load(Folders(folders.a, folders.b, fit="pad"), 16).notes)


def test_folders_that_cannot_be_used(tmp_path):
    good = fill(tmp_path / "good", 20)
    empty, texts, one, file = (tmp_path / name for name in ("empty", "texts", "one", "file"))
    empty.mkdir()
    texts.mkdir()
    (texts / "x.txt").write_text("hello")
    fill(one, 1)
    file.write_text("hello")
    broken = tmp_path / "broken"
    broken.mkdir()
    broken_files(broken)
    for folder, answer in {
        tmp_path / "nowhere": "there is no folder",
        empty: "holds no pictures .it is empty",
        texts: "none of its 1 files is one",
        file: "is a file",
        one: "one readable picture alone",
        broken: "no readable picture",
        tmp_path / "good": "are the same folder",
    }.items():
        for folders in (Folders(good, str(folder)), Folders(str(folder), good)):
            with pytest.raises(UserError, match=answer):
                load(folders, 16)
    with pytest.raises(UserError, match="the val split of set b .* is empty"):
        load(Folders(good, fill(tmp_path / "two", 2)), 16, "val")
    with pytest.raises(UserError, match='did you mean "pad"'):
        load(Folders(good, fill(tmp_path / "three", 30), fit="pads"), 16)


def test_mirroring_is_for_training_alone(tmp_path):
    folders = Folders(*(getattr(two(tmp_path), name) for name in "ab"), flip=True)
    assert [load(folders, 16, split).flip for split in SPLITS] == [True, False, False]


def test_n_takes_some(tmp_path):
    data = load(two(tmp_path), 16, n=5)
    assert data.lengths == {"a": 5, "b": 5}


def test_descriptions_survive_json():
    for one in (Folders("a", "b", group="x"), Table("images", "table.csv", part="hat", above=0.9, below=0.1)):
        assert type(one)(**json.loads(json.dumps(asdict(one)))) == one


# -- tables --------------------------------------------------------------------------------------------------------------------


def table(tmp_path, text=None, count=30):
    fill(tmp_path / "images", count)
    rows = "\n".join(f"{i:03d}.png,{i / 100:.2f},{-1 if i % 2 else 1},word" for i in range(count))
    (tmp_path / "table.csv").write_text(text or f"file,hat,smile,remark\n{rows}\n")
    return str(tmp_path / "images"), str(tmp_path / "table.csv")


def test_attributes_belong_to_their_pictures(tmp_path):
    data = load(Table(*table(tmp_path)), 16)
    assert data.names == ("hat", "smile") and data.lengths == {"image": 24, "attributes": 24}
    batch = data.batch(0, 24, seed=1)
    grey = batch["image"][:, 0, 0, 0]
    assert torch.allclose(batch["attributes"][:, 0], grey / 100, atol=0.006)
    assert torch.equal(batch["attributes"][:, 1], 1 - (grey % 2).float())  # -1 and 1 became 0 and 1
    assert data.offers["attributes"].shape == (2,)


def test_a_table_as_two_sets(tmp_path):
    sets = [load(Table(*table(tmp_path), part="hat", above=0.19, below=0.1), 16, split) for split in SPLITS]
    shown = {stream: sorted(sum((greys(one.take(stream, range(one.lengths[stream]))) for one in sets), [])) for stream in "ab"}
    assert shown == {"a": list(range(10)), "b": list(range(20, 30))}
    halves = [load(Table(*table(tmp_path), part="smile"), 16, split).lengths for split in SPLITS]
    assert sum(one["a"] for one in halves) == sum(one["b"] for one in halves) == 15


def test_a_table_as_two_sets_with_a_part_each(tmp_path):
    sets = [load(Table(*table(tmp_path), part="hat, smile", above=0.15, below=0.1), 16, split) for split in SPLITS]
    shown = {stream: sorted(sum((greys(one.take(stream, range(one.lengths[stream]))) for one in sets), [])) for stream in "ab"}
    assert shown == {"a": [i for i in range(16, 30) if i % 2], "b": [i for i in range(10) if not i % 2]}  # smile is 1 where i is even
    alone = [[one.alone(which) for one in sets] for which in (0, 1)]
    whole = [{name: sum(one.lengths[name] for one in of_part) for name in "ab"} for of_part in alone]
    assert whole == [{"a": 10, "b": 14}, {"a": 15, "b": 15}]
    assert [one.split for one in alone[0]] == list(SPLITS)
    for one in sets:  # a picture stays in its split, though 30 are split by rank
        for mine, which, theirs in (("a", 0, "b"), ("b", 0, "a"), ("a", 1, "a"), ("b", 1, "b")):
            other = one.alone(which)
            assert set(greys(one.take(mine, range(one.lengths[mine])))) <= set(greys(other.take(theirs, range(other.lengths[theirs]))))


def test_a_column_may_have_a_comma_in_its_name(tmp_path):
    rows = "\n".join(f"{i:03d}.png,{i % 2}" for i in range(30))
    data = load(Table(*table(tmp_path, f'file,"hat, red"\n{rows}\n'), part="hat, red"), 16)
    assert data.offers.keys() == {"a", "b"} and not hasattr(data, "alone")


def test_celebas_own_format(tmp_path):
    text = "30\nEyeglasses Smiling\n" + "\n".join(f"{i:03d}.png  {-1 if i < 15 else 1} -1" for i in range(30))
    images, path = table(tmp_path, text)
    attributes = read_table(path)
    assert attributes.columns == ("Eyeglasses", "Smiling") and attributes.values[14:16, 0].tolist() == [0, 1]
    data = load(Table(images, path, part="Eyeglasses"), 16)
    assert max(greys(data.take("a", range(data.lengths["a"])))) < 15 <= min(greys(data.take("b", range(data.lengths["b"]))))


def test_semicolons_stems_and_gaps(tmp_path):
    rows = "\n".join(f"1;{i:03d};{'' if i == 3 else i / 30:}" for i in range(28))
    data = [load(Table(*table(tmp_path, f"row;name;hat\n{rows}\n")), 16, split) for split in SPLITS]
    assert data[0].names == ("row", "hat") and sum(one.lengths["image"] for one in data) == 27
    assert "2 pictures are not in the table" in "\n".join(data[0].notes) and "1 pictures lack an attribute" in "\n".join(data[0].notes)


def test_tables_that_cannot_be_used(tmp_path):
    images, path = table(tmp_path)
    for options, answer in (
        ({"part": "hats"}, 'did you mean "hat"'),
        ({"part": "hat", "above": 2.0}, 'no picture has "hat" above 2 .it runs from 0 to 0.29'),
        ({"part": "hat", "above": 0.1, "below": 0.2}, "take a lower `below`"),
        ({"part": "hat,smiles"}, 'no column "smiles": did you mean "smile"'),
        ({"part": "hat,hat"}, "by one column or by two different ones"),
        ({"part": "hat,smile,hat"}, "by one column or by two different ones"),
        ({"part": "smile,hat", "above": 0.5}, 'no picture has "hat" above 0.5 and "smile" below 0.5'),
    ):
        with pytest.raises(UserError, match=answer):
            load(Table(images, path, **options), 16)
    for text, answer in {
        "file,hat\n": "has no rows",
        "file,hat\n000.png,1,2\n": "row 2 of .* has 3 values and the header 2",
        "file,hat\nelse.png,1\n": "no picture in .* is named in",
        "file,hat\n000.png,yes\n": "no column of .* holds numbers",
        "file,hat,hat\n000.png,1,2\n": "two columns",
    }.items():
        with pytest.raises(UserError, match=answer):
            load(Table(*table(tmp_path, text)), 16)
    with pytest.raises(UserError, match="there is no table"):
        load(Table(images, str(tmp_path / "nowhere.csv")), 16)
    (tmp_path / "table.csv").write_bytes(np.random.default_rng(0).bytes(999))
    with pytest.raises(UserError, match="is not UTF-8 text .* save the table as CSV in UTF-8"):
        load(Table(images, path), 16)
    (tmp_path / "table.csv").write_bytes("file,h\u00fct\n000.png,1\n".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8 text"):
        load(Table(images, path), 16)


def test_rows_without_pictures_and_rows_that_are_there_twice(tmp_path):
    rows = [f"{i:03d}.png,{i / 30}" for i in range(30)] + ["gone.png,1", "003.png,0.1"]
    data = load(Table(*table(tmp_path, "file,hat\n" + "\n".join(rows))), 16)
    notes = "\n".join(data.notes)
    assert "1 rows of the table name pictures that are not there" in notes and "1 rows of the table are there twice" in notes
    with pytest.raises(UserError, match=r"two different things of 003.png \(rows 5 and 33\)"):
        load(Table(*table(tmp_path, "file,hat\n" + "\n".join([*rows[:-1], "003.png,0.2"]))), 16)


def test_numbers_that_are_none(tmp_path):
    rows = [f"{i:03d}.png,{'NaN' if i == 5 else i / 30}" for i in range(30)]
    data = load(Table(*table(tmp_path, "file,hat\n" + "\n".join(rows))), 16)
    assert "1 pictures lack an attribute" in "\n".join(data.notes)
    with pytest.raises(UserError, match=r'"hat" of .* holds an infinite number \(row 7\)'):
        load(Table(*table(tmp_path, "file,hat\n" + "\n".join(rows).replace("NaN", "inf"))), 16)
