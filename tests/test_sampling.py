"""Commands of models that draw out of noise: sample, mix, interpolate, project, directions, slide and set; and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unweave as uw
from contract import tiny
from unweave import sampled, sampling
from unweave.errors import UserError
from unweave.methods.stylegan import Stylegan, StyleganConfig
from unweave.metrics.steering import Way
from unweave.models import load
from unweave.runs import Run

Say = Callable[..., tuple[int, str, str]]


def written(folder: Path, model: torch.nn.Module) -> Path:
    run = Run.create(folder / "run", {"method": "stylegan", "config": model.settings(), "settings": {}})  # type: ignore[operator]
    run.write_weights("weights", model)  # type: ignore[arg-type]
    return run.path / "weights.safetensors"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model before training."""
    torch.manual_seed(0)
    return written(tmp_path_factory.mktemp("style"), tiny.build("stylegan"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    return written(tmp_path_factory.mktemp("other"), Stylegan(StyleganConfig(size=32, z=8, style=12, width=4, limit=8)))


def near(path: Path, picture: torch.Tensor) -> bool:
    return bool((uw.image(path, 32) - picture).abs().max() < 1 / 127)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_sample(say: Say, file: Path, tmp_path: Path) -> None:
    status, out, said = say("sample", file, "--seeds", "3,7-8", "--truncation", 0.5, "-o", tmp_path)
    assert status == 0 and out.strip() == str(tmp_path), said
    assert names(tmp_path) == {"3.png", "7.png", "8.png", "sheet.png"}
    assert near(tmp_path / "7.png", sampled.sample(load(file), [7], 0.5)), "the same whatever else is asked for"
    assert say("sample", file, "--seeds", 7, "--truncation", -1, "--no-noise", "-o", tmp_path)[0] == 0
    assert near(tmp_path / "7.png", sampled.sample(load(file), [7], -1, noise=False))


def test_mix(say: Say, file: Path, tmp_path: Path) -> None:
    status, _, said = say("mix", file, "--sources", "0-1", "--onto", "2-4", "--layers", "fine", "-o", tmp_path)
    assert status == 0, said
    assert names(tmp_path) == {"sheet.png", *(f"{a}-{b}.png" for a in (0, 1) for b in (2, 3, 4))}
    assert near(tmp_path / "1-3.png", sampled.mix(load(file), [1], [3], "fine")[0])
    wide, high = Image.open(tmp_path / "sheet.png").size
    assert wide > high, "three across, two down"


def test_interpolate_is_a_loop(say: Say, file: Path, tmp_path: Path) -> None:
    status, out, said = say("interpolate", file, 3, 7, 9, "--steps", 4, "-o", tmp_path / "out")
    assert status == 0 and out.strip() == str(tmp_path / "out" / "3-7-9.gif"), said
    film = Image.open(out.strip())
    assert film.n_frames == 12 and film.info["loop"] == 0  # type: ignore[attr-defined]
    status, out, said = say("interpolate", file, 3, 7, "--steps", 2, "-o", tmp_path / "film.gif")
    assert status == 0 and out.strip() == str(tmp_path / "film.gif"), said


def test_project_and_what_takes_its_codes(say: Say, file: Path, folders: Path, tmp_path: Path) -> None:
    status, _, said = say("project", file, folders / "a" / "a00.png", folders / "a" / "a01.png", "--steps", 5, "-o", tmp_path / "p")
    assert status == 0 and "a00: " in said and " dB" in said, said
    assert names(tmp_path / "p") == {"a00.png", "a00.safetensors", "a01.png", "a01.safetensors", "sheet.png"}
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (folders / "a" / "a00.png", tmp_path / "p" / "a00.png"))
    assert before.shape == after.shape and np.array_equal(before[:, :4], after[:, :4]), "outside the square nothing changes"
    model, kept = load(file), tmp_path / "p" / "a00.safetensors"
    codes = sampling.load_codes(kept, model)
    assert codes["style"].shape[:1] == (1,) and set(codes) == {"style", "noise"}

    status, _, said = say("mix", file, "--sources", kept, "--onto", 5, kept, "--layers", 0, "-o", tmp_path / "m")
    assert status == 0 and names(tmp_path / "m") == {"a00-5.png", "a00-a00.png", "sheet.png"}, said
    assert near(tmp_path / "m" / "a00-a00.png", sampled.drawn(model, codes)), "its own styles on itself change nothing"

    status, _, said = say("directions", file, "--count", 3, "-o", tmp_path / "d")
    assert status == 0 and names(tmp_path / "d") == {"directions.safetensors", "sheet.png"}, said
    ways = tmp_path / "d" / "directions.safetensors"
    status, _, said = say("slide", file, kept, 4, "--attribute", 2, "--values=-2:2:3", "--directions", ways, "-o", tmp_path / "s")
    assert status == 0, said
    assert names(tmp_path / "s") == {f"{n}{e}" for n in ("a00", "4") for e in ("-0.png", "-1.png", "-2.png", "-strip.png", ".gif")} | {
        "sheet.png"
    }
    assert near(tmp_path / "s" / "a00-1.png", sampled.drawn(model, codes)), "0 is the picture as it is"
    moved = model.along(codes["style"], model.directions(3)[1], 2.0)
    assert near(tmp_path / "s" / "a00-2.png", sampled.drawn(model, codes | uw.Codes(style=moved)))

    status, _, said = say("set", file, kept, "--2", 2, "--3=0", "--directions", ways, "-o", tmp_path / "t")
    assert status == 0, said
    assert near(tmp_path / "t" / "a00.png", sampled.drawn(model, codes | uw.Codes(style=moved)))


def test_slide_projects_pictures_first(say: Say, file: Path, folders: Path, tmp_path: Path) -> None:
    assert say("directions", file, "--kind", "pca", "--count", 1, "-o", tmp_path)[0] == 0
    ways = tmp_path / "directions.safetensors"
    words = ("--attribute", 1, "--values", "0,3", "--directions", ways, "--steps", 3, "-o", tmp_path / "s")
    status, _, said = say("slide", file, folders / "a" / "a00.png", *words)
    assert status == 0 and Image.open(tmp_path / "s" / "a00-1.png").size == (48, 40), said


def test_a_direction_from_two_folders(say: Say, file: Path, folders: Path, tmp_path: Path) -> None:
    """It is kept beside what the file holds, under the second folder's name."""
    assert say("directions", file, "--count", 2, "-o", tmp_path)[0] == 0
    status, _, said = say(
        "directions", file, "--examples", folders / "a", folders / "b", "--steps", 2, "--layers", "coarse", "-o", tmp_path
    )
    assert status == 0, said
    kept = sampling.load_directions(tmp_path / "directions.safetensors", load(file))
    assert list(kept) == ["1", "2", "b"] and kept["b"].layers == tuple(load(file).layers["coarse"])


def test_a_direction_with_a_vector_for_each_layer_is_kept_and_followed(say: Say, file: Path, tmp_path: Path) -> None:
    model = load(file)
    layers, width = next(code.shape for code in model.codes if code.name == "style")
    vectors = torch.zeros(layers, width)
    vectors[-1] = 3.0  # only the last layer moves
    one = sampling.Direction(vectors, tuple(range(layers)))
    path = sampling.save_directions({"last": one}, tmp_path / "ways.safetensors")
    assert torch.equal(sampling.load_directions(path, model)["last"].vector, vectors)
    assert say("slide", file, "3", "--directions", path, "--attribute", "last", "--values=0:1:2", "-o", tmp_path / "out")[0] == 0
    still, moved = ((tmp_path / "out" / f"3-{i}.png").read_bytes() for i in range(2))
    assert still != moved
    other = sampling.save_directions({"odd": sampling.Direction(vectors[1:], (0,))}, tmp_path / "odd.safetensors")
    with pytest.raises(UserError, match="another model"):
        sampling.load_directions(other, model)


def test_directions_from_judged_samples(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that sees glasses in bright samples, beards in none and a smile in what is bright at the top."""

    def judge(x: torch.Tensor) -> torch.Tensor:
        bright, top = x.mean((1, 2, 3)), x[:, :, :16].mean((1, 2, 3))
        return torch.stack([(50 * (bright - level)).sigmoid(), torch.zeros(len(x)), (50 * (top - level)).sigmoid()], 1)

    model = load(file)
    level = float(sampled.sample(model, range(100), 1.0).mean())
    monkeypatch.setattr(sampling.judges, "attribute_judge", lambda data, kinds: judge)
    monkeypatch.setattr(sampling, "load_data", lambda source, size, split: uw.data("faces@val", size=32, n=30))
    monkeypatch.setattr(sampling, "JUDGED", 256)
    done = sampling.directions(model, tmp_path, data="faces")
    found = sampling.load_directions(done.written[0], model)
    whole = next(code.shape for code in model.codes if code.name == "style")
    assert set(found) == {"glasses", "smile"} and {tuple(one.vector.shape) for one in found.values()} <= {whole, whole[1:]}
    assert done.notes == ["no direction for beard: the judge sees it in all samples or in none"]


def test_two_of_a_judged_direction_bring_a_sample_from_the_middle_to_where_it_was_chosen(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(file)
    whole = next(code.shape for code in model.codes if code.name == "style")
    direction, moves = torch.randn(whole[1:]), torch.randn(whole)
    ways = [Way(direction, torch.zeros(whole[1:]), 5.0, moves), Way(direction, torch.zeros(whole[1:]), 3.0), None]
    monkeypatch.setattr(sampling.judges, "attribute_judge", lambda data, kinds: lambda x: torch.zeros(len(x), 3))
    monkeypatch.setattr(sampling, "load_data", lambda source, size, split: uw.data("faces@val", size=32, n=30))
    monkeypatch.setattr(sampling, "JUDGED", 64)
    monkeypatch.setattr(sampling.steering, "find", lambda *known: ways)
    found = sampling.load_directions(sampling.directions(model, tmp_path, data="faces").written[0], model)
    middle = torch.zeros(1, *whole)
    for way, one in zip(ways[:2], found.values(), strict=True):
        assert way is not None
        there = model.along(middle, one.vector, 2.0, one.layers)
        assert torch.allclose(there, way.to(model, middle, torch.tensor([True])), atol=1e-5)


def test_seeds() -> None:
    assert sampling.seeds_of("7") == [7] and sampling.seeds_of("0-3, 8,10-11") == [0, 1, 2, 3, 8, 10, 11]
    for wrong, said in {"": "not", "a": "such as 7", "-1": "such as 7", "3-": "such as 7", "1.5": "such as", "9-3": "write 3-9"}.items():
        with pytest.raises(UserError, match=said):
            sampling.seeds_of(wrong)
    with pytest.raises(UserError, match="at most 100,000"):
        sampling.seeds_of("0-100000")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["sample", "--seeds", "x"], 'not "x"'),
        (["sample", "--truncation", "7"], "Truncation is a number from 0"),
        (["mix", "--layers", "coarze"], 'There are no layers "coarze": did you mean "coarse"?'),
        (["mix", "--layers", "40"], "This model's layers are 0-"),
        (["mix", "--sources", "nothing.safetensors"], 'There is no file "nothing.safetensors"'),
        (["interpolate", "3"], "two seeds or more"),
        (["interpolate", "3", "4", "--code", "style"], "only seeds"),
        (["project"], "Name at least one picture"),
        (["project", "nowhere.png"], 'There is no picture or folder "nowhere.png"'),
        (["directions", "--count", "0"], "directions of styles, not 0"),
        (["directions", "--examples", "one"], "--examples takes two folders"),
        (["slide", "3", "--attribute", "glasses"], "give --directions FILE"),
        (["set", "3", "--glasses", "1"], "give --directions FILE"),
    ],
)
def test_refused(say: Say, file: Path, tmp_path: Path, words: list[str], answer: str) -> None:
    status, _, said = say(words[0], file, *words[1:], "-o", tmp_path)
    assert status in (1, 2) and answer in said and "Traceback" not in said and said.count("\n") == 1, said


def test_files_of_other_models_and_of_other_kinds(say: Say, file: Path, other: Path, folders: Path, tmp_path: Path) -> None:
    assert say("project", other, folders / "a" / "a00.png", "--steps", 1, "-o", tmp_path / "p")[0] == 0
    assert say("directions", other, "--count", 1, "-o", tmp_path / "d")[0] == 0
    codes, ways = tmp_path / "p" / "a00.safetensors", tmp_path / "d" / "directions.safetensors"
    (tmp_path / "text.safetensors").write_text("no tensors")
    along = ("--attribute", 1, "--directions")
    cases: list[tuple[tuple[object, ...], str]] = [
        (("mix", file, "--sources", codes), "holds codes of another model"),
        (("mix", file, "--sources", file), "holds no codes"),
        (("mix", file, "--sources", tmp_path / "text.safetensors"), "is damaged, or not a .safetensors file"),
        (("slide", file, 3, *along, ways), "holds directions of another model"),
        (("slide", file, 3, *along, file), "holds no directions"),
        (("slide", other, 3, "--attribute", "smile", "--directions", ways), 'has no direction "smile": there is: 1'),
        (("set", other, 3, "--directions", ways), "Say what to set"),
    ]
    for words, answer in cases:
        status, _, said = say(*words, "-o", tmp_path / "out")
        assert status in (1, 2) and answer in said, said


def test_models_that_encode_are_told_so(say: Say, model_file: Path, folders: Path, tmp_path: Path) -> None:
    picture = folders / "a" / "a00.png"
    for words in (["sample"], ["mix"], ["project", picture], ["directions"]):
        status, _, said = say(words[0], model_file, *words[1:], "-o", tmp_path)
        assert status == 1 and f"A mask model cannot {words[0]}: it offers" in said, said
    status, _, said = say("interpolate", model_file, picture, picture, "-o", tmp_path)
    assert status == 2 and "--code is missing: which code walks, of common, separate" in said
    status, _, said = say("slide", model_file, picture, "--attribute", "x", "--directions", "y", "-o", tmp_path)
    assert status == 1 and "has no directions" in said
