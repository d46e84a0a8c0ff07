"""Motions by formula: each kind turns a few random numbers into the joint angles of a clip, all clips of a kind in one go.

An angle channel is (N, T) in radians. Arms and legs swing forward, `out` is away from the middle, elbows and knees close.
`air` is how high the body is thrown, in leg lengths; `drift` its speed forward while it is thrown, in leg lengths a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from unweave.body import FPS

CHANNELS = (
    "yaw", "pitch", "roll", "twist", "bend", "side", "nod", "shake",
    "r_arm", "r_arm_out", "r_arm_turn", "r_elbow", "l_arm", "l_arm_out", "l_arm_turn", "l_elbow",
    "r_leg", "r_leg_out", "r_leg_turn", "r_knee", "l_leg", "l_leg_out", "l_leg_turn", "l_knee", "air", "drift",
)  # fmt: skip


class Angles:
    """Angle channels of N clips of T frames, and the random numbers they are made of. `at` is the time in seconds, (1, T)."""

    def __init__(self, clips: int, frames: int, generator: torch.Generator):
        self.clips, self.frames, self.generator = clips, frames, generator
        self.at = torch.arange(frames)[None] / FPS
        self.values = {name: torch.zeros(clips, frames) for name in CHANNELS}

    def between(self, low: float, high: float) -> Tensor:
        """One random number a clip, (N, 1)."""
        return low + (high - low) * torch.rand(self.clips, 1, generator=self.generator)

    def either(self) -> Tensor:
        """-1 or 1 for each clip, (N, 1)."""
        return torch.randint(0, 2, (self.clips, 1), generator=self.generator) * 2.0 - 1

    def wander(self, size: float, slow: float = 1.0) -> Tensor:
        """Smooth noise, (N, T): three slow waves."""
        waves = [(self.between(0.15, 0.6) * slow * self.at * 2 * math.pi + self.between(0, 6.3)).sin() for _ in range(3)]
        return torch.stack(waves).sum(0) * size / 1.7

    def phase(self, low: float, high: float) -> Tensor:
        """The angle of a cycle that comes `low` to `high` times a second, (N, T), with a tempo that wavers."""
        return 2 * math.pi * (self.between(low, high) * self.at + self.between(0, 1)) + self.wander(0.15)

    def bump(self, cycle: Tensor, sharp: float | Tensor = 1.0) -> Tensor:
        """0 to 1 and back once a cycle."""
        return ((1 - cycle.cos()) / 2) ** sharp

    def add(self, **more: Tensor) -> None:
        for name, value in more.items():
            self.values[name] = self.values[name] + value

    def pair(self, name: str, right: Tensor, left: Tensor) -> None:
        """The same channel of both sides."""
        self.add(**{f"r_{name}": right, f"l_{name}": left})

    def swap(self) -> None:
        """Left for right in half of the clips."""
        other = self.between(0, 1) < 0.5
        for name in [n for n in CHANNELS if n.startswith("r_")]:
            right, left = self.values[name], self.values["l_" + name[2:]]
            self.values[name], self.values["l_" + name[2:]] = torch.where(other, left, right), torch.where(other, right, left)
        for name in ("yaw", "roll", "twist", "side", "shake"):
            self.values[name] = torch.where(other, -self.values[name], self.values[name])


def posture(a: Angles) -> None:
    """How somebody stands and hangs: under every kind."""
    a.pair("arm_out", a.between(0.05, 0.35) + a.wander(0.04), a.between(0.05, 0.35) + a.wander(0.04))
    a.pair("elbow", a.between(0.05, 0.7) + a.wander(0.06), a.between(0.05, 0.7) + a.wander(0.06))
    a.pair("arm", a.between(-0.15, 0.25) + a.wander(0.05), a.between(-0.15, 0.25) + a.wander(0.05))
    wide = a.between(0.0, 0.16)
    a.pair("leg_out", wide, wide)
    knees = a.between(0.02, 0.25)
    a.pair("knee", knees, knees)
    a.pair("leg", knees / 2, knees / 2)
    a.add(
        bend=a.between(-0.06, 0.25) + a.wander(0.03), side=a.wander(0.04), twist=a.wander(0.06), nod=a.between(-0.15, 0.35) + a.wander(0.06)
    )
    a.add(shake=a.wander(0.15), yaw=a.wander(0.06), pitch=a.between(-0.04, 0.1))


def stride(a: Angles, p: Tensor, swing: Tensor, lift: Tensor) -> None:
    """Legs that step in turn, one cycle of `p` for both."""
    for side, phase in (("r", p), ("l", p + math.pi)):
        a.add(**{f"{side}_leg": swing * phase.sin() + lift * 0.35 * a.bump(phase + 0.3), f"{side}_knee": lift * a.bump(phase + 0.9, 2.0)})


def walk(a: Angles) -> None:
    p, swing = a.phase(0.6, 1.2), a.between(0.25, 0.55)
    backward = torch.where(a.between(0, 1) < 0.15, -1.0, 1.0)
    stride(a, p * backward, swing, a.between(0.5, 1.1))
    arms = a.between(0.1, 0.8)
    a.pair("arm", -arms * swing * p.sin() * backward, arms * swing * p.sin() * backward)
    a.add(twist=-0.2 * arms * p.sin(), roll=a.between(0, 0.08) * p.sin(), yaw=a.between(-0.4, 0.4) * a.at)
    a.add(bend=a.between(-0.05, 0.25))


def run(a: Angles) -> None:
    p, swing = a.phase(1.1, 1.7), a.between(0.45, 0.9)
    stride(a, p, swing, a.between(1.0, 2.0))
    arms = a.between(0.3, 1.2)
    a.pair("arm", -arms * p.sin(), arms * p.sin())
    a.pair("elbow", a.between(0.8, 1.9), a.between(0.8, 1.9))
    a.add(bend=a.between(0.0, 0.35), twist=-0.25 * p.sin(), yaw=a.between(-0.3, 0.3) * a.at)
    a.add(air=a.between(0.03, 0.12) * a.bump(2 * p + 1.0), drift=a.between(2.0, 4.0) + 0 * p)


def jump(a: Angles) -> None:
    p = a.phase(0.4, 0.8)
    flight, depth, up = p.sin().clamp_min(0), a.between(0.3, 0.9), a.between(0.15, 0.6)
    ready = (-p.sin()).clamp_min(0) ** 0.7
    a.pair("knee", 2 * depth * ready + a.between(0, 0.8) * flight, 2 * depth * ready + a.between(0, 0.8) * flight)
    a.pair("leg", depth * ready + a.between(0, 0.6) * flight, depth * ready + a.between(0, 0.6) * flight)
    a.pair("arm", a.between(0.5, 2.8) * flight - 0.8 * ready, a.between(0.5, 2.8) * flight - 0.8 * ready)
    a.add(bend=0.8 * depth * ready, air=up * flight, drift=a.between(-0.5, 2.0) + 0 * p, yaw=a.between(-0.5, 0.5) * a.at)


def wave(a: Angles) -> None:
    p, raised = a.phase(0.7, 2.2), a.between(0.5, 2.6)
    a.add(
        r_arm_out=raised,
        r_arm=a.between(-0.2, 0.9),
        r_arm_turn=a.between(-1.2, 1.2),
        r_elbow=a.between(0.2, 1.5) + a.between(0.15, 0.7) * p.sin(),
    )
    a.add(side=a.between(-0.15, 0.15), l_arm_out=a.between(0, 0.4))


def punch(a: Angles) -> None:
    p = a.phase(0.5, 1.4)
    for side, phase in (("r", p), ("l", p + math.pi)):
        hit = a.bump(phase, a.between(1.5, 4.0))
        a.add(**{f"{side}_arm": a.between(0.2, 0.6) + a.between(0.7, 1.3) * hit, f"{side}_elbow": a.between(1.3, 2.0) * (1 - hit)})
        a.add(twist=(1 if side == "r" else -1) * a.between(0.1, 0.6) * hit)
    a.add(r_leg=a.between(-0.4, 0), l_leg=a.between(0, 0.5), l_knee=a.between(0, 0.6), yaw=a.between(-0.6, 0.6))


def squat(a: Angles) -> None:
    p, depth = a.phase(0.25, 0.8), a.between(0.3, 1.2)
    down = depth * a.bump(p)
    a.pair("knee", 1.9 * down, 1.9 * down)
    a.pair("leg", 1.1 * down, 1.1 * down)
    wide = a.between(0, 0.5)
    a.pair("leg_out", wide * down, wide * down)
    arms = a.between(-0.3, 1.4)
    a.pair("arm", arms * down, arms * down)
    a.add(bend=a.between(0.1, 0.7) * down, pitch=a.between(0, 0.3) * down)


def turn(a: Angles) -> None:
    p, swing = a.phase(0.7, 1.3), a.between(0.05, 0.3)
    stride(a, p, swing, a.between(0.4, 1.0))
    a.add(yaw=a.either() * a.between(0.6, 2.2) * a.at, twist=a.between(-0.3, 0.3), side=a.between(-0.1, 0.1))
    a.pair("arm_out", a.between(0, 0.7), a.between(0, 0.7))


def sidestep(a: Angles) -> None:
    p, wide = a.phase(0.5, 1.1), a.between(0.15, 0.45)
    a.pair("leg_out", wide * (1 + p.sin()) / 2, wide * (1 + (p + 0.8).sin()) / 2)
    a.add(r_knee=a.between(0.2, 0.8) * a.bump(p + 2.2, 2.0), l_knee=a.between(0.2, 0.8) * a.bump(p + 2.2 + math.pi, 2.0))
    a.add(side=0.1 * p.sin(), roll=0.05 * p.sin())
    a.pair("arm_out", a.between(0, 0.8) * a.bump(p), a.between(0, 0.8) * a.bump(p))


def reach(a: Angles) -> None:
    p = a.phase(0.2, 0.6)
    out = a.bump(p, a.between(0.6, 2.0))
    a.add(r_arm=a.between(0.3, 2.8) * out, r_arm_out=a.between(-0.4, 1.2) * out, r_elbow=-0.3 * out, twist=a.between(-0.2, 0.7) * out)
    a.add(l_arm=a.between(-0.3, 2.0) * out, side=a.between(-0.3, 0.3) * out, bend=a.between(-0.1, 0.7) * out)
    a.add(r_leg=a.between(-0.3, 0.3), l_leg=a.between(-0.3, 0.3), yaw=a.between(-0.5, 0.5))


def dance(a: Angles) -> None:
    """Phrases: every joint follows smooth noise of its own size and pace, with a beat."""
    beat = a.phase(0.6, 1.4)
    for side in ("r", "l"):
        a.add(**{f"{side}_arm": a.between(-0.2, 1.2) + a.wander(0.9, 1.6), f"{side}_arm_out": a.between(0.1, 1.2) + a.wander(0.6, 1.6)})
        a.add(**{f"{side}_arm_turn": a.wander(0.7, 1.4), f"{side}_elbow": (a.between(0.2, 1.4) + a.wander(0.7, 1.8)).clamp_min(-0.3)})
        a.add(**{f"{side}_leg": a.between(-0.1, 0.3) + a.wander(0.4, 1.6), f"{side}_leg_out": a.wander(0.2, 1.2).abs()})
        a.add(**{f"{side}_leg_turn": a.wander(0.25), f"{side}_knee": a.wander(0.6, 1.6).abs() + 0.3 * a.bump(beat)})
    a.add(twist=a.wander(0.4, 1.4), bend=a.wander(0.25, 1.2) + 0.1, side=a.wander(0.2, 1.2), nod=a.wander(0.25), shake=a.wander(0.4))
    a.add(yaw=a.wander(0.7), roll=a.wander(0.1), pitch=a.wander(0.12))


def wild(a: Angles) -> None:
    """Phrases of a body that knows no habits: as dance, with all joints through more of what they can do, bent and tipped as well."""
    for side in ("r", "l"):
        a.add(**{f"{side}_arm": a.between(-0.5, 2.0) + a.wander(1.1, 1.4), f"{side}_arm_out": a.between(0, 1.3) + a.wander(0.6, 1.4)})
        a.add(**{f"{side}_arm_turn": a.between(-0.8, 0.8) + a.wander(0.6, 1.2)})
        a.add(**{f"{side}_elbow": (a.between(0, 1.6) + a.wander(0.8, 1.5)).clamp(-0.2, 2.4)})
        a.add(**{f"{side}_leg": a.between(-0.3, 1.0) + a.wander(0.7, 1.4), f"{side}_leg_out": a.between(-0.1, 0.5) + a.wander(0.25, 1.2)})
        a.add(**{f"{side}_leg_turn": a.between(-0.3, 0.3) + a.wander(0.2)})
        a.add(**{f"{side}_knee": (a.between(0, 1.2) + a.wander(0.8, 1.4)).clamp(0, 2.3)})
    a.add(twist=a.between(-0.3, 0.3) + a.wander(0.4, 1.2), bend=a.between(-0.3, 0.9) + a.wander(0.4), side=a.between(-0.2, 0.2))
    a.add(nod=a.between(-0.4, 0.4) + a.wander(0.25), shake=a.wander(0.4), yaw=a.between(-0.8, 0.8) * a.at + a.wander(0.6))
    a.add(side=a.wander(0.2), roll=a.wander(0.15), pitch=a.between(-0.25, 0.6) + a.wander(0.3))


def kick(a: Angles) -> None:
    p = a.phase(0.35, 0.9)
    hit = a.bump(p, a.between(1.5, 4.0))
    cocked = a.bump(p + 0.9, 2.0)
    a.add(
        r_leg=a.between(0.6, 1.6) * hit - 0.3 * cocked,
        r_knee=a.between(0.6, 1.6) * cocked * (1 - hit),
        r_leg_out=a.between(-0.1, 0.5) * hit,
    )
    a.add(bend=-a.between(0, 0.35) * hit, l_knee=a.between(0, 0.3) * hit, twist=a.between(-0.4, 0.2) * hit, yaw=a.between(-0.4, 0.4))
    a.pair("arm", -0.6 * hit, a.between(0, 0.9) * hit)
    a.pair("arm_out", a.between(0, 0.7) * hit, a.between(0, 0.7) * hit)


def bow(a: Angles) -> None:
    p = a.phase(0.2, 0.5)
    low = a.between(0.4, 1.5) * a.bump(p, a.between(0.7, 1.6))
    a.add(bend=0.6 * low, pitch=0.4 * low, nod=a.between(0, 0.3) * low)
    a.pair("leg", 0.4 * low, 0.4 * low)  # the legs stay where they are while the pelvis tips
    arms = a.between(-0.3, 1.0) * low
    a.pair("arm", arms, arms)


def throw(a: Angles) -> None:
    p = a.phase(0.35, 0.8)
    back, forth = a.bump(p, 2.0), a.bump(p - 1.4, 2.5)
    a.add(
        r_arm_out=a.between(0.6, 1.6) * back,
        r_arm=a.between(1.0, 2.6) * forth - 0.6 * back,
        r_elbow=a.between(0.8, 1.9) * back * (1 - forth),
    )
    a.add(twist=a.between(0.3, 0.8) * (forth - back), bend=a.between(0.1, 0.5) * forth - 0.1 * back, l_arm=a.between(0.2, 1.2) * back)
    a.add(l_leg=a.between(0.1, 0.7) * forth, l_knee=a.between(0.1, 0.6) * forth, r_leg=-a.between(0, 0.4) * forth)


KINDS: dict[str, Callable[[Angles], None]] = {
    "walk": walk, "run": run, "jump": jump, "wave": wave, "punch": punch, "squat": squat, "turn": turn, "sidestep": sidestep,
    "reach": reach, "dance": dance, "kick": kick, "bow": bow, "throw": throw,
}  # fmt: skip
UNSEEN = ("kick", "bow", "throw")  # only tests show these
WILD = "wild"  # only training shows this


def angles(kind: str, clips: int, frames: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Channels (N, T) of that many clips of a kind, each with parameters of its own."""
    made = Angles(clips, frames, generator)
    posture(made)
    (wild if kind == WILD else KINDS[kind])(made)
    made.swap()
    return made.values
