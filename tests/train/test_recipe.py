"""From names to a run and back: what config.json says is enough to go on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from unweave import methods, recipe, runs
from unweave.data import BuiltIn, Folders, Table
from unweave.data import load as open_data
from unweave.errors import UserError
from unweave.logs import Tick
from unweave.metrics import judges
from unweave.runs import Run

SHORT = {"size": 16, "batch": 2, "images": 24, "precision": "fp32", "device": "cpu", "snapshots": 2}


def quiet(_: Tick) -> None:
    """Nothing in the terminal."""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.METHODS, "tiny", "tiny:Tiny")
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Thirty noise pictures without and thirty with a white corner."""
    noise = np.random.default_rng(0)
    for name in ("without", "with"):
        (tmp_path / name).mkdir()
        for i in range(30):
            picture = noise.integers(0, 128, (16, 16, 3), dtype=np.uint8)
            picture[:8, :8] += 127 if name == "with" else 0
            Image.fromarray(picture).save(tmp_path / name / f"{i}.png")
    return Folders("without", "with")


def test_train_then_load(folders: Folders, tmp_path: Path) -> None:
    run = recipe.train("tiny", folders, overrides={"width": 2}, out="out", on_progress=quiet, **SHORT)
    assert run.finished and run.path == Path("out")
    assert run.config["config"]["width"] == 2 and run.config["config"]["size"] == 16 and run.config["preset"] == "tiny"
    assert recipe.described(run.config["data"]) == Folders(str(tmp_path / "without"), str(tmp_path / "with"))
    assert str(tmp_path).encode() not in (run.path / "weights.safetensors").read_bytes()
    model = runs.load("out", methods.get)
    assert model.transfer(torch.zeros(1, 3, 16, 16), onto=torch.zeros(3, 3, 16, 16)).shape == (3, 3, 16, 16)
    assert any("figures" in line for line in run.lines()) and list((run.path / "samples").iterdir())
    assert "A small two-set method" in (run.path / "card.md").read_text()


def test_a_method_that_asks_for_it_gets_a_judge_of_the_two_sets(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods.get("tiny"), "judged", ("a", "b"))
    run = recipe.train("tiny", folders, out="out", on_progress=quiet, **SHORT)
    figures = [line["figures"] for line in run.lines() if "figures" in line]
    assert len(figures) == 2 and all(0.5 < f["seen"] <= 1.0 for f in figures)  # real pictures of b


def test_a_judge_that_guesses_chooses_no_snapshot(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(methods.get("tiny"), "judged", ("a", "b"))
    monkeypatch.setattr(judges, "set_judge", lambda data: lambda x: torch.zeros(len(x)))
    run = recipe.train("tiny", folders, out="out", on_progress=quiet, **SHORT)
    figures = [line["figures"] for line in run.lines() if "figures" in line]
    assert len(figures) == 2 and all("error" in f and "score" not in f for f in figures)
    assert "right for 50%" in caplog.text and "the latest" in caplog.text
    kept, last = (load_file(run.path / f"{name}.safetensors") for name in ("weights", "last"))
    assert kept.keys() == last.keys() and all(torch.equal(kept[name], last[name]) for name in kept)


def test_the_same_words_give_the_same_bytes_and_resume_too(folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recipe.train("tiny", folders, out="whole", on_progress=quiet, **SHORT)

    def cut(tick: Tick) -> None:
        if tick.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe.train("tiny", folders, out="cut", on_progress=cut, **SHORT)
    assert Run("cut").images == 3 * 4  # the first of two snapshots
    monkeypatch.chdir(tmp_path / "cut")  # the paths of the data still hold
    again = recipe.resume(tmp_path / "cut", on_progress=quiet)
    for name in ("weights.safetensors", "last.safetensors"):
        assert (again.path / name).read_bytes() == (tmp_path / whole.path / name).read_bytes()


def test_killed_before_its_first_state(folders: Folders) -> None:
    def cut(_: Tick) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe.train("tiny", folders, out="cut", on_progress=cut, **SHORT)
    assert Run("cut").images == 0
    assert recipe.resume("cut", on_progress=quiet).finished


def test_finished_and_longer(folders: Folders) -> None:
    recipe.train("tiny", folders, out="out", on_progress=quiet, **SHORT)

    def never(_: Tick) -> None:
        raise AssertionError("a finished run trains no step")

    assert recipe.resume("out", on_progress=never).images == 24
    with pytest.raises(UserError, match="has read 24 images already"):
        recipe.resume("out", images=8)
    run = recipe.resume("out", images=40, on_progress=quiet)
    assert run.finished and run.images == 40 and run.config["settings"]["images"] == 40


def test_a_run_goes_on_with_other_settings(folders: Folders) -> None:
    run = recipe.train("tiny", folders, out="out", on_progress=quiet, **SHORT)
    before = run.read_state()
    for wrong, says in (
        ({"lr": 1e-9}, "has finished: say how many images"),
        ({"width": 5, "images": 40}, "The run has other networks .*leave its width as"),
        ({"rate": 1.0, "images": 40}, 'tiny has no setting "rate"'),
    ):
        with pytest.raises(UserError, match=says):
            recipe.resume("out", wrong.pop("images", None), quiet, wrong)
    assert Run("out").config == run.config and not any("changed" in line for line in run.lines())
    on = recipe.resume("out", 40, quiet, {"lr": 1e-12})
    assert on.finished and on.config["config"] == run.config["config"] | {"lr": 1e-12}
    assert [line for line in on.lines() if "changed" in line] == [{"step": 6, "images": 24, "changed": {"lr": 1e-12}}]
    model, after = runs.load("out/last.safetensors", methods.get), on.read_state()
    assert model.config.lr == 1e-12 and before and after
    for name, _ in model.named_parameters():  # as they were: they were read, and hardly any step was made
        torch.testing.assert_close(after[0][f"method/{name}"], before[0][f"method/{name}"], atol=1e-6, rtol=0)


def test_a_finished_run_settles_its_weights_once_and_anew_after_more(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, seen = methods.get("tiny"), []

    def settle(model, batches) -> None:
        assert not model.training and not torch.is_grad_enabled()
        seen.append([batch["b"] for batch in batches])
        model.seen.copy_(torch.stack([model.common(b).mean() for b in seen[-1]]).mean())

    monkeypatch.setattr(tiny, "settles", 10)
    monkeypatch.setattr(tiny, "settle", settle)
    run = recipe.train("tiny", folders, out="out", on_progress=quiet, **SHORT)
    assert run.finished and [len(read) for read in seen] == [5, 5]  # batches of two: of the best weights, then of the last
    for name in ("weights", "last"):
        model = runs.load(run.path / f"{name}.safetensors", methods.get)
        assert model.seen == torch.stack([model.common(b).mean() for b in seen[0]]).mean() != 0
    recipe.resume("out", on_progress=quiet)
    assert len(seen) == 2
    assert recipe.resume("out", images=40, on_progress=quiet).finished and len(seen) == 4
    lines = [line for line in run.lines() if "settled" in line]
    assert [(line["step"], line["settled"]) for line in lines] == [(6, 10), (10, 10)]

    (run.path / "log.jsonl").write_text("".join((run.path / "log.jsonl").read_text().splitlines(keepends=True)[:-1]))  # killed before
    bytes_ = (run.path / "weights.safetensors").read_bytes()
    assert not Run("out").finished and recipe.resume("out", on_progress=quiet).finished and len(seen) == 6
    assert (run.path / "weights.safetensors").read_bytes() == bytes_


def test_a_loaded_set_is_trained_at_its_size(folders: Folders) -> None:
    data = open_data(folders, size=16)
    run = recipe.train("tiny", data, out="out", on_progress=quiet, **{**SHORT, "size": None})
    assert run.config["config"]["size"] == 16
    with pytest.raises(UserError, match="open at 16 px and cannot be trained at 32"):
        recipe.train("tiny", data, size=32, images=8)


def test_a_training_starts_from_a_model(folders: Folders) -> None:
    first = recipe.train("tiny", folders, overrides={"width": 3}, out="first", on_progress=quiet, **SHORT)
    still = {"width": 3, "lr": 1e-12}
    run = recipe.train("tiny", folders, start="first", overrides={"lr": 1e-12}, out="second", on_progress=quiet, **{**SHORT, "size": None})
    assert run.config["start"] == "first" and run.config["preset"] is None
    assert {name: run.config["config"][name] for name in still} == still  # the model's settings, and what is changed
    before, after = (runs.load(one.path, methods.get) for one in (first, run))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    again = recipe.resume(run, 48, on_progress=quiet)  # resumes from its own state, not from the model
    assert again.finished


def test_a_training_starts_with_a_models_weights_and_a_presets_settings(folders: Folders) -> None:
    first = recipe.train("tiny", folders, overrides={"lr": 0.5}, out="first", on_progress=quiet, **SHORT)
    asked = {"start": "first", "preset": "tiny", "out": "second", "on_progress": quiet, **SHORT, "size": None}
    run = recipe.train("tiny", folders, **asked)
    assert (run.config["start"], run.config["preset"]) == ("first", "tiny")
    preset = dataclasses.asdict(methods.get("tiny").PRESETS["tiny"])
    assert preset["size"] != SHORT["size"] and run.config["config"] == preset | {"size": SHORT["size"]}  # the model's size stays
    assert first.config["config"]["lr"] == 0.5


def test_what_cannot_be_started_from(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe.train("tiny", folders, out="first", on_progress=quiet, **SHORT)
    for words, match in (
        ({"preset": "tny"}, 'no preset "tny".*did you mean "tiny"'),
        ({"overrides": {"width": 3}}, "other networks.*leave its width as they are"),
        ({"start": "fist"}, 'no model "fist".*did you mean "first"'),
    ):
        with pytest.raises(UserError, match=match):
            recipe.train("tiny", folders, **{"start": "first", "out": "out", "on_progress": quiet, **SHORT, **words})
    with pytest.raises(UserError, match="is a model of tiny: start from one of autoencoder"):
        recipe.train("autoencoder", folders, start="first", out="out", on_progress=quiet)
    assert not Path("out").exists()


def test_folders_are_named_and_numbered(folders: Folders) -> None:
    paths = [recipe.train("tiny", folders, on_progress=quiet, **SHORT).path for _ in range(2)]
    assert [str(path) for path in paths] == ["runs/tiny-without-with", "runs/tiny-without-with-2"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"method": "tinny"}, "tinny"),
        ({"preset": "tny"}, 'no preset "tny".*did you mean "tiny"'),
        ({"overrides": {"widht": 3}}, 'no setting "widht".*did you mean "width"'),
        ({"batch": 0}, "batch must be more than 0"),
        ({"minutes": 1.0}, "either a number of images or a number of minutes"),
        ({"device": "gpu"}, 'no device "gpu"'),
        ({"data": "faces:glases"}, "glases"),
    ],
)
def test_mistakes_leave_no_folder(folders: Folders, words: dict, match: str) -> None:
    with pytest.raises(UserError, match=match):
        recipe.train(**{"method": "tiny", "data": folders, "out": "out", "on_progress": quiet, **SHORT, **words})
    assert not Path("out").exists()


def test_a_set_that_does_not_fit(folders: Folders) -> None:
    with pytest.raises(UserError, match="needs a .*b .*but .* offers image"):
        recipe.train("tiny", "rectangles", out="out", on_progress=quiet, **SHORT)
    recipe.train("tiny", folders, out="out", on_progress=quiet, **SHORT)
    with pytest.raises(UserError, match="not empty.*unweave resume out"):
        recipe.train("tiny", folders, out="out", on_progress=quiet, **SHORT)


@pytest.mark.parametrize(
    "data",
    [
        "faces:glasses",
        BuiltIn("faces", 20_000),
        Folders("/a", "/b", group="x"),
        Table("/i", "/t.csv", part="Glasses", above=0.9, below=0.1),
    ],
)
def test_data_is_described_and_found_again(data) -> None:
    import json

    assert recipe.described(json.loads(json.dumps(recipe.describe(data)))) == data
