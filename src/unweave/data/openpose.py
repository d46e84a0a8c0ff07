"""Keypoints of a video as OpenPose writes them: a folder with one JSON file a frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unweave.body import FPS, JOINTS, ROOT, Clip
from unweave.errors import UserError

Array = NDArray[np.float64]
SURE = 0.1  # a joint of less confidence is taken as not seen


def read(folder: str | Path, person: int | None = None, fps: float = FPS) -> Clip:
    """A folder of OpenPose JSON files, in the order of their names, as a clip in pixels, y up.

    Poses of 25 or 18 joints. person: which one of each frame's list, from 0; without, the largest. What is not seen is filled in time, by a
    straight line between the frames in which it is seen. fps: of the video. Raises UserError for a joint that is never seen."""
    folder = Path(folder)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UserError(f"{folder} has no JSON files: give the folder that OpenPose wrote with --write_json.")
    frames = np.stack([_frame(file, person) for file in files])  # (T, 15, 3): x, y down, confidence
    seen = frames[..., 2] > SURE
    notes = []
    if empty := int((~seen.any(1)).sum()):
        if empty == len(frames):
            raise UserError(f"{folder} shows nobody in any of its {len(frames)} frames" + (f" as person {person}." if person else "."))
        notes.append(f"{folder.name}: nobody is seen in {empty} of {len(frames)} frames; their joints are filled in.")
    missing = [joint for j, joint in enumerate(JOINTS) if not seen[:, j].any()]
    if missing:
        raise UserError(f"{folder} never shows the {' and the '.join(missing)}: all fifteen joints must be seen in some frame.")
    if gaps := int((~seen).sum()) - empty * len(JOINTS):
        notes.append(f"{folder.name}: {gaps / seen.size:.1%} of the joints are not seen and filled in from other frames.")
    t = np.arange(len(frames))
    joints = np.stack(
        [[np.interp(t, t[seen[:, j]], frames[seen[:, j], j, axis]) for axis in (0, 1)] for j in range(len(JOINTS))], 0
    )  # (15, 2, T)
    flat = joints.transpose(2, 0, 1) * [1.0, -1.0]
    return Clip(torch.from_numpy(flat.astype(np.float32)), fps, folder.name, tuple(notes))


def _frame(file: Path, person: int | None) -> Array:
    """Joints and their confidences in one frame, (15, 3); zeros where nobody is."""
    try:
        people = json.loads(file.read_text())["people"]
        poses = [_pose(one["pose_keypoints_2d"]) for one in people]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is not what OpenPose writes: people with pose_keypoints_2d of 25 or 18 joints.") from error
    if person is not None:
        return poses[person] if 0 <= person < len(poses) else np.zeros((len(JOINTS), 3))
    return max(poses, key=_extent, default=np.zeros((len(JOINTS), 3)))


def _pose(numbers: Any) -> Array:
    """BODY_25 or COCO's 18 -> the fifteen, (15, 3). Raises ValueError for another number of joints."""
    pose = np.array(numbers, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(pose).all():
        pose = np.where(np.isfinite(pose).all(1, keepdims=True), pose, 0.0)
    if len(pose) == 25:
        return pose[: len(JOINTS)]
    if len(pose) != 18:
        raise ValueError
    hips = pose[[8, 11]]  # right, left: of the middle, COCO knows nothing
    middle = [*hips[:, :2].mean(0), hips[:, 2].min()]
    return np.insert(pose[:14], ROOT, middle, axis=0)


def _extent(pose: Array) -> float:
    """The area that a person's joints span."""
    seen = pose[pose[:, 2] > SURE, :2]
    return float(np.prod(np.ptp(seen, axis=0))) if len(seen) > 1 else 0.0


def write(clip: Clip, folder: Path) -> None:
    """The inverse: a JSON file a frame, BODY_25 with the fifteen joints at confidence 1, y down."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, joints in enumerate((clip.joints * torch.tensor([1.0, -1.0])).tolist()):
        numbers = [round(float(x), 3) for x, y in joints for x in (x, y, 1.0)] + [0.0] * (3 * 10)
        text = json.dumps({"version": 1.2, "people": [{"pose_keypoints_2d": numbers}]})
        (folder / f"{clip.name}_{t:012}_keypoints.json").write_text(text)
