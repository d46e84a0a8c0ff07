"""Mask-based content transfer between two unpaired sets.

Mokady, Benaim, Wolf, Bermano: Mask Based Unsupervised Content Transfer, ICLR 2020.

Set b shows everything set a shows, and something more. One encoder keeps what both share, a second one what only b adds; a first
decoder draws the picture without the part, a second one draws the part and a soft mask of where it goes, so that everything else
stays as it was. Set membership is the only label, and yet the mask segments the part.

    paper             here                  meaning
    E_c, E_s          common, separate      what both sets show; what only b shows
    D1, D2            background, painter   the picture without the part; mask m and raw colours of the part
    z(x)              painted               m * raw + (1 - m) * x
    Recon1-b, -a      recon1_b, recon1_a    D2(E_c(b), E_s(b)) on D1(E_c(b)) = b,  D1(E_c(a)) = a
    Recon2-b, -a      recon2_b, recon2_a    the same on b itself = b,  D2(E_c(a), 0) on a = a: both shrink the mask
    Cycle             cycle_common, _separate   the codes of x = D2(E_c(a), E_s(b)) on a are E_c(a) and E_s(b)
    L_DC              confusion             E_c(a) and E_c(b) look alike

The preset `paper` is that. Departures of the default:
1. The common code is the picture's own pixels, 48 numbers for each 4x4 square, of which E_c decides what to keep: nothing is blurred.
   So no bottleneck drops the part; `see_through` teaches it instead: E_c must find the face behind random stickers.
2. The separate code is a vector that steers D2's norms: it says what, E_c's map says where. In training E_s reads shifted pictures,
   so that it cannot say where. D2 draws changes to D1's picture, and reads E_c's code without changing it.
3. `whole`: D2's raw colours are compared with b everywhere, squared; with L1 inside the mask alone the mask closes before anything shows.
   Recon1-b teaches E_c and D1 with a weight of its own, `keep`.
4. `undo`, `remask`: x is a + a known part at a known place, so D1(E_c(x)) = a, and D2 must find that mask again.
5. `absent`: the mask of a's own codes is empty, so the separate code cannot carry what a has too (eyes, mouth).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave import losses
from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.method import Adam, Batch, Group, Method, Phase, Progress, Terms, images
from unweave.metrics.masks import binary
from unweave.nn.critics import PatchCritic, VectorCritic
from unweave.nn.decoders import ContextPainter, Decoder, SquaresDecoder
from unweave.nn.disturb import shifted, stickers
from unweave.nn.encoders import ContextEncoder, Encoder, VectorEncoder
from unweave.pictures import Sheet
from unweave.schedules import Ramp, WarmDecay


@dataclass(frozen=True)
class MaskConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16 from 32 on (paper: 64 or 128)
    published: bool = False  # the paper's networks and losses
    separate: int = 64  # numbers (paper: channels) of the separate code
    width: int = 32  # channels of the widest layers (default networks)
    recon1_b: float = 7.0  # weight of Recon1-b
    recon1_a: float = 5.0  # weight of Recon1-a
    recon2_b: float = 0.7  # weight of Recon2-b: more makes masks smaller
    recon2_a: float = 0.7  # weight of Recon2-a
    cycle_common: float = 0.0  # weight of the cycle of E_c (paper)
    cycle_separate: float = 0.001  # weight of the cycle of E_s (paper)
    confusion: float = 0.1  # weight of L_DC
    keep: float = 0.5  # weight of Recon1-b as E_c and D1 feel it
    whole: float = 20.0  # weight of the raw colours compared with b everywhere
    see_through: float = 15.0  # weight of finding the face behind stickers
    undo: float = 5.0  # weight of D1(E_c(x)) = a
    remask: float = 0.5  # weight of finding the mask of x again
    absent: float = 0.3  # weight of the empty mask of a's own codes
    settle: int = 20_000  # pictures after which Recon2 and `absent` have their full weight
    lr: float = 1e-3  # Adam's step size at its highest
    lr_critic: float = 5e-4  # and the critic's

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16:
            raise UserError(f"mask takes pictures whose side is a multiple of 16 from 32 on (32, 48, 64 ...), not {self.size}.")
        if self.published and self.size not in (64, 128):
            raise UserError(f"The published networks of mask take pictures of 64 or 128 pixels, not {self.size}.")


PRESETS: Mapping[str, MaskConfig] = {
    "default": MaskConfig(),
    "paper": MaskConfig(published=True, separate=25, confusion=0.005, lr=2e-4, lr_critic=2e-4),
}


class Mask(Method):
    """Two-set transfer with a mask: `encode` to common + separate, `decode` onto a picture; verbs transfer, remove, segment."""

    name = "mask"
    Config: ClassVar[type] = MaskConfig
    PRESETS: ClassVar[Mapping[str, Any]] = PRESETS
    masks = True
    judged = ("a", "b")

    def __init__(self, config: MaskConfig):
        super().__init__(config)
        c, w, four = config, config.width, config.size // 4
        if c.published:
            side, rest = c.size // 64, 512 - c.separate
            self.common: nn.Module = Encoder((32, 64, 128, 256, rest, rest))
            self.separate: nn.Module = Encoder((32, 64, 128, 128, 128, c.separate))
            self.background: nn.Module = Decoder(512, (512, 256, 128, 64, 32), 3)
            self.painter: nn.Module = Decoder(512, (512, 256, 128, 64, 32), 4)
            self.critic: nn.Module = VectorCritic(rest * side * side)
            common = Code("common", "spatial", (rest, side, side))
            separate = Code("separate", "spatial", (c.separate, side, side), domains=("b",))
        else:
            self.common = ContextEncoder(w)
            self.separate = VectorEncoder((w, 2 * w, 4 * w, 4 * w), c.separate, c.size)
            self.background = SquaresDecoder(w)
            self.painter = ContextPainter(c.separate, w)
            self.critic = PatchCritic(ContextEncoder.channels)
            common = Code("common", "spatial", (ContextEncoder.channels, four, four))
            separate = Code("separate", "vector", (c.separate,), domains=("b",))
        self.needs = {"a": images(c.size), "b": images(c.size)}
        self.codes = (common, separate)
        self.absent_shape = tuple(n or 1 for n in separate.shape)
        betas = (0.9, 0.999) if c.published else (0.9, 0.99)
        lr = c.lr if c.published else WarmDecay(c.lr)
        self.groups = {
            "autoencoder": Group(("common", "separate", "background", "painter"), Adam(lr, betas), 5.0, None if c.published else 2000),
            "critic": Group(("critic",), Adam(c.lr_critic, betas), clip=5.0, keep=False),
        }
        main = self.published_loss if c.published else self.transfer_loss
        self.phases = (Phase("autoencoder", main), Phase("critic", self.critic_loss))

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1]. A picture known to be from `a` has no separate part: exact zeros."""
        common = self.common(x)
        separate = x.new_zeros(len(x), *self.absent_shape) if domain == "a" else self.separate(x)
        return Codes(common=common, separate=separate)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image in [-1, 1]: the part painted on `onto` (without it, on D1's picture); mask in [0, 1]; D1's picture as background."""
        codes = codes.broadcast()
        background = self.draw(codes["common"])
        mask, raw = self.paint(codes["common"], codes["separate"], background)
        image = painted(mask, raw, background if onto is None else onto)
        return Output(image.clamp(-1, 1), mask=mask, background=background.clamp(-1, 1))

    def draw(self, common: Tensor) -> Tensor:
        """D1: the picture without the part, (N, 3, S, S). Published: reads zeros in the separate code's place."""
        if not self.config.published:
            return self.background(common).float()
        nothing = common.new_zeros(len(common), *self.absent_shape)
        return self.background(torch.cat([common, nothing], dim=1)).float().tanh()

    def paint(self, common: Tensor, separate: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        """D2: mask (N, 1, S, S) in [0, 1] and raw colours (N, 3, S, S), drawn as changes to D1's picture (published: from nothing)."""
        if self.config.published:
            out = self.painter(torch.cat([common, separate], dim=1)).float()
            return out[:, :1].sigmoid(), out[:, 1:].tanh()
        out = self.painter(common, separate).float()
        return out[:, :1].sigmoid(), background.detach() + out[:, 1:]

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def transfer_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b, w, n = batch["a"], batch["b"], self.config, len(batch["a"])
        stuck, covered = stickers(a, progress.generator)
        common = self.common(torch.cat([a, b, stuck]))
        separate_a, separate_b = self.separate(shifted(torch.cat([a, b]), progress.generator)).split(n)
        batch["common"] = common[: 2 * n].detach()  # for the critic's turn
        common_a, common_b, _ = common.split(n)
        clean_a, clean_b, seen = self.draw(common).split(n)
        # D2 reads codes as they are (2). Four pictures of each: b's own, a with nothing, a with b's part, a's own.
        where = torch.cat([common_b, common_a, common_a, common_a]).detach()
        what = torch.cat([separate_b, torch.zeros_like(separate_b), separate_b, separate_a])
        masks, raws = self.paint(where, what, torch.cat([clean_b, clean_a, clean_a, clean_a]))
        (mask_b, mask_0, mask_x, mask_a), (raw_b, raw_0, raw_x, _) = masks.split(n), raws.split(n)
        x, known = painted(mask_x, raw_x, a).detach(), mask_x.detach()
        clean_x = self.draw(common_x := self.common(x))
        mask_again, _ = self.paint(common_x.detach(), self.separate(shifted(x, progress.generator)), clean_x)

        on = min(1.0, max(0.0, 2 * progress.images / w.settle - 1))  # half way to `settle` nothing, then a straight line up
        fade, terms = progress.at(Ramp(1.0, 0.2, 0.3, 0.7)), Terms()
        terms.add("recon1_b", losses.absolute(painted(mask_b, raw_b, clean_b.detach()), b), w.recon1_b)
        terms.add("recon1_a", losses.absolute(clean_a, a), w.recon1_a)
        terms.add("recon2_b", losses.absolute(painted(mask_b, raw_b, b), b), w.recon2_b * on)
        terms.add("recon2_a", losses.absolute(painted(mask_0, raw_0, a), a), w.recon2_a * on)
        terms.add("confusion", losses.domain_confusion(self.critic, common_a, common_b), w.confusion)
        terms.add("keep", losses.absolute(painted(mask_b.detach(), b, clean_b), b), w.keep)
        terms.add("whole", losses.squared(raw_b, b), w.whole)
        terms.add("see_through", losses.squared(seen, a) + losses.squared_inside(seen, a, covered) / 5, w.see_through * fade)
        terms.add("undo", losses.absolute(clean_x, a) + losses.squared_inside(clean_x, a, known) / 5, w.undo)
        terms.add("remask", losses.absolute(mask_again, known), w.remask)
        terms.add("absent", losses.zero(mask_a), w.absent * on)
        return terms

    def published_loss(self, batch: Batch, progress: Progress) -> Terms:
        """The paper's own: one decoder call for each kind of code, since batch statistics of mixed codes fit none of them."""
        a, b, w = batch["a"], batch["b"], self.config
        common_a, common_b, separate_b = self.common(a), self.common(b), self.separate(b)
        batch["common"] = torch.cat([common_a, common_b]).detach()
        clean_a, clean_b = self.draw(common_a), self.draw(common_b)
        mask_b, raw_b = self.paint(common_b, separate_b, clean_b)
        mask_0, raw_0 = self.paint(common_a, torch.zeros_like(separate_b), clean_a)
        mask_x, raw_x = self.paint(common_a, separate_b, clean_a)
        x = painted(mask_x, raw_x, a)

        terms = Terms()
        terms.add("recon1_b", losses.absolute(painted(mask_b, raw_b, clean_b), b), w.recon1_b)
        terms.add("recon1_a", losses.absolute(clean_a, a), w.recon1_a)
        terms.add("recon2_b", losses.absolute(painted(mask_b, raw_b, b), b), w.recon2_b)
        terms.add("recon2_a", losses.absolute(painted(mask_0, raw_0, a), a), w.recon2_a)
        if w.cycle_common:
            terms.add("cycle_common", losses.squared(self.common(x), common_a), w.cycle_common)
        if w.cycle_separate:
            terms.add("cycle_separate", losses.squared(self.separate(x), separate_b), w.cycle_separate)
        terms.add("confusion", losses.domain_confusion(self.critic, common_a, common_b), w.confusion)
        return terms

    def critic_loss(self, batch: Batch, progress: Progress) -> Terms:
        of_a, of_b = self.critic(batch["common"]).chunk(2)
        return Terms(domains=losses.tell_apart(of_a, of_b))

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
        """score: judged transfers + judged removals - 10 x change outside the model's own mask (a share of the full range)."""
        a, b = batch["a"], batch["b"]
        added = self.decode(self.encode(a, "a") | self.encode(b, "b").only("separate"), onto=a)
        assert judge and added.image is not None and added.mask is not None
        outside = 1 - F.max_pool2d(binary(added.mask).float(), 5, 1, 2)
        change = ((added.image - a).abs().mean(1, keepdim=True) / 2 * outside).sum() / outside.sum().clamp(min=1)
        worn = (judge(added.image) > 0.5).float().mean().item()
        gone = (judge(self.remove(b)) < 0.5).float().mean().item()
        return {"score": worn + gone - 10 * change.item(), "worn": worn, "gone": gone, "outside": change.item()}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Rows: pictures of a wearing each donor's part; below, the donors without it, and where it was found."""
        targets, donors = batch["a"][:5], batch["b"][:6]
        sheet = self.grid(targets, donors)
        return Sheet([*sheet.rows, [None, *self.remove(donors)], [None, *self.segment(donors)]])


def painted(mask: Tensor, raw: Tensor, onto: Tensor) -> Tensor:
    """z(onto) = m * raw + (1 - m) * onto."""
    return mask * raw + (1 - mask) * onto
