"""The body that clips show: fifteen joints, the limbs between them, and what can be measured on them.

A clip is (T, 15, 2) or in space (T, 15, 3): frames, joints, and x to the right, y up, z towards whoever looks. The joints are the first
fifteen of OpenPose's BODY_25. Units are the file's own, until a clip is divided by its `height`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

JOINTS = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "hips", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
)  # fmt: skip
PARENTS = (1, 8, 1, 2, 3, 1, 5, 6, -1, 8, 9, 10, 8, 12, 13)  # of each joint; the middle of the hips is the root
ROOT = JOINTS.index("hips")
FEET = (JOINTS.index("right ankle"), JOINTS.index("left ankle"))
LIMBS = tuple((joint, parent) for joint, parent in enumerate(PARENTS) if parent >= 0)  # (joint, its parent), 14 of them
OTHERS = tuple(joint for joint, _ in LIMBS)  # all joints but the root
TALL = ((0,), (1,), (10, 13), (11, 14))  # the joints whose limbs add up to a body's height: head, spine, thighs, shins
FPS = 30.0  # frames a second of what models read
RESTS = 0.1  # heights a second: a foot that moves less through the picture stands; at twice as much it is on its way
REACH = 0.05  # heights: the most that an ankle is moved to keep it where it stands
LETS_GO = 0.2  # share of that which a foot on its way loses in a frame


@dataclass(frozen=True)
class Clip:
    """A motion as a file has it. joints: (T, 15, 2), or in space (T, 15, 3), y up. fps: frames a second. name: of its file.

    notes: what was done to read it (gaps filled, a person chosen)."""

    joints: Tensor
    fps: float = FPS
    name: str = ""
    notes: tuple[str, ...] = ()

    def at(self, fps: float) -> Clip:
        """The same motion with another number of frames a second, by straight lines between frames."""
        frames = len(self.joints)
        wanted = max(1, round((frames - 1) * fps / self.fps) + 1)
        if wanted == frames:
            return replace(self, fps=fps)
        flat = self.joints.reshape(1, frames, -1).transpose(1, 2)
        made = F.interpolate(flat, wanted, mode="linear", align_corners=True) if frames > 1 else flat.expand(-1, -1, wanted)
        return replace(self, joints=made.transpose(1, 2).reshape(wanted, *self.joints.shape[1:]), fps=fps)

    def seen_from(self, degrees: float) -> Clip:
        """A clip in space as a camera far away sees it (orthographic): 0 is the front, 90 shows it looking to the right of the picture."""
        return replace(self, joints=project(self.joints, torch.tensor(degrees) - facing(self.joints)))


def limbs(joints: Tensor) -> Tensor:
    """Each limb as the way from its inner to its outer joint, (..., 15, D) -> (..., 14, D)."""
    outer, inner = zip(*LIMBS)
    return joints[..., outer, :] - joints[..., inner, :]


def height(joints: Tensor, share: float = 0.95) -> Tensor:
    """How tall the body is, in the clip's units: head + spine + thigh + shin, (..., T, 15, D) -> (...).

    Of a flat clip each limb is taken as long as in its longest frames but 5 %: seen from the side, or bent towards the camera, it looks
    shorter than it is, never longer."""
    lengths = torch.linalg.vector_norm(limbs(joints), dim=-1).quantile(share, dim=-2)  # (..., 14)
    where = {joint: i for i, (joint, _) in enumerate(LIMBS)}
    return torch.stack([lengths[..., [where[j] for j in part]].mean(-1) for part in TALL], -1).sum(-1)


def centred(joints: Tensor) -> Tensor:
    """Moved so that the middle of the hips starts at the origin. (..., T, 15, D)"""
    return joints - joints[..., :1, ROOT : ROOT + 1, :]


def planted(joints: Tensor, like: Tensor) -> Tensor:
    """The clip (N, T, 15, 2) with its feet held where those of another clip of the same motion, (N or 1, T, 15, 2), stand.

    A foot stands while it moves less than RESTS through the picture of `like`. Velocities of hips and of limbs that are off by little make
    standing feet float. So the path of the hips is corrected until the foot that stands, or the mean of two, does not move; what one of
    two still moves, its ankle takes back by up to REACH and the knee by half, and lets go of on the next step. Both clips have FPS frames
    a second. Contacts and their repair: Kovar, Schreiner, Gleicher, Footskate Cleanup for Motion Capture Editing, 2002.
    """
    feet, knees = list(FEET), [PARENTS[foot] for foot in FEET]
    tall = height(like)[:, None, None]
    speed = torch.linalg.vector_norm(like[:, :, feet].diff(dim=1), dim=-1) * FPS / tall
    stands = (2 - speed / RESTS).clamp(0, 1)[..., None].expand(len(joints), -1, -1, 1)  # (N, T - 1, 2, 1)
    drift = (stands * joints[:, :, feet].diff(dim=1)).sum(2) / stands.sum(2).clamp_min(1e-6) * stands.amax(2)
    made = joints - F.pad(drift.cumsum(1), (0, 0, 1, 0))[:, :, None]
    reach = REACH * height(joints)[:, None, None]
    back = [torch.zeros_like(made[:, 0, feet])]
    for moved, firm in zip(made[:, :, feet].diff(dim=1).unbind(1), stands.unbind(1), strict=True):
        held = (back[-1] - firm * moved) * (1 - LETS_GO * (1 - firm))
        back.append(held * (reach / torch.linalg.vector_norm(held, dim=-1, keepdim=True).clamp_min(1e-9)).clamp(max=1))
    made[:, :, feet] += torch.stack(back, 1)
    made[:, :, knees] += torch.stack(back, 1) / 2
    return made


def front(joints: Tensor) -> Tensor:
    """Where the body faces, from above: normal of shoulders and hips in each frame, (..., T, 15, 3) -> (..., T, 2), x and z."""
    right_to_left = (joints[..., 5, :] - joints[..., 2, :]) + (joints[..., 12, :] - joints[..., 9, :])
    return F.normalize(torch.stack([-right_to_left[..., 2], right_to_left[..., 0]], -1), dim=-1)  # the left is at x, the front at z


def facing(joints: Tensor) -> Tensor:
    """The mean direction in which a body in space faces, degrees from z towards x: (..., T, 15, 3) -> (...)."""
    mean = front(joints).mean(-2)
    return torch.rad2deg(torch.atan2(mean[..., 0], mean[..., 1]))


def project(joints: Tensor, degrees: Tensor) -> Tensor:
    """Turn bodies about the vertical by `degrees` and drop the depth: (..., T, 15, 3) and (...) -> (..., T, 15, 2)."""
    angle = torch.deg2rad(degrees)[..., None, None].to(joints)
    x, y, z = joints.unbind(-1)
    return torch.stack(torch.broadcast_tensors(x * angle.cos() + z * angle.sin(), y), -1)
