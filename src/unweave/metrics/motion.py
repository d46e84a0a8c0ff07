"""Measures of retargeting: clips against the truth, simple ways to do the job, and what can be read from which code.

A clip is (N, T, 15, 2). Lengths are in heights of the body that the truth shows, clips moved so that the hips start at the origin.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from unweave.body import FEET, LIMBS, OTHERS, ROOT, centred, limbs
from unweave.data.motion import VIEWS, Clips, tallness, two
from unweave.figures import motion_picture, scatter
from unweave.metrics import intervals
from unweave.metrics.intervals import Estimate
from unweave.pictures import Sheet

RESTS = 0.15  # of a height a second: a true foot that moves less through the picture stands
FACTORS = ("motion", "skeleton", "view")


@dataclass
class Trial:
    """Clips to retarget, and what should come of them: (N, T, 15, 2) each. tall: (N,), height of the true bodies. fps: frames a second."""

    motion: Tensor
    skeleton: Tensor
    view: Tensor
    truth: Tensor
    tall: Tensor
    fps: float = 30.0

    def __len__(self) -> int:
        return len(self.truth)


def measure(made: Tensor, trial: Trial) -> dict[str, Estimate]:
    """Figures of retargeted clips, by name; each is a mean over clips.

    `pose_error`: distance of joints from the truth, the hips of each frame laid on one another. `travel_error`: distance of the hips.
    `foot_skate`: speed of the feet while the true ones stand, heights a second, beyond theirs. `bone_error`: how far a limb's length in the
    picture is from the true one, as a share of a height."""
    tall = trial.tall[:, None, None]
    own, true = centred(made), centred(trial.truth)
    hips, goal = own[:, :, ROOT], true[:, :, ROOT]
    others = list(OTHERS)
    pose = torch.linalg.vector_norm((own - hips[:, :, None])[:, :, others] - (true - goal[:, :, None])[:, :, others], dim=-1) / tall
    travel = torch.linalg.vector_norm(hips - goal, dim=-1) / tall[:, 0]
    bones = (torch.linalg.vector_norm(limbs(made), dim=-1) - torch.linalg.vector_norm(limbs(trial.truth), dim=-1)).abs() / tall
    speed, still = (torch.linalg.vector_norm(x[:, :, list(FEET)].diff(dim=1), dim=-1) * trial.fps / tall for x in (own, true))
    stands = (still < RESTS).float()
    skate = ((speed - still).clamp_min(0) * stands).sum((1, 2)) / stands.sum((1, 2)).clamp_min(1)
    return {
        "pose_error": intervals.mean(pose.mean((1, 2)).numpy()),
        "travel_error": intervals.mean(travel.mean(1).numpy()),
        "foot_skate": intervals.mean(skate[stands.sum((1, 2)) > 0].numpy()),
        "bone_error": intervals.mean(bones.mean((1, 2)).numpy()),
    }


def trial(clips: Clips, count: int, same_view: bool = False, seed: int = 0) -> Trial:
    """Test clips and their truth: motion i of one clip, body j of another, view k of a third, which share nothing else with x_ijk.

    same_view: all three are seen from one angle, so that only the body changes."""
    rng = np.random.default_rng(seed)
    windows, people = two(rng, count, len(clips.starts), clips.owners), two(rng, count, len(clips.bodies))
    degrees = np.array(VIEWS, dtype=np.float32)[two(rng, count, len(VIEWS))]
    if same_view:
        degrees[:, 1] = degrees[:, 0]
    w, b, v = (torch.from_numpy(x) for x in (windows, people, degrees))
    third = torch.from_numpy(two(rng, count, len(clips.starts))[:, 0])
    return Trial(
        motion=clips.clips(w[:, 0], b[:, 1], v[:, 1]),
        skeleton=clips.clips(w[:, 1], b[:, 0], v[:, 1]),
        view=clips.clips(third, b[:, 1], v[:, 0]),
        truth=clips.clips(w[:, 0], b[:, 0], v[:, 0]),
        tall=tallness(clips.bodies[b[:, 0]]),
    )


def crossing(clips: Clips, motions: int = 20) -> tuple[Tensor, dict[str, NDArray[np.int64]]]:
    """A whole grid, every one of some motions on every body from every view: clips (N, T, 15, 2) and the number of each factor (N,)."""
    rng = np.random.default_rng(1)
    owners = rng.permutation(len(clips.names))[:motions]
    windows = np.array([rng.choice(np.flatnonzero(clips.owners == owner)) for owner in owners])
    numbers = [x.ravel() for x in np.meshgrid(np.arange(len(windows)), np.arange(len(clips.bodies)), np.arange(len(VIEWS)), indexing="ij")]
    which, people, views = (torch.from_numpy(x) for x in (windows[numbers[0]], numbers[1], np.array(VIEWS, dtype=np.float32)[numbers[2]]))
    made = [clips.clips(which[i : i + 256], people[i : i + 256], views[i : i + 256]) for i in range(0, len(which), 256)]
    return torch.cat(made), dict(zip(FACTORS, numbers))


# -- simple ways to do the job -------------------------------------------------------------------------------------------------


def copied(trial: Trial) -> Tensor:
    """The motion's clip as it is."""
    return trial.motion


def rescaled(trial: Trial) -> Tensor:
    """The motion's clip, as large as the skeleton's: by the ratio of the summed limbs in the picture."""
    return trial.motion * (_lengths(trial.skeleton).sum(-1) / _lengths(trial.motion).sum(-1))[:, None, None, None]


def limb_by_limb(trial: Trial) -> Tensor:
    """Each limb of the motion's clip made longer or shorter by the ratio of that limb's mean lengths in the two pictures.

    The hips travel by the ratio of the legs."""
    ratio = _lengths(trial.skeleton) / _lengths(trial.motion).clamp_min(1e-6)  # (N, 14)
    legs = ratio[:, [9, 10, 12, 13]].mean(1)
    made = centred(trial.motion) * legs[:, None, None, None]
    grown = limbs(trial.motion) * ratio[:, None, :, None]
    where = {outer: i for i, (outer, _) in enumerate(LIMBS)}
    for joint, parent in sorted(LIMBS, key=lambda limb: _depth(limb[0])):
        made[:, :, joint] = made[:, :, parent] + grown[:, :, where[joint]]
    return made


BASELINES = {"copy": copied, "rescaled": rescaled, "limb_by_limb": limb_by_limb}


def _lengths(clips: Tensor) -> Tensor:
    """Mean lengths of limbs in the picture, (N, T, 15, 2) -> (N, 14)."""
    return torch.linalg.vector_norm(limbs(clips), dim=-1).mean(1)


def _depth(joint: int) -> int:
    parents = dict(LIMBS)
    return 0 if joint == ROOT else 1 + _depth(parents[joint])


# -- what can be read from which code ------------------------------------------------------------------------------------------


def readable(codes: Mapping[str, NDArray[np.float32]], labels: Mapping[str, NDArray[np.int64]]) -> dict[tuple[str, str], Estimate]:
    """A 3 x 3 table: how often a linear reader tells a factor from a code, {(factor, code): balanced accuracy}.

    codes: (N, D) each, a moving one averaged over time. labels: the factors, (N,) each. The reader (logistic regression on standardised
    numbers) learns from half of the bodies (to tell motions) or half of the motions (to tell bodies, views), and is asked of the others."""
    found = {}
    for factor in FACTORS:
        other = labels["skeleton" if factor == "motion" else "motion"]
        learn = np.isin(other, np.unique(other)[::2])
        for code, rows in codes.items():
            reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a reader that is still improving has read what it could
                reader.fit(rows[learn], labels[factor][learn])
            right = reader.predict(rows[~learn]) == labels[factor][~learn]
            found[factor, code] = intervals.balanced(right, labels[factor][~learn])
    return found


# -- all of it -----------------------------------------------------------------------------------------------------------------

Put = Callable[[Tensor, Tensor, Tensor], Tensor]  # clips of motion, skeleton and view -> what comes of them
Encode = Callable[[Tensor], Mapping[str, Tensor]]


def evaluate(put: Put, encode: Encode, clips: Clips, count: int) -> dict[str, dict[str, Estimate]]:
    """All figures of a model, under "", and of the baselines under their names."""
    apart, alike = (trial(clips, count, same_view) for same_view in (False, True))
    ways = {"": lambda t: put(t.motion, t.skeleton, t.view), **BASELINES}
    found = {name: measure(way(apart), apart) for name, way in ways.items()}
    for name, way in ways.items():
        found[name]["pose_error_same_view"] = measure(way(alike), alike)["pose_error"]
    table = readable(*_coded(encode, clips))
    found[""] |= {f"{factor}_in_{code}": estimate for (factor, code), estimate in table.items()}
    return found


def _coded(encode: Encode, clips: Clips) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.int64]]]:
    """Codes of a whole grid, moving ones averaged over time, and its factors."""
    grid, labels = crossing(clips)
    parts = [encode(chunk) for chunk in grid.split(200)]
    whole = {name: torch.cat([part[name] for part in parts]).cpu() for name in FACTORS}
    return {name: (code.mean(2) if code.dim() == 3 else code).numpy() for name, code in whole.items()}, labels


def sheets(put: Put, encode: Encode, clips: Clips) -> dict[str, Sheet]:
    """Pictures to look at, by caption: the first clips, the worst of a hundred, and where codes lie."""
    some = trial(clips, 100)
    made = put(some.motion, some.skeleton, some.view)
    gap = (made - made[:, :, ROOT, None]) - (some.truth - some.truth[:, :, ROOT, None])
    worst = torch.linalg.vector_norm(gap, dim=-1).mean((1, 2)).argsort(descending=True)[:8].tolist()
    columns = {"motion of": some.motion, "body of": some.skeleton, "view of": some.view, "retargeted": made, "truth": some.truth}

    def rows(which: Sequence[int]) -> Sheet:
        return Sheet([[motion_picture(of[n]) for of in columns.values()] for n in which], top=list(columns))

    codes, labels = _coded(encode, clips)
    return {
        "Retargeted: the first of the test clips": rows(range(8)),
        "Worst: those farthest from the truth": rows(worst),
        "Clusters: codes (down) along their two main directions, in the colours of each factor (across)": Sheet(
            [[scatter(_plane(code), labels[factor].tolist()) for factor in FACTORS] for code in codes.values()],
            top=[f"by {factor}" for factor in FACTORS],
            left=[f"{name} code" for name in codes],
        ),
    }


def _plane(codes: NDArray[np.float32]) -> Tensor:
    """Codes (N, D) along their two main directions, (N, 2)."""
    x = torch.from_numpy(codes - codes.mean(0)).float()
    _, _, directions = torch.linalg.svd(x, full_matrices=False)
    return x @ directions[:2].T
