"""Clips from files of any kind, and into them.

BVH; AMC with its ASF; a folder of OpenPose's JSON; NPZ (`joints`: frames x 15 x 2 or 3, y up; `fps`).
"""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unweave.body import FPS, JOINTS, Clip
from unweave.data import Motions, asf, bvh, openpose
from unweave.data.folders import splits
from unweave.data.motion import LONG, Motion, MotionSet, procedural, stripped
from unweave.errors import UserError

KINDS = (".bvh", ".amc", ".npz")


def read(path: str | Path, person: int | None = None, fps: float | None = None) -> Clip:
    """A clip, flat or in space, in its own units, y up. person, fps: of OpenPose's folders (fps of AMC and NPZ too), which do not say.

    Raises UserError, in one sentence, for whatever cannot be read."""
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f'There is no clip "{path}".')
    if path.is_dir():
        return openpose.read(path, person, fps or FPS)
    kind = path.suffix.lower()
    if kind == ".bvh":
        return bvh.read(path)
    if kind == ".amc":
        return asf.read(path, fps or asf.FPS)
    if kind == ".npz":
        return _npz(path, fps)
    raise UserError(f"{path} is no clip: give a .bvh, .amc or .npz file, or a folder of OpenPose's JSON files.")


def _npz(path: Path, fps: float | None) -> Clip:
    try:
        with np.load(path, allow_pickle=False) as file:
            joints = np.asarray(file["joints"], dtype=np.float32)
            fps = fps or (float(file["fps"]) if "fps" in file else FPS)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, TypeError) as error:
        raise UserError(f"{path} has no clip inside: it needs an array `joints`, frames x 15 x 2 or 3.") from error
    if joints.ndim != 3 or joints.shape[1] != len(JOINTS) or joints.shape[2] not in (2, 3) or not len(joints):
        raise UserError(f"{path} has `joints` of shape {joints.shape}: frames x 15 x 2 (or 3) is needed.")
    if not np.isfinite(joints).all() or not 0 < fps < 10_000:
        raise UserError(f"{path} has joints or a frame rate that are no numbers: fill the gaps first.")
    return Clip(torch.from_numpy(joints), fps, path.stem)


def write(clip: Clip, path: Path) -> None:
    """A clip as .npz, or as a folder of OpenPose's JSON files (a path that ends in .json names it without that)."""
    try:
        if path.suffix.lower() == ".npz":
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, joints=clip.joints.numpy().astype(np.float32), fps=np.float32(clip.fps))
        else:
            openpose.write(clip, path)
    except OSError as error:
        raise UserError(f'"{path}" cannot be written ({error.strerror or error}).') from error


class MotionFiles(MotionSet):
    """A folder of BVH and AMC files as motions for random bodies, beside the procedural ones; test has the files alone.

    Files are split by a hash of their names, or of what `group` matches in them, so that no content is both learned and tested."""

    def __init__(self, source: Motions, *, size: int = 64, split: str = "train", seed: int = 0, n: int | None = None):
        root = Path(source.motion)
        paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in (".bvh", ".amc")) if root.is_dir() else []
        if not paths:
            raise UserError(f'"{root}" is no folder with .bvh or .amc files.')
        names = [p.relative_to(root).as_posix() for p in paths]
        mine = [path for path, where in zip(paths, splits([names], source.group)[0]) if where == split]
        motions, notes = [], []
        for path in mine:
            try:
                motions.append(stripped(read(path)))
            except UserError as error:
                notes.append(f"skipped: {error}")
        motions = [held(motion, size) for motion in motions]
        if split != "test":
            motions += procedural(split, seed, max(LONG, 2 * size))
        super().__init__(motions, f"motion {root.name}", source, size=size, split=split, seed=seed, n=n)
        self.notes = tuple(notes)


def held(motion: Motion, frames: int) -> Motion:
    """The motion, held at its last frame until it has so many."""
    lack = max(0, frames - len(motion))
    directions, way = (torch.cat([x, x[-1:].expand(lack, *x.shape[1:])]) for x in (motion.directions, motion.way))
    return replace(motion, directions=directions, way=way)
