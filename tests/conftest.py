"""What many tests share: a cache of their own, two small folders of pictures, and a tiny model in a file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contract import tiny
from unweave.cli import run
from unweave.runs import Run


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests draw into a cache of their own, never into the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNWEAVE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a/ and b/ with 20 pictures each, 48 x 40 pixels; those of b have a bright square."""
    root, random = tmp_path_factory.mktemp("folders"), np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir()
        for i in range(20):
            coarse = Image.fromarray(random.integers(0, 160, (5, 6, 3), dtype=np.uint8))
            pixels = np.asarray(coarse.resize((48, 40), Image.Resampling.BICUBIC)).copy()
            if name == "b":
                pixels[8:18, 14:30] = 255 - random.integers(0, 40, 3, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{name}{i:02}.png")
    return root


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Types a command; -> its exit status, standard output and standard error."""

    def typed(*words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            status = run([str(word) for word in words])
        except SystemExit as end:  # after --help
            status = int(end.code or 0)
        return status, *capfd.readouterr()

    return typed


def _weights(folder: Path, method: str) -> Path:
    model = tiny.build(method)
    with torch.no_grad():  # decoders start with a last layer of zeros, which would draw the same whatever the codes
        for weights in model.parameters():
            if weights.dim() > 1 and not weights.any():
                weights.normal_(std=0.1)
    made = Run.create(folder / "run", {"method": method, "config": model.settings(), "settings": {}})
    made.write_weights("weights", model)
    return made.path / "weights.safetensors"


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights file of a tiny `mask` model, untrained."""
    return _weights(tmp_path_factory.mktemp("model"), "mask")


@pytest.fixture(scope="session")
def two_part_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of `difference`."""
    return _weights(tmp_path_factory.mktemp("two-parts"), "difference")
