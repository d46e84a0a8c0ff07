"""The built-in faces: the truth is exact, the splits share nothing, the pictures never change."""

import errno
import json
import os

import numpy as np
import pytest
import torch

from unweave.data import cache, load
from unweave.data.cartoon import draw_mask
from unweave.data.faces import Faces
from unweave.data.people import Allowed, Cast, draw_share, give
from unweave.data.people import without as without_part
from unweave.errors import UserError

TWO_SETS = ["faces:glasses", "faces:beard", "faces:smile", "faces:glasses,beard"]


MEANS_OF_VERSION_2 = [97.42, 114.23, 156.95, 182.6]


def open_(spec, size=32, n=12, **options):
    return load(spec, size, options.pop("split", "test"), n=n, **options)


def touched(faces, part, *others):
    """The pixels that the part covers at all, (N, 1, S, S): a mask leaves out what it covers by less than a quarter."""
    some = [[draw_mask(face, part, 32, least=1e-6) for face in those] for those in (faces, *others)]
    return torch.from_numpy(np.stack(some)).any(0)[:, None]


@pytest.mark.parametrize("spec", TWO_SETS)
@pytest.mark.parametrize("of", ["a", "b"])
def test_a_face_with_and_without_its_part_differs_there_alone(spec, of):
    data = open_(spec)
    if not data.truth.has_part(of):
        with pytest.raises(UserError, match=f"set {of} of {spec} has no part of its own"):
            data.truth.clean([0], of=of)
        return
    rows = range(12)
    with_, without, mask = data.take(of, rows), data.truth.clean(rows, of=of), data.truth.mask(rows, of=of)
    differs = (with_ != without).any(1, keepdim=True)
    part = data.cast.own_part(of)
    faces = [data.face(of, i) for i in rows]
    others = [[without_part(face, part) for face in faces]] if part == "smile" else []
    assert not (differs & ~touched(faces, part, *others)).any()
    inside = (differs[:, 0] & mask).sum((1, 2)) / mask.sum((1, 2))
    assert mask.any(-1).any(-1).all() and inside.mean() > 0.8  # hair on hair may look the same


@pytest.mark.parametrize("spec", TWO_SETS)
def test_wearing_puts_the_donors_part_on_the_face_and_nothing_else(spec):
    data = open_(spec)
    a, b = [0, 1, 2, 3, 4], [7, 5, 3, 1, 9]
    worn, mask = data.truth.wear(a, b)
    differs = (worn != data.take("a", a)).any(1, keepdim=True)
    part, faces = data.truth.part, [data.face("a", i) for i in a]
    wearing = [give(face, part, data.face("b", i)) for face, i in zip(faces, b)]
    assert differs.flatten(1).any(1).all()
    assert not (differs & ~touched(wearing, part, *([faces] if part == "smile" else []))).any()
    assert not (mask[:, None] & ~touched(wearing, part, *([faces] if part == "smile" else []))).any()
    again, _ = data.truth.wear(a, [9, 9, 9, 9, 9])
    assert not torch.equal(again[:4], worn[:4]) and torch.equal(again[4], worn[4])


def test_tinted_lenses_belong_to_the_mask_and_clear_ones_do_not():
    data = open_("faces:glasses", size=64, n=60)
    filled = []
    for i in range(60):
        rows, columns = np.nonzero(data.truth.mask([i])[0].numpy())
        box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        filled.append(len(rows) / box)
    tinted = data.truth.tinted
    assert 0.3 < tinted.mean() < 0.7
    assert np.mean(np.array(filled)[tinted]) > np.mean(np.array(filled)[~tinted]) + 0.15


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_frames_are_one_to_four_pixels_wide_at_64(split):
    cast = Cast(("glasses",), split, 0)
    pixels = [face.glasses.thickness * 1.28 * face.scale * 64 / 280 for face in (cast.face("b", i) for i in range(300))]
    assert min(pixels) > 1.0 and max(pixels) < 4.0


def test_sets_are_what_their_name_says():
    def has(parts, stream):
        faces = [Cast(parts, "train", 0).face(stream, i) for i in range(200)]
        return [np.mean([getattr(face, name) for face in faces]) for name in ("has_glasses", "has_beard", "smile")]

    glasses, beard, smile = has(("glasses",), "a")
    assert glasses == 0 and 0.2 < beard < 0.4 and 0.4 < smile < 0.6
    glasses, beard, smile = has(("glasses",), "b")
    assert glasses == 1 and 0.2 < beard < 0.4 and 0.4 < smile < 0.6
    assert has(("glasses", "beard"), "a")[:2] == [1, 0] and has(("glasses", "beard"), "b")[:2] == [0, 1]
    assert has(("smile",), "a")[2] < 0.15 and has(("smile",), "b")[2] > 0.85


def test_no_face_is_shown_twice():
    names = [
        json.loads(Cast(("glasses",), split, seed).face(stream, i).head)["seed"]
        for split in ("train", "val", "test")
        for stream in ("a", "b")
        for seed in (0, 1)
        for i in range(20)
    ]
    assert len(set(names)) == len(names)


def test_splits_share_no_frame_shape_and_no_colour():
    allowed = [Allowed(split) for split in ("train", "val", "test")]
    for kind in ("shapes", "colours"):
        cells = np.stack([getattr(one, kind) for one in allowed]).astype(int)
        assert (cells.sum(0) == 1).all() and (cells.reshape(3, -1).sum(1) > 0).all()
    frames = {s: {Cast(("glasses",), s, 0).face("b", i).glasses for i in range(100)} for s in ("train", "test")}
    assert len(frames["train"]) == len(frames["test"]) == 100 and not frames["train"] & frames["test"]


def test_pictures_do_not_depend_on_how_they_are_drawn(tmp_path):
    """One by one, in this process, or in several: the same bytes."""
    data = open_("faces:beard", size=16, n=210)
    drawn = data.batch(0, 210, seed=0)["a"]  # all, by several processes where there are several processors
    order = data._order("a", np.arange(210), 0)
    np.save(tmp_path / "some.npy", np.zeros((20, 3, 16, 16), np.uint8))
    draw_share(str(tmp_path / "some.npy"), data.cast, "a", 0, 20)
    some = np.load(tmp_path / "some.npy")
    for i in range(20):
        assert np.array_equal(drawn[np.flatnonzero(order == i)[0]].numpy(), some[i])
    assert torch.equal(data.take("a", range(20)), torch.from_numpy(some))


def test_the_pictures_of_version_2():
    """Changes to the drawing are meant: then VERSION is raised and this figure is set anew."""
    pictures = Faces(("glasses",), size=32, split="test", n=4).take("b", range(4)).double()
    assert pictures.mean((1, 2, 3)).tolist() == pytest.approx(MEANS_OF_VERSION_2, abs=0.2)  # rasterisers may round differently


def test_another_seed_or_size_is_another_set():
    keys = {open_("faces:glasses").key, open_("faces:glasses", seed=1).key, open_("faces:glasses", size=48).key, open_("faces:beard").key}
    assert len(keys) == 4
    assert not torch.equal(open_("faces:glasses").take("b", [0]), open_("faces:glasses", seed=1).take("b", [0]))


@pytest.mark.parametrize("harm", ["cut", "changed", "other shape", "no sum"])
def test_a_damaged_cache_is_made_anew(harm):
    first = open_("faces:smile", size=16, n=6)
    expected = first.batch(0, 6, 0)["a"].clone()
    path = cache.folder() / first.key / "a.npy"
    del first
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif harm == "changed":
        path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    elif harm == "other shape":
        np.save(path, np.zeros((6, 3, 8, 8), np.uint8))
    else:
        path.with_suffix(".json").write_text("")
    again = open_("faces:smile", size=16, n=6)
    assert torch.equal(again.batch(0, 6, 0)["a"], expected)
    assert sorted(p.name for p in path.parent.glob("a.*")) == ["a.json", "a.lock", "a.npy"]  # nothing left over


def test_a_full_disk_is_said_before_anything_is_drawn(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    data = open_("faces:smile", size=16, n=7)
    with pytest.raises(UserError, match="the disk is full; make room, or set UNWEAVE_CACHE"):
        data.batch(0, 7, 0)
    assert not list((cache.folder() / data.key).glob("*.npy"))


def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot write to the cache folder"):
        open_("faces:smile", size=16, n=7).batch(0, 7, 0)


def test_the_table_of_attributes_is_true():
    data = open_("faces", n=40)
    batch = data.batch(0, 40, seed=3)
    assert batch["attributes"].shape == (40, 3) and data.names == ("glasses", "beard", "smile")
    order = data._order("image", np.arange(40), 3)
    for row, i in zip(batch["attributes"], order):
        face = data.face("image", int(i))
        assert row.tolist() == pytest.approx([float(face.has_glasses), float(face.has_beard), face.smile])
    on, off = (data.truth.set(range(5), "glasses", value) for value in (1, 0))
    differs = (on != off).any(1, keepdim=True)
    faces = [data.face("image", i).with_(has_glasses=True) for i in range(5)]
    assert differs.flatten(1).any(1).all() and not (differs & ~touched(faces, "glasses")).any()
    smiles = data.truth.set([0], "smile", 0), data.truth.set([0], "smile", 1)
    assert not torch.equal(*smiles)
    with pytest.raises(UserError, match='did you mean "smile"'):
        data.truth.set([0], "smiles", 1)


def test_a_mistake_is_answered_with_what_would_be_right():
    for spec, answer in {
        "face:glasses": 'did you mean "faces"',
        "faces:glases": 'did you mean "glasses"',
        "faces:glasses@tst": 'did you mean "test"',
        "faces:": "empty part",
        "faces:glasses,glasses": "two different ones",
        "faces:glasses,beard,smile": "one part",
        "some/folder": "--data.a DIR --data.b DIR",
    }.items():
        with pytest.raises(UserError, match=answer):
            load(spec)
    for options in ({"size": -4}, {"n": 0}, {"split": "training"}, {"seed": -1}):
        with pytest.raises(UserError):
            load("faces", **options)


def test_the_split_of_the_name_counts_unless_one_is_given():
    assert load("faces:glasses@val").split == "val"
    assert load("faces:glasses@val", split="test").split == "test"
    assert load("faces:glasses").split == "train"
    assert load("faces:glasses@test").sibling("train").key == load("faces:glasses").key
