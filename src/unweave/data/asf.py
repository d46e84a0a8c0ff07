"""Acclaim files: a skeleton (ASF) and the motion of its bones (AMC)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unweave.body import Clip
from unweave.data.rigs import about, fifteen
from unweave.errors import UserError

Array = NDArray[np.float64]
FPS = 120.0  # an AMC file does not say; CMU's are so
# Where a bone ends is a joint: what those of the usual skeleton are called there.
ENDS = {
    "upperneck": "head", "Sclavicle": "Sshoulder", "Shumerus": "Selbow", "Sradius": "Swrist", "Shipjoint": "Ship", "Sfemur": "Sknee",
    "Stibia": "Sankle",
}  # fmt: skip


@dataclass
class _Bone:
    reach: Array  # direction * length, in the file's units
    frame: Array  # (3, 3), the axes in which its angles are given
    dof: tuple[str, ...]
    parent: str = "root"


def skeleton_of(path: Path) -> Path:
    """The ASF file beside an AMC file: the one of its first name (01_02.amc: 01.asf), or the only one there."""
    beside = sorted(p for p in path.parent.glob("*") if p.suffix.lower() == ".asf")
    named = [p for p in beside if path.stem == p.stem or path.stem.startswith(f"{p.stem}_")]
    if named or len(beside) == 1:
        return (named or beside)[0]
    raise UserError(f"{path} needs its skeleton, an .asf file in the same folder, and there {'are several' if beside else 'is none'}.")


def read(path: str | Path, fps: float = FPS) -> Clip:
    """An AMC file, with the ASF file beside it, as a clip in space, in the file's units. Raises UserError for what is damaged."""
    path = Path(path)
    asf = skeleton_of(path)
    try:
        root, bones, degrees = _skeleton(asf.read_text(errors="replace"))
    except OSError as error:
        raise UserError(f"{asf} cannot be read ({error.strerror}).") from error
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(f"{asf} is damaged or no ASF file: it needs :root, :bonedata and :hierarchy.") from error
    motion = _motion(path, {"root": root, **{name: bone.dof for name, bone in bones.items()}})
    factor = 1.0 if degrees else 180 / np.pi
    turns = {"root": _turn(root, motion["root"] * factor)}
    places = {"root": motion["root"][:, [root.index(axis) for axis in ("tx", "ty", "tz")]]}
    for name, bone in bones.items():  # parents come first
        local = _turn(bone.dof, motion[name] * factor) if bone.dof else np.eye(3)[None]
        turns[name] = turns[bone.parent] @ (bone.frame @ local @ bone.frame.T)
        places[name] = places[bone.parent] + turns[name] @ bone.reach
    pairs = [(name.replace("S", side), end.replace("S", side)) for name, end in ENDS.items() for side in "lr"]
    joints = {end: places[name] for name, end in pairs if name in places}
    return Clip(torch.from_numpy(fifteen(joints if len(joints) == 13 else places, str(path)).astype(np.float32)), fps, path.stem)


def _turn(dof: tuple[str, ...], angles: Array) -> Array:
    """Rotations (T, 3, 3): the first degree of freedom is applied first, so it stands innermost."""
    spins = [i for i, name in enumerate(dof) if name.startswith("r")]
    return about("".join(dof[i][1].upper() for i in reversed(spins)), angles[:, spins[::-1]])


def _skeleton(text: str) -> tuple[tuple[str, ...], dict[str, _Bone], bool]:
    """The root's channels, the bones with parents first, and whether angles are degrees."""
    parts = {part.split(None, 1)[0].lower(): part for part in re.split(r"^:", re.sub(r"#.*", "", text), flags=re.M) if part.strip()}
    order = re.search(r"order\s+([^\n]+)", parts["root"])
    if order is None:
        raise ValueError
    degrees = "rad" not in (re.search(r"angle\s+(\w+)", parts.get("units", "")) or ["", "deg"])[1]
    bones: dict[str, _Bone] = {}
    for block in re.findall(r"begin(.*?)end", parts["bonedata"], flags=re.S):
        found = {words[0]: words[1:] for line in block.splitlines() if (words := line.split())}
        direction, axis = np.array(found["direction"][:3], float), found["axis"]
        turned = np.array(axis[:3], float) * (1 if degrees else 180 / np.pi)
        letters = axis[3].upper() if len(axis) > 3 else "XYZ"
        frame = about(letters[::-1], turned[["XYZ".index(letter) for letter in letters[::-1]]])
        bones[found["name"][0]] = _Bone(direction * float(found["length"][0]), frame, tuple(word.lower() for word in found.get("dof", [])))
    ordered: dict[str, _Bone] = {}
    for line in re.findall(r"begin(.*?)end", parts["hierarchy"], flags=re.S)[0].splitlines():
        parent, *children = line.split() or [""]
        for child in children:
            bones[child].parent = parent
            ordered[child] = bones[child]
    return tuple(word.lower() for word in order[1].split()), ordered, degrees


def _motion(path: Path, channels: dict[str, tuple[str, ...]]) -> dict[str, Array]:
    """Numbers of each bone, (T, channels)."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    frames: list[dict[str, list[float]]] = []
    for line in lines:
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        if len(words) == 1 and words[0].isdigit():
            frames.append({})
            continue
        try:
            frames[-1][words[0]] = [float(word) for word in words[1:]]
        except (ValueError, IndexError) as error:
            raise UserError(f'{path} is damaged: "{line[:40]}" is no bone with its numbers.') from error
    if not frames:
        raise UserError(f"{path} has no frames.")
    found = {}
    for name, dof in channels.items():
        if not dof:
            continue
        if any(len(frame.get(name, ())) != len(dof) for frame in frames):
            raise UserError(f"{path} is cut short or of another skeleton: not every frame has {len(dof)} numbers for {name}.")
        found[name] = np.array([frame[name] for frame in frames])
        if not np.isfinite(found[name]).all():
            raise UserError(f"{path} has numbers that are none (NaN or infinite) for {name}.")
    return found
