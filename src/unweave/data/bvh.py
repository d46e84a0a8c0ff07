"""BVH files: a hierarchy of joints and their channels, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unweave.body import Clip
from unweave.data.rigs import about, fifteen
from unweave.errors import UserError

Array = NDArray[np.float64]


@dataclass
class _Joint:
    name: str
    parent: int
    offset: Array = field(default_factory=lambda: np.zeros(3))
    channels: tuple[str, ...] = ()


def read(path: str | Path) -> Clip:
    """A BVH file as a clip in space, in the file's units. Any hierarchy, order of rotations and frame rate; position channels take the
    place of a joint's OFFSET. Raises UserError for a file that is cut short, has no frames, numbers that are none, or lacks a joint."""
    path = Path(path)
    try:
        words = path.read_text(errors="replace").split()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    if not words or words[0].upper() != "HIERARCHY":
        raise UserError(f"{path} is no BVH file: it does not begin with HIERARCHY.")
    try:
        joints, at = _hierarchy(words)
        if words[at].upper() != "MOTION" or words[at + 1] != "Frames:" or words[at + 3 : at + 5] != ["Frame", "Time:"]:
            raise ValueError
        frames, seconds = int(words[at + 2]), float(words[at + 5])
    except (ValueError, IndexError) as error:
        raise UserError(f"{path} is damaged or cut short: its hierarchy does not end in MOTION, Frames and Frame Time.") from error
    if not 0.0001 < seconds < 10:
        raise UserError(f"{path} has a frame time of {seconds} seconds: write how long a frame takes, such as 0.033333.")
    width = sum(len(joint.channels) for joint in joints)
    numbers = words[at + 6 :]
    if frames < 1 or not numbers:
        raise UserError(f"{path} has no frames.")
    if len(numbers) != frames * width:
        raise UserError(
            f"{path} is cut short: {frames} frames of {width} channels are {frames * width} numbers, and it has {len(numbers)}."
        )
    try:
        values = np.array(numbers, dtype=np.float64).reshape(frames, width)
    except ValueError as error:
        raise UserError(f"{path} is damaged: among its frames stands something that is no number.") from error
    if not np.isfinite(values).all():
        raise UserError(
            f"{path} has frames with numbers that are none (NaN or infinite), the first is frame {np.where(~np.isfinite(values))[0][0]}."
        )
    return Clip(torch.from_numpy(fifteen(_positions(joints, values), str(path)).astype(np.float32)), 1 / seconds, path.stem)


def _hierarchy(words: list[str]) -> tuple[list[_Joint], int]:
    """The joints in order of their channels, and where the words after them begin. End sites are skipped. Raises ValueError, IndexError."""
    joints: list[_Joint] = []
    open_: list[int] = []  # the joints that we are inside of; -1 for an end site
    at, last = 1, -1
    while True:
        word = words[at].upper()
        if word in ("ROOT", "JOINT"):
            end = words.index("{", at)
            joints.append(_Joint(" ".join(words[at + 1 : end]), next((i for i in reversed(open_) if i >= 0), -1)))
            last, at = len(joints) - 1, end
        elif word == "END":
            last, at = -1, at + 2
        elif word == "{":
            open_.append(last)
            at += 1
        elif word == "}":
            open_.pop()
            at += 1
        elif word == "OFFSET":
            if open_[-1] >= 0:
                joints[open_[-1]].offset = np.array([float(x) for x in words[at + 1 : at + 4]])
            at += 4
        elif word == "CHANNELS":
            count = int(words[at + 1])
            joints[open_[-1]].channels = tuple(word.lower() for word in words[at + 2 : at + 2 + count])
            if not all(c[0] in "xyz" and c[1:] in ("position", "rotation") for c in joints[open_[-1]].channels):
                raise ValueError
            at += 2 + count
        elif word == "MOTION" and not open_ and joints:
            return joints, at
        else:
            raise ValueError


def _positions(joints: list[_Joint], values: Array) -> dict[str, Array]:
    """Forward kinematics: where each joint is, (T, 3) by name."""
    turns: list[Array] = []
    places: list[Array] = []
    column = 0
    for joint in joints:
        here = values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        offset = np.repeat(joint.offset[None], len(values), 0)
        for i, channel in enumerate(joint.channels):
            if channel.endswith("position"):
                offset[:, "xyz".index(channel[0])] = here[:, i]
        spins = [i for i, channel in enumerate(joint.channels) if channel.endswith("rotation")]
        turn = about("".join(joint.channels[i][0].upper() for i in spins), here[:, spins])
        if joint.parent < 0:
            places.append(offset)
            turns.append(turn)
        else:
            places.append(places[joint.parent] + (turns[joint.parent] @ offset[..., None])[..., 0])
            turns.append(turns[joint.parent] @ turn)
    return {joint.name: place for joint, place in reversed(list(zip(joints, places)))}
