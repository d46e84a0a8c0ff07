"""Attributes from the command line: training on a table and on two sets, slide, set, evaluate; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
from PIL import Image

import unweave as uw
from contract import tiny
from unweave import verbs
from unweave.cli import UsageError
from unweave.cli.sliding import numbers
from unweave.models import load
from unweave.runs import Run

Say = Callable[..., tuple[int, str, str]]
SMALL = ("--size", 32, "--width", 8, "--code", 4, "--batch", 4, "--images", 16)


@pytest.fixture(scope="module")
def fader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights file of a tiny fader that knows glasses (0, 1), colour (one of three) and smile (a number)."""
    model = tiny.build("fader")
    run = Run.create(tmp_path_factory.mktemp("fader") / "run", {"method": "fader", "config": model.settings(), "settings": {}})
    run.write_weights("weights", model)
    return run.path / "weights.safetensors"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/ with 40 pictures and attributes.csv: light (0 or 1), grey (0 to 1), same (1), big (0 to 90)."""
    root, random = tmp_path_factory.mktemp("table"), np.random.default_rng(0)
    (root / "images").mkdir()
    rows = ["file,light,grey,same,big"]
    for i in range(40):
        light, grey = i % 2, random.random()
        level = np.uint8(100 * light + 100 * grey)
        Image.fromarray(np.full((32, 32, 3), level)).save(root / "images" / f"{i:02}.png")
        rows.append(f"{i:02}.png,{light},{grey:.3f},1,{90 * grey:.0f}")
    (root / "attributes.csv").write_text("\n".join(rows))
    return root


def on(table: Path) -> tuple[object, ...]:
    return ("--data.images", table / "images", "--data.attributes", table / "attributes.csv")


# -- training ------------------------------------------------------------------------------------------------------------------


def test_from_a_table_to_edits_and_a_report(say: Say, table: Path, tmp_path: Path) -> None:
    status, _, said = say("train", "fader", *on(table), *SMALL, "--out", tmp_path / "run", "--attributes", "grey", "light")
    assert status == 0, said
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["attributes"] == ["grey", "light"] and config["classes"] == [0, 2]
    model = load(tmp_path / "run")
    assert [attribute.name for attribute in model.attributes] == ["grey", "light"]
    status, out, said = say("set", tmp_path / "run", table / "images" / "03.png", "--grey", 0.8, "--light=0", "-o", tmp_path / "out")
    assert status == 0 and Path(out.strip()) == tmp_path / "out" / "03.png", said
    status, out, said = say("evaluate", tmp_path / "run", "-o", tmp_path / "report")
    assert status == 0, said
    for name in ("grey_success", "light_others_kept", "grey_monotone", "light_leakage_linear", "reconstruction_error"):
        assert name in out
    assert (tmp_path / "report" / "sheets" / "slider-grey.png").exists()
    status, _, said = say("resume", tmp_path / "run", "--images", 24)
    assert status == 0 and Run(tmp_path / "run").images == 24, said


def test_two_folders_are_one_attribute(say: Say, folders: Path, tmp_path: Path) -> None:
    data = ("--data.a", folders / "a", "--data.b", folders / "b")
    status, _, said = say("train", "fader", *data, *SMALL, "--out", tmp_path / "run")
    assert status == 0, said
    status, out, said = say("evaluate", tmp_path / "run", "-o", tmp_path / "report")
    assert status == 0, said
    for name in ("transfer_success", "removal_success", "leakage_linear", "in_b_success", "in_b_monotone"):
        assert name in out
    status, _, said = say("slide", tmp_path / "run", folders / "a" / "a00.png", "--attribute", "in_b", "-o", tmp_path / "out")
    assert status == 0, said


def test_a_dry_run_names_the_attributes(say: Say, table: Path) -> None:
    status, out, said = say("train", "fader", *on(table), *SMALL, "--dry-run", "--attributes", "light")
    assert status == 0 and "attributes (1,)" in out, said


def test_a_plain_autoencoder_is_edited_along_mean_differences(say: Say, table: Path, tmp_path: Path) -> None:
    """What Fader Networks are compared with; a column that says nothing is left out."""
    status, _, said = say("train", "autoencoder", *on(table), "--size", 32, "--width", 4, "--images", 64, "--out", tmp_path / "run")
    assert status == 0, said
    status, out, said = say("evaluate", tmp_path / "run", "-o", tmp_path / "report")
    assert status == 0, said
    assert "grey_success" in out and "light_monotone" in out and "same_success" not in out and "leakage" not in out


@pytest.mark.parametrize(
    ("chosen", "answer"),
    [
        ([], 'All pictures have the same "same" (1)'),
        (["light", "gray"], 'has no attribute "gray": did you mean "grey"'),
        (["light", "big"], '"big" runs from 0 to 90'),
    ],
)
def test_columns_that_cannot_be_learned(say: Say, table: Path, tmp_path: Path, chosen: list[str], answer: str) -> None:
    options = ("--attributes", *chosen) if chosen else ()
    status, _, said = say("train", "fader", *on(table), *SMALL, "--out", tmp_path / "run", *options)
    assert status == 1 and answer in said and not (tmp_path / "run").exists(), said


# -- edits ---------------------------------------------------------------------------------------------------------------------


def test_slide_writes_each_step_a_strip_and_a_gif(say: Say, fader: Path, folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, _, said = say("slide", fader, folders / "a" / "a00.png", "--attribute", "smile", "--values=-1:2:4", "-o", out)
    assert status == 0, said
    assert {file.name for file in out.iterdir()} == {*(f"a00-{i}.png" for i in range(4)), "a00-strip.png", "a00.gif", "sheet.png"}
    assert Image.open(out / "a00-2.png").size == (48, 40)
    assert Image.open(out / "a00.gif").n_frames == 4  # type: ignore[attr-defined]


def test_the_square_alone_is_changed(say: Say, fader: Path, folders: Path, tmp_path: Path) -> None:
    status, _, said = say("set", fader, folders / "a", "--glasses", 1, "-o", tmp_path)
    assert status == 0, said
    before, after = (np.asarray(Image.open(folder / "a07.png").convert("RGB")) for folder in (folders / "a", tmp_path))
    assert np.array_equal(before[:, :4], after[:, :4]) and not np.array_equal(before, after)


def test_a_large_photograph_keeps_its_pixels_where_the_attribute_does_not_show(say: Say, tmp_path: Path) -> None:
    """What is new is enlarged; the rest is as sharp as it was. With `redraw` all of the square would be new."""
    face = uw.data("faces@val", size=256, n=1).take("image", [0])[0]
    Image.fromarray(face.permute(1, 2, 0).numpy()).save(tmp_path / "face.png")
    status, _, said = say("set", "fader-faces", tmp_path / "face.png", "--smile", 0.9, "-o", tmp_path / "kept")
    assert status == 0, said
    model, small = uw.load("fader-faces"), uw.image(tmp_path / "face.png", 64)
    mask = verbs.altered(model, small, {"smile": 0.9}).mask
    assert mask is not None
    untouched = (F.interpolate(F.max_pool2d(mask, 3, 1, 1), scale_factor=4)[0, 0] == 0).numpy()
    same = (np.asarray(Image.open(tmp_path / "kept" / "face.png")) == face.permute(1, 2, 0).numpy()).all(2)
    assert 0.7 < untouched.mean() < 1 and same[untouched].all() and not same.all()
    model.redraws = True
    assert ((model.set(small, smile=0.9) - small).abs().amax(1) > 1 / 127).float().mean() > 0.7


def test_the_command_does_what_the_method_does(say: Say, fader: Path, folders: Path, tmp_path: Path) -> None:
    picture = tmp_path / "square.png"
    Image.open(folders / "a" / "a01.png").convert("RGB").resize((32, 32)).save(picture)
    status, _, said = say("set", fader, picture, "--Smile=1.5", "--colour", 2, "-o", tmp_path / "out")
    assert status == 0, said
    made = uw.load(fader).set(uw.image(picture, 32), smile=1.5, colour=2)
    assert (made - uw.image(tmp_path / "out" / "square.png", 32)).abs().max() < 1 / 127


@pytest.mark.parametrize(
    ("words", "status", "answer"),
    [
        (["set", "--smle", "1"], 2, 'knows no attribute "smle": did you mean "smile"'),
        (["set"], 2, "Say what to set: this model knows --glasses, --colour, --smile"),
        (["set", "--smile", "much"], 2, '--smile takes a number, such as --smile 1, not "much"'),
        (["set", "--smile"], 2, "--smile takes a number"),
        (["set", "--colour", "7"], 1, '"colour" is a choice: it takes a whole number from 0 to 2, not 7'),
        (["slide", "--attribute", "hat"], 1, 'knows no attribute "hat": there is: glasses, colour, smile'),
        (["slide", "--attribute", "smile", "--values", "little:much:3"], 2, 'such as -1:2:7 or 0,0.5,1, not "little:much:3"'),
        (["slide"], 2, "--attribute is missing"),
    ],
)
def test_refused(say: Say, fader: Path, folders: Path, tmp_path: Path, words: list[str], status: int, answer: str) -> None:
    command, *options = words
    ended, _, said = say(command, fader, folders / "a" / "a00.png", "-o", tmp_path / "out", *options)
    assert ended == status and answer in said and "Traceback" not in said, said


def test_a_model_without_attributes(say: Say, model_file: Path, folders: Path, tmp_path: Path) -> None:
    for words in (["set", "--smile", 1], ["slide", "--attribute", "smile"]):
        status, _, said = say(words[0], model_file, folders / "a" / "a00.png", *words[1:], "-o", tmp_path)
        assert status == 1 and f"A mask model cannot {words[0]}" in said


def test_values() -> None:
    assert numbers("-1:2:7") == [-1, -0.5, 0, 0.5, 1, 1.5, 2] and numbers("0,0.25, 1") == [0, 0.25, 1]
    for wrong in ("", "1:2", "0:1:1", "0:1:x", "a", "1,,2", "nan", "0:inf:3"):
        with pytest.raises(UsageError, match="takes FROM:TO:COUNT"):
            numbers(wrong)
