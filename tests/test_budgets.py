"""Files stay short enough to be read, and are called by what lives in them."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "unweave"


def budget(path: Path) -> int:
    """Lines that a source file may have."""
    if path.parent == SOURCE / "methods":
        return 250
    return 350 if path == SOURCE / "train.py" else 500


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_length(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= budget(path)


def test_names_say_what_lives_there() -> None:
    nowhere = {"util", "utils", "helper", "helpers", "common", "misc"}
    for folder in ("src", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path.stem not in nowhere and path.parent.name not in nowhere, path


def test_the_wheel_stays_small() -> None:
    for path in (SOURCE / "models").glob("*.safetensors"):
        assert path.stat().st_size <= (8_000_000 if path.stem == "funit-glyphs" else 6_000_000), path
