"""Motion retargeting in 2D: what is done, by what body, and seen from where, in three codes.

Aberman, Wu, Lischinski, Chen, Cohen-Or: Learning Character-Agnostic Motion for Motion Retargeting in 2D, SIGGRAPH 2019.

Clips of joints come in grids: every motion on every body from every side. From the codes of two clips that share nothing, all eight
recombinations must be drawn; and a code must be nearer where its factor is the same than where it is not. One encoder keeps time, the
other two forget it.

    symbol                   here                              meaning
    E_M, E_S, E_V, D         motion, skeleton, view, decoder   codes (128, T / 8), 16 and 8 numbers; a clip of T frames
    L_cross                  cross                             D(E_M(x_i..), E_S(x_.j.), E_V(x_..k)) = x_ijk, from x_111 and x_222
    L_trip                   triplet, margin                   |E(x) - E(same factor)| + margin <= |E(x) - E(another)|, two for each code
    L_foot                   foot                              the feet move through the picture as the true ones do
    -                        travel                            and the hips are where the true ones are

Departures: 1. The foot loss undoes the standardisation first; the release takes velocities of standardised channels, which are none.
2. All clips go through an encoder in one call, all recombinations through the decoder in one. 3. The distance of two motion codes is the
mean over time of the distances at each step. 4. `agree`: codes of one factor in two clips are also the same, not only nearer. 5. `noise`
on what encoders read, as trackers of joints make. 6. Muon with a decaying step; the preset `paper` keeps Adam. 7. Any angle of view: the
mean codes of the trained angles are kept, and the line between the two nearest is taken. 8. `travel`: velocities that are off by little
add up to feet that float away; the way itself counts too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unweave import losses
from unweave.body import FEET, JOINTS, OTHERS, ROOT
from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.figures import motion_picture
from unweave.method import Adam, Batch, Group, Method, Muon, Need, Phase, Progress, Terms, clip_grids
from unweave.nn.sequence import LEAST, SHRINK, ClipDecoder, MovingEncoder, StillEncoder, whole
from unweave.pictures import Sheet
from unweave.schedules import WarmDecay

ANGLES = (-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0)  # degrees whose mean view codes are kept
STILL = 2 * len(OTHERS)  # channels of the pose; two more are the velocity of the hips
CORNERS = ((0, 0, 0), (1, 1, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))  # of a grid, in the order of the losses


@dataclass(frozen=True)
class RetargetConfig:
    size: int = 64  # frames of a training clip: a multiple of 8 from 16 on; any length can be retargeted
    motion: int = 128  # channels of E_M's code
    skeleton: int = 16  # numbers of E_S's code
    view: int = 8  # numbers of E_V's code
    cross: float = 1.0  # weight of L_cross
    triplet: float = 1.0  # weight of L_trip
    margin: float = 1.0  # of the triplet loss
    foot: float = 0.1  # weight of L_foot
    travel: float = 0.0  # weight of the squared distance of the hips from the true ones, in heights
    agree: float = 0.0  # weight of: codes of one factor in two clips are the same
    noise: float = 0.0  # standard deviation of what is added to the joints that encoders read, in heights
    dropout: float = 0.2  # of the decoder
    lr: float = 0.01  # Muon's step size at its highest
    adam: float = 0.0  # above 0: Adam's constant step size in place of Muon

    def __post_init__(self) -> None:
        if self.size < LEAST or self.size % SHRINK:
            raise UserError(f"Clips for training have a multiple of {SHRINK} frames from {LEAST} on (32, 64 ...), not {self.size}.")
        for name in ("motion", "skeleton", "view"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, not {getattr(self, name)}.")


PRESETS: Mapping[str, RetargetConfig] = {
    "default": RetargetConfig(travel=10.0, agree=1.0, noise=0.004, dropout=0.0),
    "paper": RetargetConfig(adam=1e-3),
    "no-triplet": RetargetConfig(travel=10.0, triplet=0.0, noise=0.004, dropout=0.0),
}


class Retarget(Method):
    """`encode` to motion + skeleton + view, `decode` back; verbs retarget, interpolate."""

    name = "retarget"
    Config: ClassVar[type] = RetargetConfig
    PRESETS = PRESETS
    mean: Tensor
    deviation: Tensor
    angles: Tensor

    def __init__(self, config: RetargetConfig):
        super().__init__(config)
        self.motion = MovingEncoder(STILL + 2, (64, 96, config.motion))
        self.skeleton = StillEncoder(STILL, config.skeleton, "max")
        self.view = StillEncoder(STILL, config.view, "average")
        self.decoder = ClipDecoder(config.motion + config.skeleton + config.view, STILL + 2, dropout=config.dropout)
        self.register_buffer("mean", torch.zeros(STILL + 2))  # of the channels over the training clips
        self.register_buffer("deviation", torch.ones(STILL + 2))
        self.register_buffer("angles", torch.zeros(len(ANGLES), config.view))  # mean view code of each of ANGLES
        self.needs = {"grid": clip_grids(config.size), "degrees": Need("degrees", (2,))}
        self.codes = (
            Code("motion", "sequence", (config.motion, None)),
            Code("skeleton", "vector", (config.skeleton,)),
            Code("view", "vector", (config.view,)),
        )
        optimiser = Adam(config.adam) if config.adam else Muon(WarmDecay(config.lr, decay=0.3, floor=0.02))
        self.groups = {"networks": Group(("motion", "skeleton", "view", "decoder"), optimiser)}
        self.phases = (Phase("networks", self.recombine_loss),)
        self._seen: tuple[Tensor, Tensor] | None = None  # view codes of the step and their angles, for `after`

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: clips (N, T, 15, 2), y up, of bodies about 1 tall -> motion (N, 128, T' / 8), skeleton (N, 16), view (N, 8).

        T' is T made whole: up to a multiple of 8, at least 16, by holding the last frame. There is one domain."""
        channels = self.standard(x)
        still = channels[:, :STILL]
        return Codes(motion=self.motion(channels), skeleton=self.skeleton(still), view=self.view(still))

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> clip (N, T', 15, 2), whose hips start at (0, 0). `onto` is unused."""
        whole = codes.only("motion", "skeleton", "view").broadcast()
        return Output(clip=self.joints(self.draw(*whole.values())))

    def seen_from(self, degrees: float) -> Codes:
        """The view code of an angle from -90 to 90 degrees: on the line between the mean codes of the two nearest trained ones, (1, 8)."""
        if not ANGLES[0] <= degrees <= ANGLES[-1]:
            raise UserError(f"A view is an angle from {ANGLES[0]:g} to {ANGLES[-1]:g} degrees, 0 from the front, not {degrees:g}.")
        at = (degrees - ANGLES[0]) / (ANGLES[1] - ANGLES[0])
        low = min(int(at), len(ANGLES) - 2)
        return Codes(view=torch.lerp(self.angles[low], self.angles[low + 1], at - low)[None])

    # -- clips as channels -----------------------------------------------------------------------------------------------------

    def raw(self, x: Tensor) -> Tensor:
        """Clips (N, T, 15, 2) -> channels (N, 30, T): joints from the middle of the hips, and how far that moves from frame to frame."""
        hips = x[:, :, ROOT : ROOT + 1]
        velocity = torch.cat([torch.zeros_like(hips[:, :1]), hips.diff(dim=1)], 1)
        return torch.cat([x[:, :, list(OTHERS)] - hips, velocity], 2).flatten(2).transpose(1, 2)

    def standard(self, x: Tensor) -> Tensor:
        """The same, each channel standardised over the training set, and as long as the networks need it."""
        return whole((self.raw(x.float()) - self.mean[:, None]) / self.deviation[:, None])

    def joints(self, channels: Tensor) -> Tensor:
        """The inverse of `standard`, from (0, 0) on: (N, 30, T) -> (N, T, 15, 2)."""
        rows = (channels.float() * self.deviation[:, None] + self.mean[:, None]).transpose(1, 2).unflatten(2, (-1, 2))
        hips = (rows[:, :, -1:] - torch.cat([rows[:, :1, -1:], torch.zeros_like(rows[:, 1:, -1:])], 1)).cumsum(1)
        made = rows[:, :, :-1] + hips
        return torch.cat([made[:, :, :ROOT], hips, made[:, :, ROOT:]], 2)

    def draw(self, motion: Tensor, skeleton: Tensor, view: Tensor) -> Tensor:
        """The decoder on the three codes, -> standardised channels (N, 30, T')."""
        still = torch.cat([skeleton, view], 1)[:, :, None].expand(-1, -1, motion.shape[2])
        return self.decoder(torch.cat([motion, still], 1))

    def prepare(self, sample: Batch) -> None:
        """Mean and standard deviation of each channel over the first batch's clips."""
        channels = self.raw(sample["grid"].flatten(0, 3)).transpose(0, 1).flatten(1)
        self.mean.copy_(channels.mean(1))
        self.deviation.copy_(channels.std(1).clamp_min(1e-4))

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def recombine_loss(self, batch: Batch, progress: Progress) -> Terms:
        grid, w, terms = batch["grid"], self.config, Terms()
        clips = torch.stack([grid[:, i, j, k] for i, j, k in CORNERS])  # x_111, x_222, x_122, x_212, x_221, x_211, x_121, x_112
        read = clips.flatten(0, 1)
        if w.noise:
            read = read + w.noise * progress.randn(*read.shape, like=read)
        codes = [code.float().unflatten(0, clips.shape[:2]) for code in self.encode(read).values()]  # three times (8, N, ...)
        self._seen = codes[2][:2].detach(), batch["degrees"].T
        target = self.standard(grid.flatten(0, 3))
        made: list[Tensor] = []

        def draw(*some: Tensor) -> Tensor:
            made.append(self.draw(*some))
            return made[0]

        first, second = ([code[side] for code in codes] for side in (0, 1))
        terms.add("cross", losses.cross(draw, first, second, target.unflatten(0, grid.shape[:4])), w.cross)
        pairs = [pair for k, code in enumerate(codes) for pair in self._pairs(code, k)]
        terms.add("triplet", torch.stack([losses.triplet(a, b, c, w.margin) for a, b, c in pairs]).sum(), w.triplet)
        terms.add("agree", torch.stack([losses.agree(a, b, c) for a, b, c in pairs]).mean(), w.agree)
        own, true = self.joints(made[0]), self.joints(target)
        terms.add("foot", losses.squared(self._feet(own), self._feet(true)), w.foot)
        terms.add("travel", losses.squared(own[:, :, ROOT], true[:, :, ROOT]), w.travel)
        return terms

    def _pairs(self, code: Tensor, k: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Anchor, positive and negative, twice: where factor k alone is as in x_111 (x_222), its code is near to that one's."""
        if code.dim() == 4:  # a code that moves: each of its steps is one
            code = code.transpose(2, 3).flatten(1, 2)
        return [(code[2 + k], code[0], code[1]), (code[5 + k], code[1], code[0])]

    def _feet(self, joints: Tensor) -> Tensor:
        """Velocities of the feet through the picture, (N, T - 1, 2, 2), in units of the deviation of the hips' velocity."""
        return joints[:, :, list(FEET)].diff(dim=1) / self.deviation[STILL:].mean()

    def after(self, step: int, logged: Mapping[str, float]) -> None:
        """The mean view codes follow those of the step."""
        if self._seen is None:
            return
        codes, degrees = (x.flatten(0, 1) for x in self._seen)
        which = (degrees[:, None] - torch.tensor(ANGLES).to(degrees)).abs().argmin(1)
        for i in which.unique().tolist():
            self.angles[i].lerp_(codes[which == i].mean(0), max(0.02, 1 / step))

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        """error: mean distance of joints from the truth, hips aligned: x_ijk out of three clips that share nothing else with it."""
        grid = batch["grid"]
        made = self.retarget(grid[:, 0, 1, 1], grid[:, 1, 0, 1], grid[:, 1, 1, 0])
        gap = (made - made[:, :, ROOT : ROOT + 1]) - (grid[:, 0, 0, 0] - grid[:, 0, 0, 0, :, ROOT : ROOT + 1])
        error = torch.linalg.vector_norm(gap, dim=-1).mean().item() * len(JOINTS) / len(OTHERS)
        return {"error": error, "score": -error}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Rows: three clips, their motion, body and view in one, and the truth."""
        grid = batch["grid"][:6]
        sources = grid[:, 0, 1, 1], grid[:, 1, 0, 1], grid[:, 1, 1, 0]
        columns = [*sources, self.retarget(*sources), grid[:, 0, 0, 0]]
        rows = [[motion_picture(clips[n]) for clips in columns] for n in range(len(grid))]
        return Sheet(rows, top=["motion of", "body of", "view of", "retargeted", "truth"])
