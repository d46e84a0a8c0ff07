"""The ten lines of the README, and that the names are what they say."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import unweave as uw


def test_every_public_name_is_there() -> None:
    for name in uw.__all__:
        assert getattr(uw, name) is not None
    assert set(uw.__all__) <= set(dir(uw))
    assert callable(uw.data) and callable(uw.train) and callable(uw.evaluate)
    with pytest.raises(AttributeError, match="nonsense"):
        uw.nonsense  # noqa: B018


@pytest.mark.parametrize("first", ["import unweave.data", "import unweave; unweave.data", "from unweave.data import load"])
def test_modules_of_the_same_name_are_still_modules(first: str) -> None:
    """`unweave.data` is the verb and the package, whichever is touched first. (What is loaded until then needs no torch.)"""
    code = f"{first}\nimport unweave, unweave.data\nassert unweave.data.load and callable(unweave.data)\nprint('good')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "good\n"


def test_data() -> None:
    few = uw.data("faces:glasses", size=32, n=4)
    assert few.size == 32 and few.lengths == {"a": 4, "b": 4}


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_image_and_save(tmp_path: Path, fit: str) -> None:
    picture = torch.linspace(-1, 1, 3 * 20 * 30).view(3, 20, 30)
    path = uw.save(picture, tmp_path / "one.png")
    read = uw.image(path, size=16, fit=fit)
    assert read.shape == (1, 3, 16, 16) and read.min() >= -1 and read.max() <= 1
    assert uw.save(read, tmp_path / "two.png").exists()
    assert uw.image(tmp_path / "two.png", size=16).allclose(read, atol=1 / 255)


def test_save_says_when_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(uw.UserError, match="cannot be written"):
        uw.save(torch.zeros(3, 4, 4), tmp_path / "nowhere" / "one.png")


def test_image_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(uw.UserError, match="no file"):
        uw.image(tmp_path / "none.png")


def test_load_names_the_nearest_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.safetensors").write_bytes(b"")
    with pytest.raises(uw.UserError, match=r"no model.*mine\.safetensors"):
        uw.load("mime.safetensors")


def test_load_says_when_the_hub_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(uw.UserError, match="nobody-here/no-such-model"):
        uw.load("nobody-here/no-such-model")
