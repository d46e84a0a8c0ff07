"""Motions, bodies and cameras, recombined at will: the full grid of clips x_ijk that retargeting learns from, with exact truth.

    motion                       procedural motions (`motion_kinds`) of random bodies
    Motions("mocap/")            a folder of BVH and AMC files, put on random bodies, beside procedural ones

A motion is kept as the direction of each limb in each frame and the way of the hips in leg lengths. Put on other limbs it is a sum along
the body; seen from a camera, a turn about the vertical: grids are made on tensors, a batch in one go, and no clip is ever stored twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unweave.body import FEET, FPS, LIMBS, PARENTS, ROOT, Clip, limbs, project
from unweave.data import cache
from unweave.data.dataset import Dataset, Indices
from unweave.data.motion_kinds import KINDS, UNSEEN, WILD, angles
from unweave.errors import UserError
from unweave.method import Need, clip_grids

VERSION = 2  # of the motions: raise it whenever a clip changes
LONG = 128  # frames of a procedural motion
VIEWS = (-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0)  # degrees
SOFT = 0.005  # leg lengths: of two feet whose heights differ by less, both carry
SPREAD = 7.0  # degrees to either side of these that a camera in training stands off
COUNTS = {"train": 200000, "val": 200, "test": 1000}  # grids
MOTIONS = {"train": 220, "val": 10, "test": 20}  # of each kind that the split shows
WILDER = 5  # times as many of the wild phrases
BODIES = {"train": 4000, "val": 40, "test": 20}
# Limbs of a body 1 tall; those of both sides are alike.
PARTS = {"head": 0.135, "spine": 0.31, "shoulder": 0.105, "upper arm": 0.165, "forearm": 0.145, "hip": 0.058, "thigh": 0.29, "shin": 0.265}
OF_LIMB = (0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 7, 5, 6, 7)  # the part that each of `body.LIMBS` is
# How random bodies differ: the parts that go together, and by what power of e at most.
TOGETHER = {
    "size": (tuple(PARTS), 0.3),
    "legs": (("thigh", "shin"), 0.25),
    "torso": (("head", "spine"), 0.2),
    "arms": (("upper arm", "forearm"), 0.35),
    "width": (("shoulder", "hip"), 0.4),
}
ALONE = 0.1  # and each part by itself
NAMED: dict[str, dict[str, float]] = {  # bodies that every test shows, as shares of what `TOGETHER` allows
    "tall": {"size": 1.0, "legs": 0.7},
    "small": {"size": -1.0, "legs": -0.3},
    "stocky": {"width": 1.0, "legs": -0.8},
    "long-armed": {"arms": 1.0},
}


@dataclass
class Motion:
    """One motion without a body.

    directions: (T, 14, 3) unit vectors, one for each of `body.LIMBS`. way: (T, 3), the middle of the hips in leg lengths, y up from the
    ground. body: (14,), the limbs of whom it was taken from, if of anyone, in heights. name: what it is called."""

    directions: Tensor
    way: Tensor
    body: Tensor | None = None
    name: str = ""

    def __len__(self) -> int:
        return len(self.way)


# -- bodies --------------------------------------------------------------------------------------------------------------------


def legs(body: Tensor) -> Tensor:
    """Length of a leg, thigh and shin. (..., 14) -> (...)"""
    return (body[..., 9] + body[..., 10] + body[..., 12] + body[..., 13]) / 2


def tallness(body: Tensor) -> Tensor:
    """Head, spine, thigh and shin: what `body.height` measures. (..., 14) -> (...)"""
    return body[..., 0] + body[..., 1] + legs(body)


def bodies(count: int, rng: np.random.Generator, named: bool = False) -> Tensor:
    """Limb lengths of random bodies, (count, 14), 1 tall on average. named: the first ones are those of `NAMED`."""
    logs = rng.uniform(-ALONE, ALONE, (count, len(PARTS)))
    for group, (members, most) in TOGETHER.items():
        shares = rng.uniform(-1, 1, count)
        for row, shape in enumerate(NAMED.values() if named else ()):
            shares[row : row + 1] = shape.get(group, 0.0)
        logs[:, [list(PARTS).index(part) for part in members]] += most * shares[:, None]
    lengths = np.array(list(PARTS.values())) * np.exp(logs)
    return torch.from_numpy(lengths[:, list(OF_LIMB)].astype(np.float32))


def average() -> Tensor:
    """Limb lengths of the body in the middle, (14,)."""
    return torch.tensor([list(PARTS.values())[part] for part in OF_LIMB])


def _tree() -> Tensor:
    """(15, 14): 1 where a limb lies on the way from the hips to a joint."""
    tree = torch.zeros(len(PARENTS), len(LIMBS))
    for joint in range(len(PARENTS)):
        at = joint
        while at != ROOT:
            tree[joint, [outer for outer, _ in LIMBS].index(at)] = 1
            at = PARENTS[at]
    return tree


TREE = _tree()


def stand(directions: Tensor, way: Tensor, body: Tensor) -> Tensor:
    """A motion on a body: (..., T, 14, 3), (..., T, 3), (..., 14) -> joints (..., T, 15, 3). The way grows with the legs."""
    return TREE @ (directions * body[..., None, :, None]) + (way * legs(body)[..., None, None])[..., None, :]


def stripped(clip: Clip) -> Motion:
    """The inverse: a clip in space as a motion at 30 frames a second, and the body it is taken from. The lowest foot is the ground."""
    joints = clip.at(FPS).joints
    found = limbs(joints)
    lengths = torch.linalg.vector_norm(found, dim=-1)
    body = lengths.mean(0)
    right, left = [2, 3, 4, 8, 9, 10], [5, 6, 7, 11, 12, 13]
    body[right + left] = ((body[right] + body[left]) / 2).repeat(2)
    start = torch.stack([joints[0, ROOT, 0], joints[:, list(FEET), 1].min(), joints[0, ROOT, 2]])
    return Motion(found / lengths[..., None].clamp_min(1e-9), (joints[:, ROOT] - start) / legs(body), body / tallness(body), clip.name)


# -- motions by formula --------------------------------------------------------------------------------------------------------


def _about(axis: int, angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) about x (0), y (1) or z (2)."""
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = {
        0: (one, zero, zero, zero, c, -s, zero, s, c),
        1: (c, zero, s, zero, one, zero, -s, zero, c),
        2: (c, -s, zero, s, c, zero, zero, zero, one),
    }[axis]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


# Limbs that no angle moves, as they point in the body's own axes: right hip, right shoulder, spine, neck to nose.
RIG = ((-1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.9, 0.436))
# Captures differ in where they put these joints: at most so far from RIG.
RIGS_DIFFER = ((0.0, 0.45, 0.3), (0.0, 0.4, 0.3), (0.0, 0.0, 0.15), (0.0, 0.0, 0.6))


def rigs(count: int, generator: torch.Generator) -> Tensor:
    """Random rigs, (count, 4, 3), as `RIG`."""
    off = (2 * torch.rand(count, len(RIG), 3, generator=generator) - 1) * torch.tensor(RIGS_DIFFER)
    return F.normalize(torch.tensor(RIG) + off, dim=-1)


def pose(a: dict[str, Tensor], rig: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Forward kinematics: angle channels (N, T) -> directions of the limbs (N, T, 14, 3) and the way of the hips (N, T, 3) in leg lengths.

    rig: (N, 4, 3), where the limbs of `RIG` point instead.

    The body stands on its lower foot: the hips move so that this one rests, except while they are thrown (`air`)."""
    pelvis = _about(1, a["yaw"]) @ _about(0, a["pitch"]) @ _about(2, a["roll"])
    chest = pelvis @ _about(1, a["twist"]) @ _about(0, a["bend"]) @ _about(2, a["side"])
    head = chest @ _about(1, a["shake"]) @ _about(0, a["nod"])
    rig = torch.tensor(RIG).expand(len(chest), -1, -1) if rig is None else rig
    hip, shoulder, up, face = rig[:, :, None, :, None].unbind(1)  # (N, 1, 3, 1) each
    down, mirror = torch.tensor([0.0, -1, 0]), torch.tensor([-1.0, 1, 1])[:, None]
    found: dict[int, Tensor] = {0: (head @ face)[..., 0], 1: (chest @ up)[..., 0]}
    for side, sign, first in (("r", 1.0, 0), ("l", -1.0, 3)):
        arm = chest @ _about(2, -sign * a[f"{side}_arm_out"]) @ _about(0, -a[f"{side}_arm"]) @ _about(1, sign * a[f"{side}_arm_turn"])
        leg = pelvis @ _about(2, -sign * a[f"{side}_leg_out"]) @ _about(0, -a[f"{side}_leg"]) @ _about(1, sign * a[f"{side}_leg_turn"])
        here = mirror if sign < 0 else torch.ones(3, 1)
        found |= {
            2 + first: (chest @ (here * shoulder))[..., 0],
            3 + first: arm @ down,
            4 + first: arm @ _about(0, -a[f"{side}_elbow"]) @ down,
        }
        found |= {8 + first: (pelvis @ (here * hip))[..., 0], 9 + first: leg @ down, 10 + first: leg @ _about(0, a[f"{side}_knee"]) @ down}
    directions = torch.stack([found[i] for i in range(len(LIMBS))], 2)

    body = average()
    feet = stand(directions, torch.zeros(*directions.shape[:2], 3), body)[:, :, list(FEET)] / legs(body)  # (N, T, 2, 3), from the hips
    low = feet[..., 1].amin(2)
    rests = (-(feet[..., 1] - low[..., None]) / SOFT).softmax(2)
    moves = torch.diff(feet, dim=1)[..., [0, 2]]
    step = -(moves * (rests[:, 1:, :, None] + rests[:, :-1, :, None]) / 2).sum(2)  # (N, T - 1, 2), on the ground
    ahead = torch.stack([a["yaw"].sin(), a["yaw"].cos()], -1)[:, 1:] * a["drift"][:, 1:, None] / FPS
    thrown = ((a["air"][:, 1:] - 0.02) / 0.02).clamp(0, 1)[..., None]
    step = step + thrown * (ahead - step)
    step = F.avg_pool1d(F.pad(step.transpose(1, 2), (1, 1), mode="replicate"), 3, 1).transpose(1, 2)
    ground = F.pad(step.cumsum(1), (0, 0, 1, 0))
    return directions, torch.stack([ground[..., 0], a["air"] - low, ground[..., 1]], -1)


def procedural(split: str, seed: int, frames: int, each: int | None = None) -> list[Motion]:
    """The motions of a split: `each` of every kind. Test shows the kinds that training never does, and others of the rest.

    Training has random rigs, and `WILDER` times as many phrases that are wilder than any kind: poses that no kind of its own has."""
    made = []
    for i, kind in enumerate((*KINDS, WILD)):
        if (kind in UNSEEN and split != "test") or (kind == WILD and split != "train"):
            continue
        number = np.random.SeedSequence([seed, ("train", "val", "test").index(split), i]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(number))
        count = (each or MOTIONS[split]) * (WILDER if kind == WILD else 1)
        channels = angles(kind, count, frames, generator)
        directions, way = pose(channels, rigs(count, generator) if split == "train" else None)
        made += [Motion(d, w, name=kind) for d, w in zip(directions, way)]
    return made


# -- the set -------------------------------------------------------------------------------------------------------------------


class Clips:
    """Every motion on every body from every angle, for training's grids and for evaluation.

    motions: those of the split. bodies: (B, 14). A motion is shown in windows of `size` frames: starts (W,), where they begin, and owners
    (W,), whose they are; names are the motions'. Raises UserError unless two motions are long enough."""

    def __init__(self, motions: list[Motion], bodies: Tensor, size: int):
        motions = [motion for motion in motions if len(motion) >= size]
        if len(motions) < 2:
            raise UserError(
                f"two motions of {size} frames at {FPS:.0f} a second are the least that can be recombined; there are {len(motions)}."
            )
        self.bodies, self.size, self.names = bodies, size, [motion.name for motion in motions]
        self.directions, self.way = torch.cat([m.directions for m in motions]), torch.cat([m.way for m in motions])
        lengths = np.array([len(motion) for motion in motions])
        firsts = np.concatenate([[0], lengths.cumsum()[:-1]])
        windows = [first + np.arange(0, length - size + 1, max(1, size // 4)) for first, length in zip(firsts, lengths)]
        self.owners = np.repeat(np.arange(len(motions)), [len(w) for w in windows])
        self.starts = torch.from_numpy(np.concatenate(windows))
        d = self.directions
        across = (d[:, 5] - d[:, 2] + d[:, 11] - d[:, 8])[self.starts[:, None] + torch.arange(size)]  # from right to left, (W, T, 3)
        ahead = F.normalize(torch.stack([-across[..., 2], across[..., 0]], -1), dim=-1).mean(1)
        self.facing = torch.rad2deg(torch.atan2(ahead[:, 0], ahead[:, 1]))  # of each window

    def clips(self, windows: Tensor, bodies: Tensor, degrees: Tensor) -> Tensor:
        """Windows, bodies and angles, tensors that broadcast to (...), -> clips (..., T, 15, 2). Angles are from the window's own front."""
        frames = self.starts[windows][..., None] + torch.arange(self.size)
        return project(stand(self.directions[frames], self.way[frames], self.bodies[bodies]), degrees - self.facing[windows])


class MotionSet(Dataset):
    """`grid`: (N, 2, 2, 2, T, 15, 2), motion i on body j seen from view k, in heights of an average body; `degrees`: (N, 2), where the two
    cameras stand. `truth`: any clip of the split, `Clips`."""

    unit = "frames"

    def __init__(self, motions: list[Motion], spec: str, source: Any, *, size: int, split: str, seed: int, n: int | None):
        self.spec, self.source, self.split, self.size, self.seed = spec, source, split, size, seed
        n = COUNTS[split] if n is None else n
        self.key = "motion-" + cache.key(spec=spec, split=split, size=size, seed=seed, n=n, version=VERSION)
        self.offers = {"grid": clip_grids(size), "degrees": Need("degrees", (2,))}
        self.lengths = {"grid": n, "degrees": n}
        self.streams = {"grid": ("grid", "degrees")}
        rng = np.random.default_rng([seed, ("train", "val", "test").index(split), 1])
        self.truth: Clips = Clips(motions, bodies(BODIES[split], rng, named=split == "test"), size)
        self._windows = two(rng, n, len(self.truth.starts), self.truth.owners)
        self._bodies = two(rng, n, BODIES[split])
        view = two(rng, n, len(VIEWS))
        off = rng.uniform(-SPREAD, SPREAD, (n, 2)) if split == "train" else np.zeros((n, 2))
        self._degrees = (np.array(VIEWS)[view] + off).astype(np.float32)

    def take(self, name: str, indices: Indices) -> Tensor:
        at = np.asarray(indices, dtype=np.int64)
        degrees = torch.from_numpy(self._degrees[at])
        if name == "degrees":
            return degrees
        windows, people = torch.from_numpy(self._windows[at]), torch.from_numpy(self._bodies[at])
        return self.truth.clips(windows[:, :, None, None], people[:, None, :, None], degrees[:, None, None, :])


def two(rng: np.random.Generator, count: int, choices: int, owners: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Two different ones of `choices`, (count, 2); with owners (choices,), of two owners."""
    first = rng.integers(0, choices, count)
    second = (first + rng.integers(1, choices, count)) % choices
    while owners is not None and (same := owners[first] == owners[second]).any():
        second[same] = rng.integers(0, choices, same.sum())
    return np.stack([first, second], 1)


class Procedural(MotionSet):
    """`motion`: procedural motions. The test split has kinds, parameters and bodies that the others never show."""

    def __init__(self, parts: tuple[str, ...] = (), *, size: int = 64, split: str = "train", seed: int = 0, n: int | None = None):
        if parts:
            raise UserError(f'motion has no part "{parts[0]}": write motion.')
        super().__init__(procedural(split, seed, max(LONG, 2 * size)), "motion", "motion", size=size, split=split, seed=seed, n=n)
