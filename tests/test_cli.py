"""Every command as a user types it: what it writes, what it says, how it ends."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unweave as uw
from unweave.cli import COMMANDS, UsageError
from unweave.cli.training import _wish, source
from unweave.data import BuiltIn
from unweave.demo import sheet
from unweave.methods import get
from unweave.models import load, shipped
from unweave.runs import Run

Say = Callable[..., tuple[int, str, str]]


def last(text: str) -> Path:
    """The one result path, the last line."""
    return Path(text.strip().splitlines()[-1])


# -- help ----------------------------------------------------------------------------------------------------------------------


def test_help_is_instant() -> None:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "unweave", "--help"], check=True, capture_output=True)
        return time.perf_counter() - started

    assert min(once() for _ in range(5)) < 0.3


def test_help_names_every_command(say: Say) -> None:
    status, out, _ = say("--help")
    assert status == 0
    assert all(re.search(rf"^  {name}\b", out, re.MULTILINE) for name in COMMANDS)
    assert say()[:2] == (0, out)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_each_command_explains_itself(say: Say, command: str) -> None:
    status, out, _ = say(command, "--help")
    assert status == 0 and f"unweave {command}" in out and "None" not in out


def test_version(say: Say) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", say("--version")[1])


# -- training ------------------------------------------------------------------------------------------------------------------

TINY = ("--size", 32, "--width", 8, "--batch", 4)


def test_train_then_go_on_then_use(say: Say, folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    data = ("--data.a", folders / "a", "--data.b", folders / "b")
    status, text, error = say("train", "mask", *data, *TINY, "--images", 64, "--out", out)
    assert status == 0, error
    assert last(text) == out and "16 pictures of a and 16 pictures of b" in error
    assert {"config.json", "weights.safetensors", "last.safetensors", "log.jsonl", "card.md"} <= {path.name for path in out.iterdir()}
    assert list((out / "samples").glob("*.png"))

    status, text, error = say("resume", out)
    assert status == 0 and "has finished" in error and last(text) == out
    status, text, error = say("resume", out, "--images", 96, "--lr", 0.002)
    assert status == 0 and Run(out).images == 96 and Run(out).config["config"]["lr"] == 0.002
    status, text, error = say("resume", out, "--images", 128, "--width", 16)
    assert status == 1 and "leave its width as" in error and Run(out).config["config"]["width"] == 8
    status, text, error = say("resume", out, "--help")
    assert status == 0 and "--recon2-b" in text.replace("_", "-") and "--images" in text
    status, _, error = say("train", "mask", *data, *TINY, "--images", 64, "--out", out)
    assert status == 1 and "not empty" in error and f"unweave resume {out}" in error
    assert Run(out).images == 96

    status, text, _ = say("segment", out, folders / "b", "-o", tmp_path / "masks")
    assert status == 0 and len(list(last(text).glob("b*.png"))) == 20


def test_train_takes_the_data_as_a_word(say: Say, tmp_path: Path) -> None:
    status, text, error = say("train", "autoencoder", "rectangles", *TINY, "--images", "0.04k", "-o", tmp_path / "run")
    assert status == 0, error
    assert last(text) == tmp_path / "run" and Run(tmp_path / "run").images == 40


def test_dry_run_trains_nothing(say: Say, folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    status, text, error = say(
        "train", "mask", "--data.a", folders / "a", "--data.b", folders / "b", *TINY, "--images", "8k", "--out", out, "--dry-run"
    )
    assert status == 0, error
    assert not out.exists()
    assert "1,000 steps of 8 images" in text and "parameters" in text and re.search(r"needs a: image \(3, 32, 32\)", text)


def test_a_dry_run_says_that_weights_to_start_from_do_not_fit(say: Say, folders: Path, tmp_path: Path) -> None:
    data, out = ("--data.a", folders / "a", "--data.b", folders / "b"), tmp_path / "run"
    status, _, error = say("train", "mask", *data, "--start", "mask-glasses", "--width", 8, "--out", out, "--dry-run")
    assert status != 0 and "other networks" in error and "width" in error and not out.exists()


def test_more_pictures_of_a_built_in_set(tmp_path: Path) -> None:
    assert source(_wish("stylegan", ["faces", "--data.n", "20k"]), "faces") == BuiltIn("faces", 20_000)
    file = tmp_path / "mine.yaml"
    file.write_text("data: {n: 30000}\n")
    assert source(_wish("stylegan", ["--config", str(file)]), "faces") == BuiltIn("faces", 30_000)
    with pytest.raises(UsageError, match="--data.n is for built-in sets"):
        source(_wish("mask", ["--data.a", "x", "--data.b", "y", "--data.n", "5"]))


def test_options_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("preset: paper\nbatch: 8\nimages: 20k\nsize: 64\nrecon1-b: 3\nlr: 2e-4\ndata: {a: one, b: two, flip: true}\n")
    wish = _wish("mask", ["--config", str(file), "--batch", "16", "--recon1-a", "2"])
    assert (wish.batch, wish.images, wish.data_a, wish.data_b, wish.data_flip) == (16, "20k", "one", "two", True)
    assert (wish.method.size, wish.method.recon1_b, wish.method.recon1_a, wish.method.lr) == (64, 3.0, 2.0, 2e-4)
    assert isinstance(wish.method.recon1_b, float)
    assert wish.method.separate == get("mask").PRESETS["paper"].separate != get("mask").PRESETS["default"].separate


# -- edits ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs that are no squares, in three formats."""
    random = np.random.default_rng(1)
    (tmp_path / "photos").mkdir()
    for name, shape in {"wide.png": (60, 90, 3), "tall.jpg": (90, 60, 3), "grey.webp": (70, 70)}.items():
        Image.fromarray(random.integers(0, 255, shape, dtype=np.uint8)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def test_transfer_of_one_picture(say: Say, model_file: Path, photos: Path, folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, text, error = say("transfer", model_file, "--from", folders / "b" / "b00.png", "--onto", photos / "wide.png", "-o", out)
    assert status == 0, error
    assert last(text) == out / "wide.png" and (out / "sheet.png").exists()
    before, after = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (photos / "wide.png", out / "wide.png"))
    assert after.shape == before.shape
    assert (after[:, :15] == before[:, :15]).all() and (after[:, 75:] == before[:, 75:]).all(), "outside the square nothing changes"
    assert (after[:, 15:75] != before[:, 15:75]).any()


def test_transfer_from_a_folder_makes_a_grid(say: Say, model_file: Path, photos: Path, folders: Path, tmp_path: Path) -> None:
    donors = tmp_path / "donors"
    donors.mkdir()
    for name in ("b01.png", "b02.png"):
        shutil.copy(folders / "b" / name, donors)
    out = tmp_path / "out"
    status, text, error = say("transfer", model_file, "--from", donors, "--onto", photos, "-o", out)
    assert status == 0, error
    assert last(text) == out
    assert {path.name for path in out.iterdir()} == {"sheet.png"} | {
        f"{a}-{b}.png" for a in ("wide", "tall", "grey") for b in ("b01", "b02")
    }


def test_transfer_chains(say: Say, model_file: Path, photos: Path, folders: Path, tmp_path: Path) -> None:
    her, other, him = folders / "b" / "b00.png", folders / "b" / "b01.png", photos / "wide.png"
    status, text, error = say(
        "transfer", model_file, "--from", her, "--onto", him, "--then", model_file, "--from", other, "-o", tmp_path / "chained"
    )
    assert status == 0, error
    assert last(text) == tmp_path / "chained" / "wide.png"
    say("transfer", model_file, "--from", her, "--onto", him, "-o", tmp_path / "first")
    say("transfer", model_file, "--from", other, "--onto", tmp_path / "first" / "wide.png", "-o", tmp_path / "second")
    assert (tmp_path / "second" / "wide.png").read_bytes() == last(text).read_bytes()


def test_remove(say: Say, model_file: Path, photos: Path, tmp_path: Path) -> None:
    status, text, error = say("remove", model_file, photos, "-o", tmp_path / "out")
    assert status == 0, error
    assert {path.name for path in last(text).iterdir()} == {"sheet.png", "wide.png", "tall.png", "grey.png"}
    assert Image.open(tmp_path / "out" / "tall.png").size == (60, 90)


def test_a_model_can_be_surer_that_the_part_is_there(say: Say, model_file: Path, photos: Path, tmp_path: Path) -> None:
    picture, changed = photos / "wide.png", []
    for sure in (None, 0, 3):
        words = [] if sure is None else ["--sure", sure]
        status, _, error = say("remove", model_file, picture, *words, "-o", tmp_path / f"{sure}")
        assert status == 0, error
        changed.append(
            np.asarray(Image.open(tmp_path / f"{sure}" / "wide.png"), dtype=float) - np.asarray(Image.open(picture).convert("RGB"))
        )
    plain, none, much = (np.abs(change).mean() for change in changed)
    assert plain == none < much
    paper = get("mask")(get("mask").PRESETS["paper"])
    made = Run.create(tmp_path / "paper", {"method": "mask", "config": paper.settings(), "settings": {}})
    made.write_weights("weights", paper)
    for model in ("fader-faces", made.path / "weights.safetensors"):
        status, _, error = say("remove", model, picture, "--sure", 3, "-o", tmp_path / "out")
        assert status == 1 and "no such setting as sure" in error and not (tmp_path / "out").exists()
    status, _, error = say("remove", model_file, picture, "--sure", "nan", "-o", tmp_path / "out")
    assert status == 1 and "sure is a number" in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize("threshold", ["auto", "soft", "0.4"])
def test_segment(say: Say, model_file: Path, photos: Path, tmp_path: Path, threshold: str) -> None:
    status, text, error = say("segment", model_file, photos / "wide.png", "--threshold", threshold, "-o", tmp_path / "out")
    assert status == 0, error
    mask = np.asarray(Image.open(last(text)))
    assert mask.shape == (60, 90) and not mask[:, :15].any() and not mask[:, 75:].any()
    assert (threshold == "soft") == bool(set(np.unique(mask)) - {0, 255})


def test_interpolate(say: Say, model_file: Path, photos: Path, tmp_path: Path) -> None:
    words = ("interpolate", model_file, photos / "wide.png", photos / "tall.jpg", "--onto", photos / "grey.webp", "--code", "separate")
    status, text, error = say(*words, "--steps", 5, "-o", tmp_path / "out")
    assert status == 0, error
    assert last(text) == tmp_path / "out" / "grey-strip.png"
    assert {path.name for path in last(text).parent.iterdir()} == {"grey-strip.png"} | {f"grey-{i}.png" for i in range(5)}


@pytest.mark.parametrize("command", ["union", "intersection"])
def test_union_and_intersection(say: Say, two_part_file: Path, photos: Path, tmp_path: Path, command: str) -> None:
    status, text, error = say(command, two_part_file, photos / "wide.png", photos / "tall.jpg", "-o", tmp_path / "out")
    assert status == 0, error
    assert last(text) == tmp_path / "out" and {path.name for path in last(text).iterdir()} == {"wide.png", "tall.png", "sheet.png"}
    with Image.open(last(text) / "wide.png") as made, Image.open(photos / "wide.png") as before:
        assert made.size == before.size
    status, text, error = say(command, two_part_file, photos / "wide.png", photos / "tall.jpg", "--sure", 5, "-o", tmp_path / "sure")
    assert status == 0, error
    assert (last(text) / "tall.png").read_bytes() != (tmp_path / "out" / "tall.png").read_bytes()


def test_transfer_of_two_parts_goes_both_ways(say: Say, two_part_file: Path, folders: Path, tmp_path: Path) -> None:
    made = {}
    for direction in ("a2b", "b2a"):
        words = ("--from", folders / "b" / "b00.png", "--onto", folders / "a" / "a00.png", "--direction", direction)
        status, text, error = say("transfer", two_part_file, *words, "-o", tmp_path / direction)
        assert status == 0, error
        made[direction] = last(text).read_bytes()
    assert made["a2b"] != made["b2a"]


def test_two_pictures_of_one_name_are_both_written(say: Say, model_file: Path, photos: Path, tmp_path: Path) -> None:
    Image.open(photos / "wide.png").save(photos / "wide.jpg")
    status, _, error = say("remove", model_file, photos / "wide.png", photos / "wide.jpg", "-o", tmp_path / "out")
    assert status == 0, error
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"sheet.png", "wide.png", "wide-2.png"}


def test_results_of_the_same_name_are_overwritten(say: Say, model_file: Path, photos: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert say("remove", model_file, photos / "wide.png", "-o", tmp_path / "out")[0] == 0
    assert len(list((tmp_path / "out").iterdir())) == 2


# -- demo ----------------------------------------------------------------------------------------------------------------------


def test_demo_shows_the_shipped_model(say: Say, tmp_path: Path) -> None:
    status, text, error = say("demo", "--no-train", "-o", tmp_path / "demo")
    if not shipped():
        assert status == 1 and "No model ships" in error
        return
    assert status == 0, error
    assert last(text) == tmp_path / "demo" / "shipped.png" and Image.open(last(text)).width > 600
    assert "unweave train mask --data.a" in error


def test_demo_sheet_of_any_mask_model(model_file: Path) -> None:
    model = load(model_file)
    picture = sheet(model, uw.data("faces:glasses@test", size=model.size, n=8))
    assert picture.width > 600 and picture.height > 800


# -- what there is -------------------------------------------------------------------------------------------------------------


def test_data_writes_a_set(say: Say, tmp_path: Path) -> None:
    status, text, error = say("data", "faces:glasses@val", "-n", 5, "--size", 32, "-o", tmp_path / "faces")
    assert status == 0, error
    assert last(text) == tmp_path / "faces"
    assert len(list((tmp_path / "faces" / "a").glob("*.png"))) == len(list((tmp_path / "faces" / "masks").glob("*.png"))) == 5
    assert Image.open(tmp_path / "faces" / "b" / "00000.png").size == (32, 32)
    assert "faces" in say("data")[1] and "rectangles" in say("data")[1]


@pytest.mark.parametrize(
    ("command", "word"),
    [("models", "run folder"), ("methods", "mask"), ("methods", "paper"), ("measures", "mask_iou"), ("doctor", "precision")],
)
def test_lists(say: Say, command: str, word: str) -> None:
    status, text, error = say(command)
    assert status == 0, error
    assert word in text


REAL = os.environ.get("UNWEAVE_TEST_DATA")


@pytest.mark.skipif(not REAL, reason="UNWEAVE_TEST_DATA names no folder of real pictures")
def test_real_faces_with_a_table(say: Say) -> None:
    """Aligned photographs of faces with a table of attribute scores: as two sets, a person in one split only."""
    faces = Path(str(REAL)) / "faces-real"
    words = ("--data.images", faces / "images", "--data.attributes", faces / "attributes.csv", "--data.part", "Eyeglasses")
    limits = ("--data.above", 0.9, "--data.below", 0.02, "--data.group", r"^(.*)_\d+")
    status, text, error = say("train", "mask", *words, *limits, *TINY, "--images", "1k", "--dry-run")
    assert status == 0, error
    assert re.search(r"gets +a: .* x \d,\d{3}, b: .* x \d{3}\n", text)
