"""Clips through the command line, stick figures, and the evaluation of retargeting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contract import tiny
from unweave.body import Clip
from unweave.cli import run
from unweave.data import clips, load
from unweave.data.motion import average, procedural, stand
from unweave.evaluate import evaluate
from unweave.figures import frames, motion_picture, scatter
from unweave.metrics import motion
from unweave.runs import Run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tiny.build("retarget")
    folder = Run.create(tmp_path_factory.mktemp("clips") / "run", {"method": "retarget", "config": made.settings(), "settings": {}})
    folder.write_weights("weights", made)
    return str(folder.path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A clip in space, a flat one in pixels, and a folder of OpenPose's."""
    root = tmp_path_factory.mktemp("files")
    walk, wave = (m for m in procedural("val", 0, 40, each=1) if m.name in ("walk", "wave"))
    space = Clip(stand(walk.directions, walk.way, average()), 60.0, "walk")
    flat = Clip(stand(wave.directions, wave.way, average())[..., :2] * 300, 30.0, "wave")
    clips.write(space, root / "walk.npz")
    clips.write(flat, root / "wave.npz")
    clips.write(flat, root / "video")
    return {"space": str(root / "walk.npz"), "flat": str(root / "wave.npz"), "json": str(root / "video")}


@pytest.mark.parametrize("out", ["a.gif", "a.npz", "a.json"])
@pytest.mark.parametrize("view", ["-30", "json", "space@45"])
def test_retarget(model: str, files: dict[str, str], tmp_path: Path, out: str, view: str, capsys: pytest.CaptureFixture[str]) -> None:
    seen = view if view[0] == "-" else view.replace("json", files["json"]).replace("space", files["space"])
    words = ["retarget", model, "--motion", f"{files['space']}@-20", "--skeleton", files["json"], "--view", seen, "-o", str(tmp_path / out)]
    assert run(words) == 0
    written = Path(capsys.readouterr().out.strip().splitlines()[-1])
    if out == "a.gif":
        with Image.open(written) as picture:
            assert picture.n_frames == 40 and picture.width == 240 * (3 if view[0] == "-" else 4)
    else:
        joints = clips.read(written).joints
        assert joints.shape == (21, 15, 2), "40 frames at 60 a second are 21 at 30"
        assert joints[0, 8].abs().max() < 1e-3 and torch.isfinite(joints).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--view": "sideways"}, 'is a number of degrees.*"sideways"'),
        ({"--view": "120"}, "-90 to 90"),
        ({"--view": "flat@30"}, "flat already"),
        ({"--motion": "space@left"}, '"left" is neither'),
        ({"--motion": "none.bvh"}, 'no clip "none.bvh"'),
        ({"-o": "x.png"}, "should end in"),
    ],
)
def test_what_cannot_be_retargeted(model: str, files: dict[str, str], tmp_path: Path, change, says: str, capsys) -> None:  # type: ignore[no-untyped-def]
    words = {"--motion": files["space"], "--skeleton": files["flat"], "--view": "0", "-o": str(tmp_path / "a.npz")} | {
        k: v.replace("flat", files["flat"]).replace("space", files["space"]) for k, v in change.items()
    }
    assert run(["retarget", model, *[word for pair in words.items() for word in pair]]) == 1
    found = capsys.readouterr().err
    import re

    assert re.search(says, found), found


def test_interpolate_line_and_matrix(model: str, files: dict[str, str], tmp_path: Path) -> None:
    words = ["interpolate", model, files["flat"], files["json"], "--code", "motion", "--steps", "3", "-o", str(tmp_path)]
    assert run(words) == 0 and len(list(tmp_path.glob("wave-motion-*.npz"))) == 3
    assert run([*words, "--across", "view"]) == 0 and len(list(tmp_path.glob("wave-motion-view-*.npz"))) == 9
    assert run([*words, "--across", "smile"]) == 1


def test_a_motion_as_it_is_seen(files: dict[str, str], tmp_path: Path) -> None:
    assert run(["data", files["space"], "--view", "-90", "-o", str(tmp_path / "x.npz")]) == 0
    seen, space = clips.read(tmp_path / "x.npz"), clips.read(files["space"])
    assert seen.fps == 60 and torch.equal(seen.joints, space.seen_from(-90.0).joints)
    assert run(["data", files["flat"], "-o", str(tmp_path / "y.npz")]) == 1


# -- figures -------------------------------------------------------------------------------------------------------------------


def test_figures(files: dict[str, str]) -> None:
    clip = clips.read(files["flat"]).joints
    picture = motion_picture(clip / 300, poses=4)
    assert picture.shape == (3, 112, 4 * 67) and picture.min() < 0 and picture.max() == 1
    moving = list(frames({"one": clip, "two": clip[:5]}, side=60, columns=1))
    assert len(moving) == 40 and moving[0].size == (60, 2 * 84)
    assert np.asarray(moving[0]).tobytes() != np.asarray(moving[20]).tobytes()
    assert scatter(torch.randn(50, 2), [0, 1] * 25, side=40).shape == (3, 40, 40)


# -- measures ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial() -> motion.Trial:
    return motion.trial(load("motion", size=32, split="test", n=4).truth, 40)


def test_the_truth_is_without_error_and_a_shift_does_not_count(trial: motion.Trial) -> None:
    found = motion.measure(trial.truth + 5.0, trial)
    assert all(estimate.value < 1e-5 for estimate in found.values())


def test_errors_are_in_heights(trial: motion.Trial) -> None:
    off = trial.truth.clone()
    off[:, :, 0] += 0.1 * trial.tall[:, None, None] * torch.tensor([0.6, 0.8])  # the nose by a tenth of a height: one of 14 joints
    found = motion.measure(off, trial)
    assert found["pose_error"].value == pytest.approx(0.1 / 14, rel=1e-3) and found["travel_error"].value < 1e-5
    slid = trial.truth + torch.linspace(0, 1, 32)[:, None, None] * trial.tall[:, None, None, None] * torch.tensor([1.0, 0.0])
    found = motion.measure(slid, trial)
    assert found["travel_error"].value == pytest.approx(0.5, rel=1e-3) and found["pose_error"].value < 1e-5
    assert 0.7 < found["foot_skate"].value < 1.0, "a height in 31 frames is 0.97 a second, less what the true feet move"


def test_limb_by_limb_is_exact_where_only_size_differs(trial: motion.Trial) -> None:
    grown = motion.Trial(trial.truth, trial.truth * 1.7, trial.truth, trial.truth * 1.7, trial.tall * 1.7)
    for way in (motion.rescaled, motion.limb_by_limb):
        assert motion.measure(way(grown), grown)["pose_error"].value < 1e-4
    assert motion.measure(motion.copied(grown), grown)["pose_error"].value > 0.05


def test_codes_that_are_the_factors_are_read_on_the_diagonal() -> None:
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(6), np.arange(7), indexing="ij"), -1).reshape(-1, 3)
    labels = dict(zip(motion.FACTORS, grid.T))
    codes = {name: np.eye(7, dtype=np.float32)[label] for name, label in labels.items()}
    for (factor, code), estimate in motion.readable(codes, labels).items():
        assert (estimate.value == 1) if factor == code else (estimate.value < 0.4), (factor, code)


def test_evaluate(model: str, tmp_path: Path) -> None:
    report = evaluate(model, "motion", tmp_path / "report", pairs=20)
    assert {"pose_error", "travel_error", "foot_skate", "bone_error", "skeleton_in_motion", "view_in_view"} <= set(report.measures)
    assert set(report.baselines) == {"copy", "rescaled", "limb_by_limb"} and report.cost["milliseconds_for_10_s"] > 0
    assert "16 frames" in report.data and {p.stem for p in (tmp_path / "report" / "sheets").iterdir()} == {
        "clusters",
        "retargeted",
        "worst",
    }


def test_the_built_in_set_as_files(tmp_path: Path) -> None:
    assert run(["data", "motion@val", "-o", str(tmp_path / "set"), "-n", "2", "--size", "16"]) == 0
    files = sorted((tmp_path / "set" / "clips").iterdir())
    grid = load("motion", size=16, split="val", n=2).take("grid", range(2))
    assert len(files) == 16 and files[5].name == "00000-101.npz" and torch.equal(clips.read(files[5]).joints, grid[0, 1, 0, 1])
    assert (tmp_path / "set" / "clips.csv").read_text().count("\n") == 17
