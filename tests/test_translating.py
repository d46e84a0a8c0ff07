"""translate and alphabet: as verbs, as files, as commands."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unweave as uw
from contract import tiny
from unweave import cli, runs
from unweave.data.glyphs import face
from unweave.data.ink import tidied
from unweave.errors import UserError
from unweave.methods import get
from unweave.runs import Run


@pytest.fixture(scope="module")
def few_shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights file of a tiny grey model as it is before training."""
    torch.manual_seed(0)
    kind = tiny.kind("funit")
    model = runs.build(kind, {**tiny.build("funit").settings(), "channels": 1})
    run = Run.create(tmp_path_factory.mktemp("few") / "run", {"method": "funit", "config": model.settings(), "settings": {}})
    run.write_weights("weights", model)
    return run.path / "weights.safetensors"


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("letters")
    for name in ("one", "two"):
        (root / name).mkdir()
    for c, picture in zip("ABC", face("lucid", 32), strict=False):
        Image.fromarray(picture).save(root / "one" / f"{c}.png")  # grey
        Image.fromarray(picture).convert("RGB").resize((50, 50)).save(root / "two" / f"{c}.png")  # colour, of another size
    return root


def run(*words: object) -> int:
    return cli.run([str(word) for word in words])


def test_translate(few_shot: Path, letters: Path, tmp_path: Path) -> None:
    assert run("translate", few_shot, letters / "one", "--examples", letters / "two", "-o", tmp_path / "a") == 0
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["A.png", "B.png", "C.png", "sheet.png"]
    model = runs.load(few_shot, get)
    five = torch.cat([uw.image(path, 32) for path in sorted((letters / "two").iterdir())])
    by_hand = model.translate(uw.image(letters / "one" / "A.png", 32), five)
    drawn = uw.image(tmp_path / "a" / "A.png", 32)
    assert (drawn - by_hand).abs().max() < 0.02, "all examples count"


def test_several_classes(few_shot: Path, letters: Path, tmp_path: Path) -> None:
    a = letters / "one" / "A.png"
    assert run("translate", few_shot, a, "--examples", letters / "one", letters / "two", "--tidy", "-o", tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"A-one.png", "A-two.png", "sheet.png"}


def test_alphabet(few_shot: Path, letters: Path, tmp_path: Path) -> None:
    assert run("alphabet", few_shot, "--examples", "lucid", "--letters", "AB", "-o", tmp_path / "truth") == 0
    assert len(list((tmp_path / "truth").glob("?.png"))) == 36
    assert run("alphabet", few_shot, "--examples", letters / "two", "--contents", letters / "one", "-o", tmp_path / "own") == 0
    assert {path.name for path in (tmp_path / "own").iterdir()} == {"A.png", "B.png", "C.png", "sheet.png"}
    whole, own = (Image.open(tmp_path / name / "sheet.png") for name in ("truth", "own"))
    assert whole.height > own.height, "with the truth, and more rows"


def test_what_is_of_another_kind_is_said(few_shot: Path, letters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, and all is written. (A model as it is before training draws middle grey: nothing has the look of letters.)"""
    for words in (
        ("alphabet", few_shot, "--examples", letters / "two"),
        ("translate", few_shot, letters / "one", "--examples", letters / "two"),
    ):
        assert run(*words, "-o", tmp_path / words[0]) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if "another kind" in line]
        assert len(told) == 1 and "look like the examples" in told[0]
    assert len(list((tmp_path / "alphabet").glob("?.png"))) == 36 and len(list((tmp_path / "translate").glob("?.png"))) == 3


def test_between_two_classes(few_shot: Path, letters: Path, tmp_path: Path) -> None:
    words = ("interpolate", few_shot, letters / "one", letters / "two", "--code", "class_", "--steps", 3, "-o", tmp_path)
    assert run(*words) == 2  # nothing says what to draw
    assert run(*words, "--onto", letters / "one" / "B.png") == 0
    model = runs.load(few_shot, get)
    five = torch.cat([uw.image(path, 32) for path in sorted((letters / "two").iterdir())])
    end = model.translate(uw.image(letters / "one" / "B.png", 32), five)
    assert (uw.image(tmp_path / "B-2.png", 32) - end).abs().max() < 0.02


def test_tidied_ink() -> None:
    """Dark ink off the middle, light ink on dark paper, faint ink in uneven light, a speck beside, padded: all as the built-in glyphs."""
    paper = torch.full((5, 3, 64, 64), 0.6)
    paper[0, :, 5:15, 8:13] = -0.8
    paper[1] = -0.5
    paper[1, :, 5:15, 8:13] = 0.9
    paper[2] = 0.2 + 0.6 * torch.linspace(0, 1, 64)
    paper[2, :, 5:15, 8:13] -= 0.4
    paper[2, :, 40, 50] -= 0.1
    paper[3:, :, 25:35, 30:35] = -0.4
    paper[3, :, :, :8] = paper[3, :, :, -9:] = 1
    paper[4, :, :21] = paper[4, :, -20:] = 1  # most of it
    for one in tidied(paper):
        ink = (one[0] < 0).numpy()
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        assert len(rows) == 50 and len(columns) == 25 and rows[0] == 7 and abs(columns[0] - 19) <= 1
        assert one.max() == 1.0
    for blank in (torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)):
        assert torch.equal(tidied(blank), blank)
    letters = torch.from_numpy(face("lucid", 64)).float()[:, None].expand(-1, 3, -1, -1) / 127.5 - 1
    assert (tidied(letters) - letters).abs().mean() < 0.08, "what is tidy stays, but for its edges"


def test_what_is_wrong_is_said(few_shot: Path, model_file: Path, letters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "one.ttf").write_bytes(b"whatever it holds")
    cases: list[tuple[tuple[object, ...], str]] = [
        (("translate", few_shot, letters / "one", "--examples", tmp_path / "empty", "-o", tmp_path), "holds no pictures"),
        (("translate", model_file, letters / "one", "--examples", letters / "two", "-o", tmp_path), "cannot translate"),
        (("alphabet", few_shot, "--examples", "lucit", "-o", tmp_path), 'did you mean "lucid"?'),
        (("alphabet", few_shot, "--examples", tmp_path / "none", "-o", tmp_path), "check the path, or name one of 464"),
        (("alphabet", few_shot, "--examples", tmp_path / "fonts", "-o", tmp_path), "name it, as"),
        (("alphabet", few_shot, "--examples", "lucid", "--letters", "ab", "-o", tmp_path), "--letters takes"),
    ]
    for words, said in cases:
        assert run(*words) in (1, 2)
        assert said in capsys.readouterr().err
    with pytest.raises(UserError, match="cannot translate"):
        tiny.build("mask").translate(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))
