"""From the joints of a motion-capture rig to the fifteen of `body.JOINTS`, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from unweave.body import JOINTS
from unweave.errors import UserError

Array = NDArray[np.float64]

# What rigs call a joint, in the order in which it is looked for; S stands for right, r, left, l. Letters and digits alone count.
NAMES = {
    "nose": ("nose", "head", "head1", "upperneck", "skull", "neck1", "neck"),
    "S shoulder": ("Sarm", "Supperarm", "upperarmS", "Suparm", "armS", "Sshldr", "Shumerus", "Sshoulder", "shoulderS"),
    "S elbow": ("Sforearm", "Slowerarm", "Slowarm", "lowerarmS", "forearmS", "Selbow", "elbowS", "Sradius"),
    "S wrist": ("Shand", "handS", "Swrist", "wristS"),
    "S hip": ("Supleg", "Supperleg", "upperlegS", "Sthigh", "thighS", "Ship", "hipS", "Sfemur", "uplegS"),
    "S knee": ("Sleg", "Slowerleg", "Slowleg", "lowerlegS", "Sshin", "shinS", "Scalf", "calfS", "Sknee", "kneeS", "Stibia", "legS"),
    "S ankle": ("Sfoot", "footS", "Sankle", "ankleS"),
}


def plain(name: str) -> str:
    """A joint's name without what packages put before it and without signs: mixamorig:RightUpLeg, Bip01 R Thigh."""
    return re.sub(r"^(mixamorig\d*|bip\d+|joint|def|bone)(?=[a-z])", "", re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].lower()))


def fifteen(joints: Mapping[str, Array], where: str) -> Array:
    """Joints of a rig by name, each (T, 3), -> (T, 15, 3). The neck is the middle of the shoulders, as in OpenPose, the root of the hips.

    where: the file, for the error. Raises UserError, naming what was looked for, when a joint cannot be found."""
    known = {plain(name): at for name, at in reversed(list(joints.items()))}
    found: dict[str, Array] = {}
    for joint in JOINTS:
        side = joint.split()[0] if " " in joint else ""
        if joint in ("neck", "hips"):
            continue
        patterns = NAMES[joint.replace(side, "S")] if side else NAMES[joint]
        names = [p.replace("S", s) for p in patterns for s in ((side, side[0]) if side else ("",))]
        name = next((name for name in names if name in known), None)
        if name is None:
            raise UserError(
                f"{where} has no joint that could be the {joint}: looked for {', '.join(dict.fromkeys(names))} among "
                f"{', '.join(joints)}; rename it in the file."
            )
        found[joint] = known[name]
    found["neck"] = (found["right shoulder"] + found["left shoulder"]) / 2
    found["hips"] = (found["right hip"] + found["left hip"]) / 2
    return upright(np.stack([found[joint] for joint in JOINTS], 1))


def upright(joints: Array) -> Array:
    """With y up: a rig whose head is above its feet along z is turned. (T, 15, 3)"""
    rise = np.abs((joints[:, 0] - (joints[:, 11] + joints[:, 14]) / 2).mean(0))
    return np.stack([joints[..., 0], joints[..., 2], -joints[..., 1]], -1) if rise[2] > max(rise[0], rise[1]) else joints


def about(axes: str, degrees: Array) -> Array:
    """Rotations about these axes, the first outermost: "ZXY" and (..., 3) degrees -> (..., 3, 3), Rz Rx Ry."""
    whole = np.broadcast_to(np.eye(3), (*degrees.shape[:-1], 3, 3))
    for i, axis in enumerate(axes):
        angle = np.deg2rad(degrees[..., i])
        turn = np.zeros((*angle.shape, 3, 3))
        a, b, c = {"X": (0, 1, 2), "Y": (1, 2, 0), "Z": (2, 0, 1)}[axis]
        turn[..., a, a] = 1
        turn[..., b, b] = turn[..., c, c] = np.cos(angle)
        turn[..., c, b], turn[..., b, c] = np.sin(angle), -np.sin(angle)
        whole = whole @ turn
    return whole
