"""Readers of clips, each on tiny files written here; what is broken is answered with a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from unweave.body import FEET, JOINTS, ROOT, Clip, height, limbs
from unweave.data import Motions, clips, load, openpose
from unweave.data.motion import average, stand, stripped
from unweave.data.rigs import about
from unweave.errors import UserError

TREE = {  # joint: its parent and its offset, of a body 170 tall in a T-pose; the right is at -x
    "Hips": (None, (0, 95, 0)),
    "Spine": ("Hips", (0, 30, 0)),
    "Head": ("Spine", (0, 40, 5)),
    "Extra": ("Head", (0, 10, 0)),
    "LeftArm": ("Spine", (18, 20, 0)),
    "LeftForeArm": ("LeftArm", (28, 0, 0)),
    "LeftHand": ("LeftForeArm", (25, 0, 0)),
    "RightArm": ("Spine", (-18, 20, 0)),
    "RightForeArm": ("RightArm", (-28, 0, 0)),
    "RightHand": ("RightForeArm", (-25, 0, 0)),
    "LeftUpLeg": ("Hips", (10, 0, 0)),
    "LeftLeg": ("LeftUpLeg", (0, -45, 0)),
    "LeftFoot": ("LeftLeg", (0, -42, 0)),
    "RightUpLeg": ("Hips", (-10, 0, 0)),
    "RightLeg": ("RightUpLeg", (0, -45, 0)),
    "RightFoot": ("RightLeg", (0, -42, 0)),
}


def hierarchy(joint: str = "Hips", order: str = "ZXY", places: bool = False, scale: float = 1.0, drop: str = "") -> str:
    parent, offset = TREE[joint]
    channels = (["Xposition", "Yposition", "Zposition"] if parent is None or places else []) + [f"{axis}rotation" for axis in order]
    inside = [hierarchy(child, order, places, scale, drop) for child, (of, _) in TREE.items() if of == joint and child != drop]
    words = " ".join(str(scale * x) for x in ((0, 0, 0) if places else offset))
    end = "" if inside else "End Site { OFFSET 0 0 0 } "
    kind = "ROOT" if parent is None else "JOINT"
    return f"{kind} {joint} {{ OFFSET {words} CHANNELS {len(channels)} {' '.join(channels)} {end}{' '.join(inside)} }}"


def order_of(joint: str = "Hips", drop: str = "") -> list[str]:
    return [joint, *[name for child, (of, _) in TREE.items() if of == joint and child != drop for name in order_of(child, drop)]]


def write(path: Path, turns: dict[str, tuple[float, float, float]], frames: int = 20, seconds: float = 1 / 30, **how) -> Path:  # type: ignore[no-untyped-def]
    """A BVH file in which some joints are turned by these channels."""
    scale, places = how.get("scale", 1.0), how.get("places", False)
    row: list[float] = []
    for joint in order_of(drop=how.get("drop", "")):
        if TREE[joint][0] is None or places:
            row += [scale * x for x in TREE[joint][1]]
        row += turns.get(joint, (0, 0, 0))
    motion = "\n".join(" ".join(map(str, row)) for _ in range(frames))
    path.write_text(f"HIERARCHY {hierarchy(**how)}\nMOTION\nFrames: {frames}\nFrame Time: {seconds}\n{motion}\n")
    return path


def test_bvh_at_rest(tmp_path: Path) -> None:
    clip = clips.read(write(tmp_path / "rest.bvh", {}))
    assert clip.joints.shape == (20, 15, 3) and clip.fps == pytest.approx(30)
    at = dict(zip(JOINTS, clip.joints[0].tolist()))
    assert at["hips"] == [0, 95, 0] and at["neck"] == [0, 145, 0] and at["right wrist"] == [-71, 145, 0] and at["left ankle"] == [10, 8, 0]
    front = clip.seen_from(0.0).joints[0]
    assert front[2, 0] < 0 < front[5, 0], "seen from the front, the right shoulder is at the left of the picture"
    side = clip.seen_from(90.0).joints[0]
    assert side[0, 0] > 0 and abs(float(side[2, 0] - side[5, 0])) < 1e-3, "at 90 degrees it looks to the right of the picture"


@pytest.mark.parametrize("order", ["XYZ", "ZXY", "YZX"])
def test_bvh_turns_in_any_order(tmp_path: Path, order: str) -> None:
    angles = {"X": 30.0, "Y": -50.0, "Z": 70.0}
    clip = clips.read(write(tmp_path / "turned.bvh", {"LeftArm": tuple(angles[axis] for axis in order)}, order=order))
    elementary = {axis: about(axis, np.array([angle])) for axis, angle in angles.items()}
    turn = elementary[order[0]] @ elementary[order[1]] @ elementary[order[2]]
    wanted = np.array([18, 145, 0]) + turn @ np.array([28.0, 0, 0])
    np.testing.assert_allclose(clip.joints[0, JOINTS.index("left elbow")], wanted, atol=1e-3)


def test_bvh_positions_take_the_place_of_offsets(tmp_path: Path) -> None:
    plain, placed = (clips.read(write(tmp_path / f"{places}.bvh", {"Spine": (10, 20, 30)}, places=places)) for places in (False, True))
    torch.testing.assert_close(plain.joints, placed.joints)


def test_bvh_of_other_units_rates_and_axes(tmp_path: Path) -> None:
    slow = clips.read(write(tmp_path / "metres.bvh", {}, frames=61, seconds=1 / 60, scale=0.01))
    assert len(slow.at(30.0).joints) == 31 and float(height(slow.joints)) == pytest.approx(float(np.hypot(20, 5) + 50 + 87) / 100, rel=1e-4)
    lying = clips.read(write(tmp_path / "z-up.bvh", {"Hips": (0, 90, 0)}))  # turned about x: y becomes z
    assert lying.joints[0, 0, 1] > lying.joints[0, FEET[0], 1] + 100, "z is up in this file"


def test_bvh_extra_joints_are_left_out_and_a_missing_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no joint that could be the right wrist: looked for righthand.*LeftHand"):
        clips.read(write(tmp_path / "a.bvh", {}, drop="RightHand"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda t: t[: len(t) // 3], "damaged or cut short"),
        (lambda t: t[: t.rindex("\n", 0, -1)] + "\n", "is cut short: 20 frames"),
        (lambda t: t.replace("Frames: 20", "Frames: 0"), "no frames"),
        (lambda t: t[: t.index("Frame Time")] + "Frame Time: 0.03\n", "no frames"),
        (lambda t: t.replace("Frame Time: 0.0", "Frame Time: -0.0"), "frame time"),
        (lambda t: t.replace("\n0.0 95.0", "\nnan 95.0", 1), "NaN"),
        (lambda t: t.replace("\n0.0 95.0", "\nwhat 95.0", 1), "no number"),
        (lambda t: "HELLO" + t, "no BVH file"),
        (lambda t: "", "no BVH file"),
    ],
)
def test_bvh_that_is_broken(tmp_path: Path, spoil, says: str) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path / "bad.bvh", {})
    path.write_text(spoil(path.read_text()))
    with pytest.raises(UserError, match=says):
        clips.read(path)


# -- Acclaim -------------------------------------------------------------------------------------------------------------------

BONES = {  # name: parent, direction, length, axis, dof
    "upperneck": ("root", (0, 1, 0), 20, (0, 0, 0), ""),
    "lclavicle": ("root", (1, 3, 0), 5, (0, 0, 0), ""),
    "lhumerus": ("lclavicle", (1, 0, 0), 7, (0, 0, 90), "rx ry rz"),
    "lradius": ("lhumerus", (1, 0, 0), 6, (0, 0, 0), "rx"),
    "rclavicle": ("root", (-1, 3, 0), 5, (0, 0, 0), ""),
    "rhumerus": ("rclavicle", (-1, 0, 0), 7, (0, 0, 0), ""),
    "rradius": ("rhumerus", (-1, 0, 0), 6, (0, 0, 0), ""),
    "lhipjoint": ("root", (1, 0, 0), 2, (0, 0, 0), ""),
    "lfemur": ("lhipjoint", (0, -1, 0), 9, (0, 0, 0), ""),
    "ltibia": ("lfemur", (0, -1, 0), 9, (0, 0, 0), ""),
    "rhipjoint": ("root", (-1, 0, 0), 2, (0, 0, 0), ""),
    "rfemur": ("rhipjoint", (0, -1, 0), 9, (0, 0, 0), ""),
    "rtibia": ("rfemur", (0, -1, 0), 9, (0, 0, 0), ""),
}


def write_amc(folder: Path, frames: list[str]) -> Path:
    bones = "".join(
        f"  begin\n id 1\n name {n}\n direction {' '.join(map(str, d))}\n length {length}\n axis {' '.join(map(str, axis))} XYZ\n"
        + (f" dof {dof}\n" if dof else "")
        + "  end\n"
        for n, (_, d, length, axis, dof) in BONES.items()
    )
    tree = "".join(f"  {parent} {name}\n" for name, (parent, *_) in BONES.items())
    (folder / "01.asf").write_text(
        ":version 1.10\n:units\n length 0.45\n angle deg\n:root\n order TX TY TZ RX RY RZ\n axis XYZ\n position 0 0 0\n orientation 0 0 0\n"
        f":bonedata\n{bones}:hierarchy\n  begin\n{tree}  end\n"
    )
    path = folder / "01_01.amc"
    path.write_text("#!OML\n:FULLY-SPECIFIED\n:DEGREES\n" + "".join(f"{i + 1}\n{frame}" for i, frame in enumerate(frames)))
    return path


def test_amc_bones_turn_in_their_own_axes(tmp_path: Path) -> None:
    path = write_amc(tmp_path, ["root 1 18 2 0 0 0\nlhumerus 90 0 0\nlradius 0\n"] * 3)
    clip = clips.read(path)
    at = dict(zip(JOINTS, clip.joints[0].tolist()))
    assert clip.fps == 120 and at["hips"] == [1, 18, 2] and at["right elbow"] == pytest.approx([1 - 1 * 5 - 7, 18 + 15, 2])
    # The bone's x axis points along y of the body, so that 90 degrees about it take x to -z.
    assert at["left elbow"] == pytest.approx([1 + 5, 18 + 15, 2 - 7], abs=1e-4)


def test_amc_that_is_broken(tmp_path: Path) -> None:
    path = write_amc(tmp_path, ["root 1 18 2 0 0 0\nlhumerus 90 0 0\nlradius 0\n", "root 1 18 2\n"])
    with pytest.raises(UserError, match="cut short or of another skeleton"):
        clips.read(path)
    path.write_text(":DEGREES\n")
    with pytest.raises(UserError, match="no frames"):
        clips.read(path)
    (tmp_path / "01.asf").unlink()
    with pytest.raises(UserError, match="needs its skeleton"):
        clips.read(path)


# -- OpenPose and NPZ ----------------------------------------------------------------------------------------------------------


def pose(shift: float = 0.0, size: float = 100.0, joints: int = 25, unseen: tuple[int, ...] = ()) -> list[float]:
    points = stand(torch.tensor([[0.0, -1.0, 0.0]]).repeat(14, 1)[None], torch.zeros(1, 3), average())[0, :, :2] * size
    points[:, 0] += torch.arange(15) + shift
    rows = [[*map(float, p), 0.0 if j in unseen else 0.9] for j, p in enumerate(points)]
    rows = rows if joints == 25 else rows[:ROOT] + rows[ROOT + 1 :]
    return [x for row in rows for x in row] + [0.0] * 3 * (joints - len(rows))


def write_json(folder: Path, frames: list[list[list[float]]]) -> Path:
    folder.mkdir()
    for t, people in enumerate(frames):
        text = json.dumps({"people": [{"pose_keypoints_2d": numbers} for numbers in people]})
        (folder / f"x_{t:012}_keypoints.json").write_text(text)
    return folder


def test_openpose_turns_y_up_and_takes_the_largest(tmp_path: Path) -> None:
    folder = write_json(tmp_path / "v", [[pose(500, 10), pose(t, 100)] for t in range(3)])
    clip = clips.read(folder)
    assert clip.joints.shape == (3, 15, 2) and clip.fps == 30
    assert clip.joints[1, ROOT].tolist() == pytest.approx([ROOT + 1, 0]) and clip.joints[0, 1, 1] > 0, "in the file the neck is at -y"
    assert clips.read(folder, person=0).joints[0, ROOT, 0] == 500 + ROOT


def test_openpose_fills_what_is_not_seen(tmp_path: Path) -> None:
    folder = write_json(tmp_path / "v", [[pose(0)], [], [pose(20, unseen=(4,))], [pose(30)]])
    clip = clips.read(folder)
    assert clip.joints[1, ROOT, 0] == pytest.approx(ROOT + 10) and clip.joints[2, 4, 0] == pytest.approx(4 + 20)
    assert any("nobody is seen in 1 of 4" in note for note in clip.notes)


def test_openpose_of_18_joints(tmp_path: Path) -> None:
    one, other = (clips.read(write_json(tmp_path / str(n), [[pose(0, joints=n)]] * 2)).joints for n in (25, 18))
    others = [j for j in range(15) if j != ROOT]
    torch.testing.assert_close(one[:, others], other[:, others])
    torch.testing.assert_close(other[:, ROOT], (one[:, 9] + one[:, 12]) / 2)


def test_openpose_that_is_broken(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="never shows the right wrist"):
        clips.read(write_json(tmp_path / "a", [[pose(unseen=(4,))]] * 3))
    with pytest.raises(UserError, match="shows nobody"):
        clips.read(write_json(tmp_path / "b", [[], []]))
    with pytest.raises(UserError, match="25 or 18 joints"):
        clips.read(write_json(tmp_path / "c", [[pose()[:30]]]))
    (tmp_path / "d").mkdir()
    with pytest.raises(UserError, match="no JSON files"):
        clips.read(tmp_path / "d")


@pytest.mark.parametrize("out", ["a.npz", "a"])
def test_what_is_written_is_read_again(tmp_path: Path, out: str) -> None:
    clip = Clip(torch.randn(7, 15, 2) * 100, 30.0, "a")
    clips.write(clip, tmp_path / out)
    again = clips.read(tmp_path / out)
    torch.testing.assert_close(again.joints, clip.joints, atol=1e-3, rtol=0)
    assert again.fps == 30


def test_npz_that_is_broken(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", joints=np.zeros((4, 14, 2)))
    np.savez(tmp_path / "b.npz", points=np.zeros((4, 15, 2)))
    np.savez(tmp_path / "c.npz", joints=np.full((4, 15, 2), np.nan))
    np.savez(tmp_path / "d.npz", joints=np.array([None]))
    for name, says in {"a": "shape", "b": "joints", "c": "no numbers", "d": "no clip inside"}.items():
        with pytest.raises(UserError, match=says):
            clips.read(tmp_path / f"{name}.npz")
    with pytest.raises(UserError, match="is no clip"):
        clips.read(Path(__file__))
    with pytest.raises(UserError, match="There is no clip"):
        clips.read(tmp_path / "none.bvh")


# -- folders of motions --------------------------------------------------------------------------------------------------------


def test_a_clip_taken_off_its_body_and_put_on_again(tmp_path: Path) -> None:
    clip = clips.read(write(tmp_path / "x.bvh", {"LeftArm": (10, 20, 30), "Hips": (0, 10, 40)}))
    motion = stripped(clip)
    assert motion.body is not None
    size = float(height(clip.joints))
    again = stand(motion.directions, motion.way, motion.body) * size
    torch.testing.assert_close(limbs(again), limbs(clip.joints), atol=1e-3, rtol=1e-4)
    assert again[:, list(FEET), 1].min() == pytest.approx(0, abs=1e-3)


def test_a_folder_of_motions(tmp_path: Path) -> None:
    for i in range(30):
        write(tmp_path / f"walk{i}.bvh", {"LeftArm": (i, 0, 0)}, frames=20 + i)
    (tmp_path / "broken.bvh").write_text("HIERARCHY")  # skipped, and said
    sets = {split: load(Motions(str(tmp_path)), size=16, split=split, n=4) for split in ("train", "val", "test")}
    names = [set(data.truth.names) for data in sets.values()]
    real = [{name for name in some if name.startswith("walk") and name != "walk"} for some in names]
    assert not real[0] & real[2] and not real[1] & real[2] and sum(map(len, real)) == 30
    assert "run" in names[0] and "run" not in names[2], "training sees procedural motions too, the test does not"
    assert [note for data in sets.values() for note in data.notes if "broken.bvh" in note]
    grid = sets["test"].take("grid", range(2))
    assert grid.shape == (2, 2, 2, 2, 16, 15, 2) and torch.isfinite(grid).all()
    with pytest.raises(UserError, match="no folder with"):
        load(Motions(str(tmp_path / "none")), size=16)


@pytest.mark.skipif(
    "UNWEAVE_TEST_DATA" not in os.environ, reason="real motions: UNWEAVE_TEST_DATA=DIR with .bvh, .amc and OpenPose folders"
)
def test_real_files() -> None:
    root = Path(os.environ["UNWEAVE_TEST_DATA"])
    paths = [p for kind in ("*.bvh", "*.amc") for p in sorted(root.rglob(kind))[:3]]
    paths += sorted({p.parent for p in root.rglob("*_keypoints.json")})[:2]
    if not paths:
        pytest.skip("no motions there")
    for path in paths:
        clip = clips.read(path)
        assert torch.isfinite(clip.joints).all() and len(clip.joints) > 1
        if clip.joints.shape[-1] == 3:
            assert (clip.joints[:, 0, 1] > clip.joints[:, list(FEET), 1].amax(1)).float().mean() > 0.5, f"{path}: heads are above feet"


def test_openpose_is_written_as_it_is_read(tmp_path: Path) -> None:
    clip = Clip(torch.randn(2, 15, 2), name="c")
    openpose.write(clip, tmp_path / "c")
    first = json.loads((tmp_path / "c" / "c_000000000000_keypoints.json").read_text())["people"][0]["pose_keypoints_2d"]
    assert len(first) == 75 and first[2] == 1.0 and first[1] == pytest.approx(-float(clip.joints[0, 0, 1]), abs=1e-3)
