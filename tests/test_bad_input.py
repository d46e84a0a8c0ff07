"""Bad input through the command line: one sentence that says what to do, the right exit status, and nothing lost."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unweave.cli import run
from unweave.data import Folders, load

Refused = Callable[..., str]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Refused:
    """Types a command that must fail with this status; -> its one sentence."""

    def typed(*words: object, status: int = 1) -> str:
        capfd.readouterr()
        ended = run([str(word) for word in words])
        said = capfd.readouterr()
        assert ended == status, said.err
        assert "Traceback" not in said.err
        lines = [line for line in said.err.splitlines() if line.startswith("unweave: ")]
        assert len(lines) == 1, said.err
        assert lines[0].rstrip().endswith((".", ")")), lines[0]
        return lines[0]

    return typed


USAGE = {
    "an unknown command": (["trian"], 'no command "trian": did you mean "train"'),
    "an unknown method": (["train", "maks", "faces:glasses"], 'no method "maks": did you mean "mask"'),
    "an unknown option": (["train", "mask", "faces:glasses", "--bacth", "3"], "no option --bacth: did you mean --batch"),
    "an unknown option before what is missing": (["transfer", "m", "--fron", "x"], "no option --fron: did you mean --from"),
    "an unknown choice": (["train", "mask", "faces:glasses", "--precision", "bf1"], '--precision cannot be "bf1": did you mean "bf16"'),
    "an option without its value": (["train", "mask", "faces:glasses", "--batch"], "--batch needs a value"),
    "a word for a number": (["train", "mask", "faces:glasses", "--size", "big"], "--size takes a whole number, not 'big'"),
    "a word for images": (["train", "mask", "faces:glasses", "--images", "many"], "--images takes a number such as 200000, 200k"),
    "no images": (["train", "mask", "faces:glasses", "--images", "0"], "--images takes a number"),
    "no data": (["train", "mask"], "Name the data once"),
    "data named twice": (["train", "mask", "faces:glasses", "--data.a", "x"], "two ways to name the data"),
    "one folder of two": (["train", "mask", "--data.a", "x"], "--data.b DIR is missing"),
    "pictures without their table": (["train", "mask", "--data.images", "x"], "--data.attributes TABLE is missing"),
    "an option before the method": (["train", "--size", "64", "mask"], "The method comes first"),
    "no output": (["remove", "m", "x"], "--out is missing"),
    "no picture": (["remove", "m", "-o", "out"], "at least one picture"),
    "no donor": (["transfer", "m", "--onto", "x", "-o", "out"], "--from is missing"),
    "a chain without its donor": (
        ["transfer", "m", "--from", "x", "--onto", "y", "--then", "m2", "-o", "out"],
        "needs a --from HER of its own",
    ),
    "a threshold out of range": (
        ["segment", "m", "x", "--threshold", "1.5", "-o", "out"],
        "--threshold takes auto, soft or a number from 0 to 1",
    ),
    "a stray word": (["doctor", "please"], 'What is "please" for'),
    "a demo of no length": (["demo", "--minutes", "0"], "--minutes takes a number above 0"),
    "no folder for a set": (["data", "faces:glasses"], "--out DIR is missing"),
}


@pytest.mark.parametrize("what", list(USAGE))
def test_usage(refused: Refused, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words, sentence = USAGE[what]
    assert sentence in refused(*words, status=2)
    assert not list(tmp_path.iterdir()), "nothing is written"


# -- training ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["63", "-4", "0"])
def test_sizes_the_networks_cannot_take(refused: Refused, folders: Path, tmp_path: Path, size: str) -> None:
    said = refused("train", "mask", "--data.a", folders / "a", "--data.b", folders / "b", "--size", size, "-o", tmp_path / "run")
    assert size in said and "16" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "mask", "face:glasses"], 'no built-in set "face": did you mean "faces"'),
        (["train", "mask", "faces:glases"], 'did you mean "glasses"'),
        (["train", "mask", "faces:glasses@tset"], 'did you mean "test"'),
        (["train", "mask", "--data.a", "nowhere", "--data.b", "there"], "no folder nowhere"),
        (["train", "mask", "faces:glasses", "--preset", "papr"], 'did you mean "paper"'),
        (["train", "mask", "faces:glasses", "--batch", "0"], "batch"),
        (["resume", "nowhere"], "There is no run nowhere"),
        (["remove", "nosuch.safetensors", "x.png", "-o", "out"], 'no model "nosuch.safetensors"'),
    ],
)
def test_names_that_do_not_exist(
    refused: Refused, words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("x.png")
    assert sentence in refused(*words)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_data_that_a_method_cannot_use(refused: Refused, tmp_path: Path) -> None:
    said = refused("train", "mask", "rectangles", "--size", "32", "-o", tmp_path / "run")
    assert "mask" in said or ("a" in said and "rectangles" in said)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_empty(refused: Refused, folders: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    said = refused("train", "mask", "--data.a", folders / "a", "--data.b", folders / "b", "--size", "32", "-o", tmp_path)
    assert "not empty" in said
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"] and (tmp_path / "letter.txt").read_text() == "mine"


def test_resuming_what_is_no_run(refused: Refused, tmp_path: Path) -> None:
    assert "not a run folder" in refused("resume", tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "damaged" in refused("resume", tmp_path)


def test_a_run_of_another_method(refused: Refused, model_file: Path, tmp_path: Path) -> None:
    """A run folder of a method that this version does not have, and a model that lacks the verb."""
    shutil.copytree(model_file.parent, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"method": "maskk", "settings": {"images": 10}}))
    assert "mask" in refused("resume", tmp_path / "run")


CONFIGS = {
    "sizee: 64": 'unknown key "sizee": did you mean "size"',
    "size: big": '"size" must be a whole number',
    "batch: 1.5": '"batch" must be a whole number',
    "lr: [1, 2]": '"lr" must be a number',
    "precision: fp64": '"precision" must be one of auto, fp32, bf16',
    "data: {a: x, c: y}": 'unknown key "data_c"',
    "batch: 1\nbatch: 2": "'batch' twice",
    "- 1": 'must hold lines such as "batch: 16"',
    "a: [": "is not YAML, line",
    "!!python/object/apply:os.system ['echo']": "is not YAML",
}


@pytest.mark.parametrize("text", list(CONFIGS))
def test_config_files(refused: Refused, text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text + "\n")
    assert CONFIGS[text] in refused("train", "mask", "faces:glasses", "--config", tmp_path / "bad.yaml", status=2)


def test_a_missing_config_file(refused: Refused) -> None:
    assert "cannot be read" in refused("train", "mask", "faces:glasses", "--config", "nowhere.yaml", status=2)


# -- models --------------------------------------------------------------------------------------------------------------------


def test_models_that_are_none(refused: Refused, model_file: Path, folders: Path, tmp_path: Path) -> None:
    def remove_with(path: Path) -> str:
        return refused("remove", path, folders / "b" / "b00.png", "-o", tmp_path / "out")

    whole = model_file.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole[: len(whole) // 2])
    assert "cut short or damaged" in remove_with(cut)

    poisoned = tmp_path / "model.pt"
    poisoned.write_bytes(pickle.dumps({"weights": os.getcwd()}))
    assert "pickle" in remove_with(poisoned)
    disguised = tmp_path / "disguised.safetensors"
    disguised.write_bytes(pickle.dumps({"weights": 1}))
    assert "pickle" in remove_with(disguised)

    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    about = json.loads(header["__metadata__"]["unweave"])
    for wrong, sentence in [
        ({**about, "method": "maks"}, "mask"),
        ({**about, "config": {**about["config"], "width": 12}}, "does not fit its config"),
        ({**about, "config": {**about["config"], "wdith": 8}}, "wdith"),
    ]:
        changed = json.dumps({**header, "__metadata__": {"unweave": json.dumps(wrong)}}).encode()
        file = tmp_path / "wrong.safetensors"
        file.write_bytes(len(changed).to_bytes(8, "little") + changed + whole[8 + length :])
        assert sentence in remove_with(file)
    assert not (tmp_path / "out").exists()


# -- pictures ------------------------------------------------------------------------------------------------------------------


def test_broken_pictures_beside_good_ones(capfd: pytest.CaptureFixture[str], model_file: Path, folders: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(folders / "b" / "b00.png", mixed / "good.png")
    (mixed / "empty.png").write_bytes(b"")
    (mixed / "text.jpg").write_text("not a picture")
    (mixed / "cut.png").write_bytes((folders / "b" / "b01.png").read_bytes()[:200])
    Image.new("RGB", (1, 1)).save(mixed / "dot.png")
    Image.new("RGB", (1, 500)).save(mixed / "line.png")
    for command, words in {
        "remove": [mixed],
        "segment": [mixed],
        "transfer": ["--from", folders / "b" / "b02.png", "--onto", mixed],
    }.items():
        out = tmp_path / command
        status = run([command, str(model_file), *map(str, words), "-o", str(out)])
        said = capfd.readouterr()
        assert status == 1 and "Traceback" not in said.err
        table = {"segments.csv"} if command == "segment" else set()
        assert {path.name for path in out.iterdir()} == {"good.png", "dot.png", "line.png", "sheet.png"} | table
        assert all(name in said.err for name in ("empty.png", "text.jpg", "cut.png")) and "3 written, 3 skipped" in said.err
        assert said.out.strip().splitlines()[-1] == str(out)


def test_only_broken_pictures(refused: Refused, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    assert "None of the pictures could be read" in refused("remove", model_file, tmp_path / "empty.png", "-o", tmp_path / "out")


def test_a_broken_donor(refused: Refused, model_file: Path, folders: Path, tmp_path: Path) -> None:
    (tmp_path / "her.png").write_bytes(b"")
    words = ("transfer", model_file, "--from", tmp_path / "her.png", "--onto", folders / "a" / "a00.png", "-o", tmp_path / "out")
    assert "to take the part from" in refused(*words)


def test_pictures_that_are_not_there(refused: Refused, model_file: Path, folders: Path, tmp_path: Path) -> None:
    assert "no picture or folder" in refused("remove", model_file, "nowhere.png", "-o", tmp_path / "out")
    (tmp_path / "none").mkdir()
    assert "no pictures" in refused("remove", model_file, tmp_path / "none", "-o", tmp_path / "out")
    pair = (folders / "b", folders / "a" / "a00.png")
    assert "--onto IMAGE says what to draw" in refused(
        "interpolate", model_file, *pair, "--code", "separate", "-o", tmp_path / "out", status=2
    )
    assert not (tmp_path / "out").exists()


def test_results_never_replace_their_sources(refused: Refused, model_file: Path, folders: Path, tmp_path: Path) -> None:
    shutil.copy(folders / "b" / "b00.png", tmp_path / "mine.png")
    before = (tmp_path / "mine.png").read_bytes()
    assert "overwrite" in refused("remove", model_file, tmp_path / "mine.png", "-o", tmp_path)
    assert (tmp_path / "mine.png").read_bytes() == before


def test_output_that_cannot_be_written(refused: Refused, model_file: Path, folders: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "-o" in refused("remove", model_file, folders / "b" / "b00.png", "-o", out)
    assert (tmp_path / "file").read_text() == "mine"


def test_unknown_codes(refused: Refused, model_file: Path, folders: Path, tmp_path: Path) -> None:
    pair = (folders / "a" / "a00.png", folders / "b" / "b00.png")
    assert "separate" in refused("interpolate", model_file, *pair, "--code", "seperate", "-o", tmp_path / "out")
    assert "at least 2 steps" in refused("interpolate", model_file, *pair, "--code", "separate", "--steps", "1", "-o", tmp_path / "out")


def test_directions(refused: Refused, two_part_file: Path, model_file: Path, folders: Path, tmp_path: Path) -> None:
    words = ("--from", folders / "b" / "b00.png", "--onto", folders / "a" / "a00.png", "-o", tmp_path / "out")
    assert "a2b" in refused("transfer", two_part_file, *words)
    assert 'no direction "a2a"' in refused("transfer", two_part_file, *words, "--direction", "a2a")
    assert "only direction is b2a" in refused("transfer", model_file, *words, "--direction", "a2b")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["union", "intersection"])
def test_a_union_takes_two_parts_and_two_pictures(
    refused: Refused, two_part_file: Path, model_file: Path, folders: Path, tmp_path: Path, command: str
) -> None:
    pair = (folders / "a" / "a00.png", folders / "b" / "b00.png")
    assert f"{command}:" in refused(command, model_file, *pair, "-o", tmp_path / "out")
    assert "is a folder" in refused(command, two_part_file, folders / "a", pair[1], "-o", tmp_path / "out", status=2)
    (tmp_path / "empty.png").write_bytes(b"")
    assert "empty.png" in refused(command, two_part_file, tmp_path / "empty.png", pair[1], "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sets_that_share_pictures(refused: Refused, folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders, tmp_path / "sets")
    a, b = tmp_path / "sets" / "a", tmp_path / "sets" / "b"
    words = ("train", "content", "--data.a", a, "--data.b", b, "--size", "32", "-o", tmp_path / "run")
    for name in ("a03.png", "a04.png"):
        shutil.copy(a / name, b / f"copy-{name}")
    notes = load(Folders(str(a), str(b)), size=32).notes
    assert any("share 2 pictures (copy-a03.png, copy-a04.png)" in note for note in notes)
    for path in a.iterdir():
        shutil.copy(path, b / f"copy-{path.name}")
    assert "share 20 pictures of 20" in refused(*words)
    assert not (tmp_path / "run").exists()


def test_sets_of_very_different_size(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    for i in range(3):
        shutil.copy(folders / "b" / f"b0{i}.png", tmp_path / "few")
    data = load(Folders(str(folders / "a"), str(tmp_path / "few")), size=32)
    assert data.lengths == {"a": 16, "b": 1}
    assert any("b: each of its pictures is shown 16 times as often" in note for note in data.notes)
    assert not any("times as often" in note for note in load(Folders(str(folders / "a"), str(folders / "b")), size=32).notes)


def test_an_unknown_device(refused: Refused, model_file: Path, folders: Path, tmp_path: Path) -> None:
    assert "tpu" in refused("remove", model_file, folders / "b" / "b00.png", "-o", tmp_path / "out", "--device", "tpu")


def test_debug_shows_the_traceback() -> None:
    from unweave.errors import UserError

    with pytest.raises(UserError):
        run(["train", "maks", "--debug"])
