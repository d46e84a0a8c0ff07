"""Run folders and model files: what is written is whole, and what is read is checked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save, save_file

from unweave import runs
from unweave.errors import UserError, did_you_mean
from unweave.runs import Run, export_half, load, write

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from tiny import Config, Tiny, pictures  # noqa: E402


def table(name: str) -> type[Tiny]:
    if name != "tiny":
        raise UserError(f'There is no method "{name}"; {did_you_mean(name, ["tiny"])}.')
    return Tiny


@pytest.fixture
def method() -> Tiny:
    torch.manual_seed(0)
    return Tiny(Config())


@pytest.fixture
def run(tmp_path: Path, method: Tiny) -> Run:
    return Run.create(tmp_path / "run", {"method": "tiny", "config": method.settings(), "settings": {"images": 100}})


def sentence(error: pytest.ExceptionInfo) -> str:
    said = str(error.value)
    assert "\n" not in said and said.endswith(".")
    return said


# -- folders -------------------------------------------------------------------------------------------------------------------


def test_create_refuses_what_is_there(tmp_path: Path, run: Run) -> None:
    with pytest.raises(UserError, match="is not empty: .*unweave resume") as error:
        Run.create(run.path, run.config)
    sentence(error)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="is not empty: give --out a new one.$"):
        Run.create(tmp_path / "other", run.config)
    with pytest.raises(UserError, match="is a file: give --out a new folder"):
        Run.create(tmp_path / "other" / "letter.txt", run.config)
    assert Run.create(tmp_path / "a" / "b", run.config).config == run.config


def test_unwritable_place_is_one_sentence(run: Run) -> None:
    with pytest.raises(UserError, match=r"cannot be written \(.*\): choose another place") as error:
        Run.create("/proc/nowhere/run", run.config)
    sentence(error)


def test_open_says_what_is_wrong(tmp_path: Path, run: Run) -> None:
    with pytest.raises(UserError, match='There is no run .*runn; did you mean "run"'):
        Run(tmp_path / "runn")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="not a run folder: it has no config.json"):
        Run(tmp_path / "empty")
    for damage in ("{", "[]", '{"method": "tiny"}'):
        (run.path / "config.json").write_text(damage)
        with pytest.raises(UserError, match="config.json is damaged"):
            Run(run.path)


def test_settings_and_standing(run: Run) -> None:
    assert run.facts["step"] == 0 and run.read_state() is None and not run.finished
    run.settle(images=50)
    assert Run(run.path).config["settings"]["images"] == 50
    run.write_state({"x": torch.ones(2)}, {"step": 3, "images": 48, "seconds": 1.0, "best": None})
    assert not run.finished and run.images == 48
    run.write_state({"x": torch.zeros(2)}, {"step": 4, "images": 64, "seconds": 1.0, "best": None})
    tensors, facts = Run(run.path).read_state()
    assert run.finished and facts["step"] == 4 and torch.equal(tensors["x"], torch.zeros(2))


def test_log_is_cut_at_the_state(run: Run) -> None:
    for images in (1, 2, 3):
        run.log({"images": images})
    with (run.path / "log.jsonl").open("a") as file:
        file.write('{"images": 4, "st')  # killed while writing
    assert [line["images"] for line in run.lines()] == [1, 2, 3]
    run.cut_log(2)
    run.log({"images": 3, "again": True})
    assert run.lines() == [{"images": 1}, {"images": 2}, {"images": 3, "again": True}]


def test_sample_is_a_picture(run: Run) -> None:
    run.write_sample(640, Image.new("RGB", (4, 3), "red"))
    assert Image.open(run.path / "samples" / "00000640.png").size == (4, 3)


def test_write_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x", b"old")
    monkeypatch.setattr(runs.os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["x"]


# -- model files ---------------------------------------------------------------------------------------------------------------


def test_weights_load_as_they_were(run: Run, method: Tiny) -> None:
    run.write_weights("weights", method)
    model = load(run.path, table)
    x = pictures(0)["a"]
    method.eval()
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert torch.equal(model.encode(x, "b")["separate"], method.encode(x, "b")["separate"])
    assert not any(k.startswith("critic") for k in load_file(run.path / "weights.safetensors"))
    assert torch.equal(load(run.path / "weights.safetensors", table).decoder[0].weight, method.decoder[0].weight)


def test_weights_say_nothing_of_where_and_when(run: Run, method: Tiny) -> None:
    run.write_weights("weights", method)
    first = (run.path / "weights.safetensors").read_bytes()
    run.write_weights("weights", method)
    assert (run.path / "weights.safetensors").read_bytes() == first
    assert str(run.path).encode() not in first
    assert json.loads(runs.safe_open(run.path / "weights.safetensors", "pt").metadata()["unweave"]) == {
        "method": "tiny",
        "config": method.settings(),
    }


def test_shared_and_strided_tensors_are_written(run: Run, method: Tiny) -> None:
    shared = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    run.write_state({"one": shared, "two": shared[:1], "three": shared.permute(1, 0, 2, 3)}, {"step": 1})
    tensors = run.read_state()[0]
    assert torch.equal(tensors["one"], shared) and torch.equal(tensors["three"], shared.permute(1, 0, 2, 3))


def test_half_precision_becomes_single(tmp_path: Path, method: Tiny) -> None:
    size = export_half(method, tmp_path / "small.safetensors")
    assert size == (tmp_path / "small.safetensors").stat().st_size
    model = load(tmp_path / "small.safetensors", table)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    torch.testing.assert_close(model.decoder[0].weight, method.decoder[0].weight.detach(), rtol=1e-3, atol=1e-4)
    with pytest.raises(UserError, match="more than 0.0 MB"):
        export_half(method, tmp_path / "no.safetensors", limit=100)
    assert not (tmp_path / "no.safetensors").exists()


@pytest.fixture
def file(run: Run, method: Tiny) -> Path:
    run.write_weights("weights", method)
    return run.path / "weights.safetensors"


def refused(path: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as error:
        load(path, table)
    sentence(error)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 0.999])
def test_file_cut_short(file: Path, share: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    refused(file, "cut short or damaged")


def test_a_header_whose_length_begins_like_a_pickle(tmp_path: Path) -> None:
    """The file's first byte is the lowest of its header's length; 0x80, a pickle's first, is one of 32 that it can be."""
    for n in range(400):
        data = save({"x": torch.zeros(1)}, {"unweave": json.dumps({"pad": "x" * n})})
        if data[0] == 0x80:
            break
    assert data[0] == 0x80
    (tmp_path / "model.safetensors").write_bytes(data)
    assert runs._about(tmp_path / "model.safetensors")["pad"] == "x" * n


def test_garbage_and_pickles(tmp_path: Path, method: Tiny) -> None:
    (tmp_path / "noise.safetensors").write_bytes(b"this is a letter to my aunt, and not a model at all")
    refused(tmp_path / "noise.safetensors", "not a safetensors file|cut short or damaged")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\nxxxxxxxxxxxx")
    refused(tmp_path / "picture.png", "not a safetensors file")
    torch.save(method.state_dict(), tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "pickle.*never loaded.*safetensors")
    (tmp_path / "model.pt").rename(tmp_path / "sly.safetensors")
    refused(tmp_path / "sly.safetensors", "pickle.*never loaded")


def test_wrong_metadata(tmp_path: Path, method: Tiny) -> None:
    path = tmp_path / "m.safetensors"
    kept = {k: v.contiguous() for k, v in method.kept().items()}
    for metadata, match in [
        (None, "no unweave config inside"),
        ({"unweave": "{"}, "no unweave config inside"),
        ({"unweave": "[]"}, "is damaged"),
        ({"unweave": '{"config": {}}'}, "names no method"),
        ({"unweave": '{"method": "tinny", "config": {}}'}, 'no method "tinny"; did you mean "tiny"'),
        ({"unweave": '{"method": "tiny", "config": {"widht": 4}}'}, 'no setting "widht"; did you mean "width"'),
        ({"unweave": '{"method": "tiny", "config": {"width": "four"}}'}, "does not fit tiny"),
        ({"unweave": '{"method": "tiny", "config": {"width": 8}}'}, r'"common.0.weight" is \(4, 3, 3, 3\) instead of \(8, 3, 3, 3\)'),
    ]:
        save_file(kept, path, metadata=metadata)
        refused(path, match)


def test_wrong_tensors(tmp_path: Path, method: Tiny) -> None:
    path, metadata = tmp_path / "m.safetensors", {"unweave": json.dumps({"method": "tiny", "config": method.settings()})}
    kept = {k: v.contiguous() for k, v in method.kept().items()}
    save_file({k: v for k, v in kept.items() if k != "seen"}, path, metadata=metadata)
    refused(path, 'tensor "seen" is missing')
    save_file({**kept, "ghost": torch.ones(1)}, path, metadata=metadata)
    refused(path, 'tensor "ghost" belongs to nothing')


def test_folders_without_weights(tmp_path: Path, run: Run) -> None:
    refused(run.path, "has no weights yet")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "not a run folder")
    refused(tmp_path / "nothing", "There is no model")
