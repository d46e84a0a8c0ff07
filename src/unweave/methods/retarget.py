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
    -                        travel, joints                    and the hips, and the joints about them, are where the true ones are

Departures: 1. The foot loss undoes the standardisation first; the release takes velocities of standardised channels, which are none.
2. Each network runs once a step. 3. The distance of two motion codes is the mean over time of the distances at each step. 4. `agree`: codes
of one factor in two clips are also the same, not only nearer, and of motion codes their mean over time too. 5. `noise` on what encoders
read, as trackers of joints make. 6. Muon with a decaying step. 7. Any angle of view: the mean codes of the trained angles are kept, and the
line between the two nearest is taken. 8. `travel`: velocities that are off by little add up to feet that float away. 9. `puppet`: the
decoder knows that limbs have a length and a direction, and E_M reads directions, out of what E_S and E_V say of the clip (`nn.puppet`);
`joints`: their mean distance from the truth, which is what is measured. The preset `paper` has none of 4 to 6, 8 and 9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from unweave import losses
from unweave.body import FEET, JOINTS, OTHERS, ROOT
from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.figures import motion_picture
from unweave.method import Adam, Batch, Group, Method, Muon, Need, Phase, Progress, Terms, clip_grids
from unweave.nn.puppet import Puppet
from unweave.nn.sequence import LEAST, SHRINK, ClipDecoder, MovingEncoder, Steps, StillEncoder, channels_of, clips_of, whole
from unweave.pictures import Sheet
from unweave.schedules import WarmDecay

ANGLES = (-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0)  # degrees whose mean view codes are kept
STILL = 2 * len(OTHERS)  # channels of the pose; two more are the velocity of the hips
# Corners of a grid: x_111 and x_222; then where one factor alone is as in x_111, and as in x_222: the motion, the skeleton, the view.
CORNERS = ((0, 0, 0), (1, 1, 1), (0, 1, 1), (1, 0, 0), (1, 0, 1), (0, 1, 0), (1, 1, 0), (0, 0, 1))


@dataclass(frozen=True)
class RetargetConfig:
    size: int = 64  # frames of a training clip: a multiple of 8 from 16 on; any length can be retargeted
    motion: int = 128  # channels of E_M's code
    skeleton: int = 16  # numbers of E_S's code
    view: int = 8  # numbers of E_V's code
    cross: float = 1.0  # weight of L_cross
    recombine: bool = True  # off: x_111 and x_222 are drawn out of their own codes alone, for comparison
    triplet: float = 1.0  # weight of L_trip
    margin: float = 1.0  # of the triplet loss
    foot: float = 0.1  # weight of L_foot
    joints: float = 0.0  # weight of the mean distance of joints about the hips from the true ones, in heights
    travel: float = 0.0  # weight of the squared distance of the hips from the true ones, in heights
    agree: float = 0.0  # weight of: codes of one factor in two clips are the same
    puppet: bool = False  # the decoder knows what a body is
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


OURS = RetargetConfig(cross=0.3, joints=56.0, foot=0.5, travel=10.0, agree=20.0, noise=0.004, puppet=True)
PRESETS: Mapping[str, RetargetConfig] = {
    "default": OURS,
    "paper": RetargetConfig(adam=1e-3),
    "no-triplet": replace(OURS, triplet=0.0, agree=0.0),
    "no-cross": replace(OURS, recombine=False),
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
        widths = 64, 96, config.motion
        self.motion: nn.Module = MovingEncoder(STILL + 2, widths)
        self.skeleton = StillEncoder(STILL, config.skeleton, "max")
        self.view = StillEncoder(STILL, config.view, "average")
        self.decoder: nn.Module = ClipDecoder(config.motion + config.skeleton + config.view, STILL + 2, dropout=config.dropout)
        if config.puppet:
            self.motion = nn.Sequential(MovingEncoder(STILL + 4, widths), Steps(config.motion))
            self.decoder = Puppet(config.motion, config.skeleton, config.view)
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
        channels = whole(channels_of(x.float()))
        still = self.standard(channels)[:, :, :STILL]
        skeleton, view = self.skeleton(still), self.view(still)
        return Codes(motion=self.moving(channels, skeleton, view).transpose(1, 2), skeleton=skeleton, view=view)

    def moving(self, channels: Tensor, skeleton: Tensor, view: Tensor) -> Tensor:
        """E_M on channels, (N, T' / 8, 128); the other codes of the same clips tell a puppet's directions, and learn nothing by it."""
        if isinstance(self.decoder, Puppet):
            return self.motion(self.decoder.bare(channels, skeleton.detach(), view.detach()))
        return self.motion(self.standard(channels))

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> clip (N, T', 15, 2), whose hips start at (0, 0). `onto` is unused."""
        whole = codes.only("motion", "skeleton", "view").broadcast()
        return Output(clip=clips_of(self.draw(*whole.values())))

    def seen_from(self, degrees: float) -> Codes:
        """The view code of an angle from -90 to 90 degrees: on the line between the mean codes of the two nearest trained ones, (1, 8)."""
        if not ANGLES[0] <= degrees <= ANGLES[-1]:
            raise UserError(f"A view is an angle from {ANGLES[0]:g} to {ANGLES[-1]:g} degrees, 0 from the front, not {degrees:g}.")
        at = (degrees - ANGLES[0]) / (ANGLES[1] - ANGLES[0])
        low = min(int(at), len(ANGLES) - 2)
        return Codes(view=torch.lerp(self.angles[low], self.angles[low + 1], at - low)[None])

    # -- clips as channels -----------------------------------------------------------------------------------------------------

    def standard(self, channels: Tensor) -> Tensor:
        """Channels (N, T, 30), each standardised over the training set."""
        return (channels - self.mean) / self.deviation

    def draw(self, motion: Tensor, skeleton: Tensor, view: Tensor) -> Tensor:
        """The decoder on the three codes, -> channels (N, T', 30)."""
        return self.draw_all(motion[None], skeleton[None], view[None])[:, 0, 0, 0]

    def draw_all(self, *codes: Tensor) -> Tensor:
        """Several of each code, (I, N, ...), (J, N, ...), (K, N, ...), in all recombinations: (N, I, J, K, T', 30)."""
        motion, skeleton, view = (code.float().transpose(0, 1) for code in codes)
        if isinstance(self.decoder, Puppet):
            return self.decoder.grid(motion.transpose(2, 3), skeleton, view)
        i, j, k = motion.shape[1], skeleton.shape[1], view.shape[1]
        still = torch.cat([skeleton[:, :, None].expand(-1, -1, k, -1), view[:, None].expand(-1, j, -1, -1)], 3).flatten(1, 2)
        made = self.decoder(motion.flatten(0, 1).transpose(1, 2), still.repeat_interleave(i, 0))
        return made.unflatten(0, (-1, i, j, k)).float() * self.deviation + self.mean

    def prepare(self, sample: Batch) -> None:
        """Mean and standard deviation of each channel over the first batch's clips."""
        channels = channels_of(sample["grid"].flatten(0, 3))
        self.mean.copy_(channels.mean((0, 1)))
        self.deviation.copy_(channels.std((0, 1)).clamp_min(1e-4))
        if isinstance(self.decoder, Puppet):
            self.decoder.prepare(channels)

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def recombine_loss(self, batch: Batch, progress: Progress) -> Terms:
        grid, w, terms = batch["grid"], self.config, Terms()
        target = channels_of(grid.flatten(0, 3)).unflatten(0, grid.shape[:4])  # (N, 2, 2, 2, T, 30)
        read = torch.stack([target[:, i, j, k] for i, j, k in CORNERS])
        if w.noise:
            read = read + w.noise * progress.randn(*read.shape, like=read)
        still = self.standard(read)[..., :STILL]

        def code(encoder: nn.Module, *rows: int) -> Tensor:
            return encoder(still[list(rows)].flatten(0, 1)).float().unflatten(0, (len(rows), -1))

        skeleton, view = code(self.skeleton, 0, 1, 4, 5), code(self.view, 0, 1, 6, 7)  # x_111, x_222, one as each
        with torch.no_grad():  # what else E_M has to know of the clips that it reads
            others = [torch.cat([known[:2], code(encoder, 2, 3)]) for known, encoder in ((skeleton, self.skeleton), (view, self.view))]
        motion = self.moving(*(x.flatten(0, 1) for x in (read[:4], *others))).float().unflatten(0, (4, -1))  # (4, N, T / 8, 128)
        self._seen = view[:2].detach(), batch["degrees"].T
        made = self.draw_all(motion[:2].transpose(2, 3), skeleton[:2], view[:2])
        if not w.recombine:
            made, target = (torch.stack([x[:, c, c, c] for c in (0, 1)], 1) for x in (made, target))
        gap = (made - target).flatten(0, -3)  # (N, T, 30): how far off, in heights
        terms.add("cross", 8 * (gap / self.deviation).square().mean(), w.cross)
        pairs = [(code[2:], code[:2], code[:2].flip(0)) for code in (motion.flatten(1, 2), skeleton, view)]  # each step is one
        terms.add("triplet", 2 * torch.stack([losses.triplet(*pair, w.margin) for pair in pairs]).sum(), w.triplet)
        pairs.append(tuple(x.unflatten(1, motion.shape[1:3]).mean(2) for x in pairs[0]))
        terms.add("agree", torch.stack([losses.agree(*pair) for pair in pairs]).mean(), w.agree)
        x, y = gap.unflatten(2, (-1, 2)).unbind(3)
        terms.add("joints", ((x.square() + y.square())[..., :-1] + 1e-5).sqrt().mean(), w.joints)
        terms.add("foot", self.foot_loss(gap), w.foot)
        terms.add("travel", gap[..., STILL:].cumsum(1).square().mean(), w.travel)
        return terms

    def foot_loss(self, gap: Tensor) -> Tensor:
        """How far the feet's velocities through the picture are off, squared, in units of the deviation of the hips' velocity."""
        rows = gap.unflatten(2, (-1, 2))
        velocity = rows[:, :, [OTHERS.index(foot) for foot in FEET]].diff(dim=1) + rows[:, 1:, -1:]
        return (velocity / self.deviation[STILL:].mean()).square().mean()

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
        gap = self.retarget(grid[:, 0, 1, 1], grid[:, 1, 0, 1], grid[:, 1, 1, 0]) - grid[:, 0, 0, 0]
        error = torch.linalg.vector_norm(gap - gap[:, :, ROOT, None], dim=-1).mean().item() * len(JOINTS) / len(OTHERS)
        return {"error": error, "score": -error}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Rows: three clips, their motion, body and view in one, and the truth."""
        grid = batch["grid"][:6]
        sources = grid[:, 0, 1, 1], grid[:, 1, 0, 1], grid[:, 1, 1, 0]
        columns = [*sources, self.retarget(*sources), grid[:, 0, 0, 0]]
        rows = [[motion_picture(clips[n]) for clips in columns] for n in range(len(grid))]
        return Sheet(rows, top=["motion of", "body of", "view of", "retargeted", "truth"])
