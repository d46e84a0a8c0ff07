"""Classes: few-shot batches, class folders, and what is said of poor ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unweave.data import ClassFolders, load
from unweave.data.classes import Classed, FewShot, split_classes
from unweave.data.feed import Feed, match
from unweave.errors import UserError
from unweave.method import Need, examples, images

NEEDS = {
    "content": images(16),
    "content_class": Need("label", ()),
    "mates": examples(3, 16),
    "examples": examples(3, 16),
    "class_": Need("label", ()),
}


def make(root: Path, classes: int, each: int, grey: bool = False) -> Path:
    """Class folders whose pictures carry their class as red and their number as green (grey: as brightness)."""
    for k in range(classes):
        (root / f"class{k:02}").mkdir(parents=True)
        for i in range(each):
            colour = (8 * k + i,) * 3 if grey else (8 * k, 8 * i, 255)
            Image.new("RGB", (20, 16), colour).save(root / f"class{k:02}" / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("classes") / "some", 12, 5)


def few(folder: Path, split: str = "train", count: int = 3) -> FewShot:
    found = match({**NEEDS, "mates": examples(count, 16), "examples": examples(count, 16)}, load(ClassFolders(str(folder)), 16, split))
    assert isinstance(found, FewShot)
    return found


def test_batches_are_of_one_class_each(folder: Path) -> None:
    data = few(folder)
    batch = data.batch(0, 20, seed=1)
    red = [8 * int(name[-2:]) for name in data.inner.classes]
    for i in range(20):
        own, wanted = (red[int(batch[name][i])] for name in ("content_class", "class_"))
        assert batch["content"][i, 0].unique().tolist() == [own] and batch["mates"][i, :, 0].unique().tolist() == [own]
        assert batch["examples"][i, :, 0].unique().tolist() == [wanted]
        green = [int(one[1, 0, 0]) for one in (batch["content"][i], *batch["mates"][i])]
        assert len(set(green)) == 4, "mates are others than the content, and no one comes twice"
        assert len({int(one[1, 0, 0]) for one in batch["examples"][i]}) == 3


def test_truth_is_the_content_in_the_wanted_class() -> None:
    """Where every class shows all contents; of contents of training classes and examples of held-out ones, too."""
    for split in ("train", "val"):
        data = match({**NEEDS, "truth": images(16)}, load("glyphs", 16, split))
        assert isinstance(data, FewShot)
        batch = data.batch(3, 12, seed=1)
        inner = data.inner
        for i in range(12):
            face = inner.take("image", inner.of[int(batch["class_"][i])])
            own = data.contents_of.of[int(batch["content_class"][i])]
            here = (data.contents_of.take("image", own) == batch["content"][i]).flatten(1).all(1).nonzero()[0, 0]
            assert torch.equal(batch["truth"][i], face[here])
        alone = data.take("truth", [0, 40])
        assert torch.equal(alone[1], inner.take("image", [inner.of[1][40 % 36]])[0])


def test_with_truth_every_second_content_is_plain() -> None:
    """By chance; and only what is asked for is read."""
    faces = load("glyphs", 16)
    told, alone = (match(needs, faces) for needs in ({**NEEDS, "truth": images(16)}, {"content": images(16), "examples": examples(3, 16)}))
    assert isinstance(told, FewShot) and isinstance(alone, FewShot) and told.contents_of.plain is not None
    plain, labels = told.contents_of.classes.index(told.contents_of.plain), told.batch(0, 200, seed=1)["content_class"]
    assert 70 < (labels == plain).sum() < 130
    assert torch.equal(labels, torch.cat([told.batch(0, 50, seed=1)["content_class"], told.batch(50, 150, seed=1)["content_class"]]))
    batch = alone.batch(0, 200, seed=1)
    assert batch.keys() == {"content", "examples"}
    own = faces.take("image", alone.inner.of[plain])
    assert sum(bool((own == one).flatten(1).all(1).any()) for one in batch["content"]) < 10


def test_without_known_contents_there_is_no_truth(folder: Path) -> None:
    data = few(folder)
    assert "truth" not in data.offers and "truth" not in data.batch(0, 2, seed=0)
    with pytest.raises(UserError, match="truth"):
        match({**NEEDS, "truth": images(16)}, load(ClassFolders(str(folder)), 16))


def test_a_stream_does_not_depend_on_how_it_is_cut(folder: Path) -> None:
    data = few(folder)
    whole, parts = data.batch(5, 9, seed=3), [data.batch(5, 4, seed=3), data.batch(9, 5, seed=3)]
    for name, column in whole.items():
        assert torch.equal(column, torch.cat([part[name] for part in parts])), name


def test_more_examples_than_pictures_repeat_some(folder: Path) -> None:
    assert few(folder, count=9).batch(0, 2, seed=0)["mates"].shape == (2, 9, 3, 16, 16)


def test_test_classes_are_unseen_and_contents_are_of_training(folder: Path) -> None:
    train, test = few(folder), few(folder, "test")
    assert not set(train.inner.classes) & set(test.inner.classes)
    assert test.contents_of.classes == train.inner.classes
    assert few(folder).sibling("test").key == test.key


def test_feed_makes_floats(folder: Path) -> None:
    batch = Feed(few(folder), 4)(0)
    assert batch["examples"].shape == (4, 3, 3, 16, 16) and batch["examples"].dtype == torch.float32
    assert batch["class_"].shape == (4,)


def test_grey_folders_are_noticed(tmp_path: Path, folder: Path) -> None:
    grey, colour = (load(ClassFolders(str(one)), 16) for one in (make(tmp_path / "g", 6, 3, grey=True), folder))
    assert isinstance(grey, Classed) and isinstance(colour, Classed)
    assert grey.grey and not colour.grey and grey.take("image", [0]).shape == (1, 3, 16, 16)


def test_few_classes_share_their_pictures(tmp_path: Path) -> None:
    sets = {split: load(ClassFolders(str(make(tmp_path / split, 2, 10))), 16, split) for split in ("train", "val", "test")}
    assert all(data.classes == ("class00", "class01") for data in sets.values())  # type: ignore[attr-defined]
    assert [data.lengths["image"] for data in sets.values()] == [12, 4, 4]
    assert any("too few to hold any out" in note for note in sets["train"].notes)


@pytest.mark.parametrize("count", [2, 4, 5, 12, 30])
def test_split_of_classes(count: int) -> None:
    names = [f"n{i}" for i in range(count)]
    of = split_classes(names)
    held = [sum(split == one for split in of.values()) for one in ("val", "test")]
    assert held == ([0, 0] if count < 5 else [max(1, round(count / 10))] * 2)
    together = split_classes(names, [f"g{i // 2}" for i in range(count)])
    assert all(together[names[i]] == together[names[i - 1]] for i in range(1, count, 2))


def test_small_classes_and_loose_pictures_are_named(tmp_path: Path) -> None:
    root = make(tmp_path / "c", 6, 3)
    (root / "lonely").mkdir()
    Image.new("RGB", (9, 9)).save(root / "lonely" / "one.png")
    Image.new("RGB", (9, 9)).save(root / "loose.png")
    (root / "class00" / "broken.png").write_text("no picture")
    notes = "\n".join(load(ClassFolders(str(root)), 16).notes)
    assert "one picture alone: lonely" in notes and "in no class folder: 1 of" in notes
    assert "cannot be read: 1 of" in notes and "broken.png" in notes


def test_what_is_no_set_of_classes(tmp_path: Path) -> None:
    one = make(tmp_path / "one", 1, 5)
    with pytest.raises(UserError, match="one class alone with two pictures .* at least two"):
        load(ClassFolders(str(one)), 16)
    with pytest.raises(UserError, match="no class folders"):
        load(ClassFolders(str(one / "class00")), 16)
    single = make(tmp_path / "single", 3, 1)
    with pytest.raises(UserError, match="no class with two pictures .* of class00, class01, class02 there is one picture alone"):
        load(ClassFolders(str(single)), 16)
    with pytest.raises(UserError, match="set of classes would fit"):
        match(NEEDS, load("rectangles", 16, n=4))


def test_labels_are_the_class_of_the_picture(folder: Path) -> None:
    data = load(ClassFolders(str(folder)), 16)
    assert isinstance(data, Classed)
    labels = data.take("label", range(data.lengths["label"])).numpy()
    assert np.array_equal(labels, data.labels) and all(len(rows) == 5 for rows in data.of)
