"""Comparisons: several models in one table, from files to files, and what is said when they cannot be compared."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from contract import tiny
from unweave.cli import run
from unweave.compare import Comparison, compare
from unweave.data import Folders
from unweave.errors import UserError
from unweave.metrics.intervals import Estimate
from unweave.report import Report
from unweave.runs import Run


def figures(success: tuple[float, float, float], error: float) -> dict[str, Estimate]:
    return {
        "transfer_success": Estimate(*success, 500, judge_accuracy=0.99),
        "transfer_error_ratio": Estimate(error, error - 0.01, error + 0.01, 500),
    }


@pytest.fixture
def three() -> Comparison:
    sheet = {"Grid: donors across": Image.new("RGB", (8, 8), "red")}
    reports = [
        Report("content", "faces:glasses@test, 64 px", figures((0.90, 0.88, 0.92), 0.5), cost={"training_images": 2e5}, sheets=sheet),
        Report("mask", "faces:glasses@test, 64 px", figures((0.93, 0.91, 0.95), 0.3), cost={"training_images": 1e5}, sheets=sheet),
        Report("fader", "faces:glasses@test, 64 px", figures((0.70, 0.66, 0.74), 0.7) | {"leakage_linear": Estimate(0.6, 0.5, 0.7, 9)}),
    ]
    return Comparison(reports[0].data, reports, {"nothing": figures((0.99, 0.99, 0.99), 0.1)}, ["a note | with a bar"])


def test_the_best_is_what_intervals_cannot_tell_apart(three: Comparison) -> None:
    assert three.best("transfer_success") == {"content", "mask"}
    assert three.best("transfer_error_ratio") == {"mask"}, "lower is better, and baselines do not compete"
    assert three.best("leakage_linear") == set(), "one alone is best at nothing"


def test_rows_are_models_and_baselines(three: Comparison) -> None:
    head, *rows = three.table()
    assert [row[0] for row in rows] == ["content", "mask", "fader", "nothing"]
    assert head[1].startswith("transfer_success") and head[-1] == "images read" and rows[0][-1] == "200,000" and rows[2][-1] == ""
    assert all(len(row) == len(head) for row in rows)
    assert rows[1][1] == "0.930 [0.910, 0.950]"


def test_written_as_files(three: Comparison, tmp_path: Path) -> None:
    assert three.write(tmp_path) == tmp_path / "index.html"
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.md", "report.csv", "index.html", "sheets"}
    plain = json.loads((tmp_path / "report.json").read_text())
    assert plain["rows"]["mask"]["measures"]["transfer_success"] == {
        "value": 0.93,
        "low": 0.91,
        "high": 0.95,
        "n": 500,
        "judge_accuracy": 0.99,
    }
    assert plain["rows"]["content"]["cost"] == {"training_images": 2e5} and list(plain["baselines"]) == ["nothing"]
    with (tmp_path / "report.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {(line["row"], line["kind"]) for line in lines} >= {("nothing", "baseline"), ("fader", "model"), ("content", "cost")}
    words = (tmp_path / "report.md").read_text()
    assert "**0.300 [0.290, 0.310]**" in words and "**0.700" not in words
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and "<b>0.930" in page and "<figcaption>mask" in page
    assert not re.search(r'(src|href)="(?!data:)', page), "one page that needs no other file"
    assert "mask" in str(three) and " *" in str(three)


def tiny_run(folder: Path, method: str, size: int = 32) -> Path:
    """A run folder with the first weights of a tiny model."""
    model = tiny.kind(method)(tiny.replace(tiny.config(method), size=size))
    made = Run.create(folder, {"method": method, "config": model.settings(), "settings": {}})
    made.write_weights("weights", model)
    return folder


def test_two_runs_on_two_folders(folders: Path, tmp_path: Path) -> None:
    runs = [tiny_run(tmp_path / "one" / "model", "content"), tiny_run(tmp_path / "two" / "model", "mask")]
    found = compare(runs, Folders(str(folders / "a"), str(folders / "b")), tmp_path / "out", pairs=4)
    assert [report.model for report in found.reports] == ["one/model", "two/model"], "models of one name are told apart"
    assert {"transfer_success", "leakage_linear"} <= set(found.measures) and "cam" in found.baselines
    assert found.reports[0].cost["training_images"] == 0 and found.reports[0].cost["parameters"] > 0
    assert (tmp_path / "out" / "index.html").exists()
    with pytest.raises(UserError, match="32 and 48 pixels"):
        compare([*runs, tiny_run(tmp_path / "three", "content", size=48)], Folders(str(folders / "a"), str(folders / "b")))


def test_the_command_trains_first_and_goes_on_later(folders: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--data.a", folders / "a", "--data.b", folders / "b", "--train", "content", "--images", "16", "--size", "32"]
    words += ["--batch", "4", "--pairs", "4", "-o", tmp_path / "out"]
    for _ in range(2):  # the second time the run is there
        assert run([str(word) for word in words]) == 0
        said = capfd.readouterr().out.strip().splitlines()
        assert said[-1] == str(tmp_path / "out" / "index.html") and any("images read" in line for line in said)
    assert Run(tmp_path / "out" / "runs" / "content").images == 16


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["compare", "--data", "faces:glasses"], "at least one model"),
        (["compare", "--data", "faces:glasses", "--train", "content"], "How long"),
        (["compare", "--data", "faces:glasses", "--train", "content", "--minutes", "1", "--images", "9"], "How long"),
        (["compare", "m"], "Name the data once"),
        (["compare", "m", "--data", "faces:glasses", "--pairs", "0"], "--pairs"),
    ],
)
def test_usage(words: list[str], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert sentence in capfd.readouterr().err


def test_names_are_checked_before_the_first_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no method"):
        compare([], "faces:glasses", tmp_path, train=["content", "maks"], minutes=1)
    with pytest.raises(UserError, match="no preset"):
        compare([], "faces:glasses", tmp_path, train=["content:papr"], minutes=1)
    with pytest.raises(UserError, match="at least one model"):
        compare([], "faces:glasses")
    assert not (tmp_path / "runs").exists()
