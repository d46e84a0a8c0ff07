"""Mask-based content transfer between two unpaired sets.

Mokady, Benaim, Wolf, Bermano: Mask Based Unsupervised Content Transfer, ICLR 2020.

Set b shows everything set a shows, and something more. One encoder keeps what both share, one what b adds; one decoder draws the picture
without the part, one the part and a soft mask of where it goes, so that everything else stays.

    paper             here                  meaning
    E_c, E_s          common, separate      what both sets show; what only b shows
    D1, D2            background, painter   the picture without the part; mask m and raw colours of the part
    z(x)              painted               m * raw + (1 - m) * x
    Recon1-b, -a      recon1_b, recon1_a    D2(E_c(b), E_s(b)) on D1(E_c(b)) = b,  D1(E_c(a)) = a
    Recon2-b, -a      recon2_b, recon2_a    the same on b itself = b,  D2(E_c(a), 0) on a = a: both shrink the mask
    Cycle             cycle_common, _separate   the codes of x = D2(E_c(a), E_s(b)) on a are E_c(a) and E_s(b)
    L_DC              confusion             E_c(a) and E_c(b) look alike

The preset `paper` is that. Departures of the default:
1. The common code is the picture's own pixels in 4x4 squares; E_c decides what to drop. Pictures of a with something on them teach it
   where that is (`find`) and, apart, what is behind (`see_through`, `instead`): stickers or (`grafted`) pieces of b, beside pieces of a
   that shall stay, then also x (`worn`), a with a known part. `idle`: it drops for a change. `present`: of each b it drops something.
2. The separate code is a vector that steers D2's norms: it says what, E_c's map says where. E_s reads a window around what E_c drops.
   D2's raw colours are one of its own over D1's picture, more or less dense: opaque frames, tinted lenses. E_c does not learn from D2.
3. `whole`: raw colours are compared with b everywhere, squared, or the mask closes before anything shows. `agree`: the mask of b is
   what E_c drops. `as_large`: that of x is as large, or D2 draws only where traces of the part are left. `adversary`: it looks real.
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
from unweave.masks import binary, painted, visible
from unweave.method import Adam, Batch, Group, Method, Muon, Phase, Progress, Terms, images
from unweave.nn import two_sets
from unweave.nn.blocks import together
from unweave.nn.critics import PatchCritic, VectorCritic
from unweave.nn.decoders import ContextPainter, Decoder, SquaresDecoder
from unweave.nn.disturb import Soiled, disturbed
from unweave.nn.encoders import ContextEncoder, Encoder, VectorEncoder
from unweave.nn.windows import marked
from unweave.pictures import Sheet
from unweave.schedules import WarmDecay


@dataclass(frozen=True)
class MaskConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16 from 32 on (paper: 64 or 128)
    published: bool = False  # the paper's networks and losses
    separate: int = 64  # numbers (paper: channels) of the separate code
    width: int = 32  # channels of the widest layers (default networks)
    recon1_b: float = 7.0  # weight of Recon1-b
    recon1_a: float = 5.0  # weight of Recon1-a, in the default with something on a
    recon2_b: float = 0.7  # weight of Recon2-b: more makes masks smaller
    recon2_a: float = 0.7  # weight of Recon2-a
    cycle_common: float = 0.0  # weight of the cycle of E_c (paper)
    cycle_separate: float = 0.001  # weight of the cycle of E_s (paper)
    confusion: float = 0.1  # weight of L_DC
    adversary: float = 0.0  # weight of a part on another picture being taken for b by a critic of pictures
    whole: float = 20.0  # weight of the raw colours compared with b everywhere
    see_through: float = 1.7  # weight of the face behind what does not belong
    find: float = 1.3  # weight of where that is
    agree: float = 1.0  # weight of the mask of b being what E_c drops
    as_large: float = 0.5  # weight of x's mask being as large as b's
    idle: float = 0.3  # weight of dropping what is put back as it was
    present: float = 0.0  # weight of something being dropped of every picture of b
    blur: int = 0  # pixels over which E_c's picture is averaged before D2 sees it
    grafted: float = 0.0  # share of what E_c sees through that is pieces of other pictures instead of stickers
    worn: float = 0.5  # share of what E_c sees through that is x, pictures of a with a part as D2 draws it
    sure: float = 0.0  # added to E_c's logits of dropping in pictures known to be of b, which all show the part
    again: int = 0  # how often removals take the part off once more, from what is left
    alone: float = 0.5  # share of the run in which E_c and D1 learn alone (default networks)
    lr: float = 0.01  # step size at its highest: Muon's (paper: Adam's)
    lr_critic: float = 5e-4  # and the critic's, Adam's

    def __post_init__(self) -> None:
        two_sets.check("mask", self, (64, 128))


PRESETS: Mapping[str, MaskConfig] = {
    "default": MaskConfig(),
    "photographs": MaskConfig(confusion=0.0, idle=0.03, present=0.1, adversary=0.15, blur=4, grafted=0.75, sure=1, again=1, lr_critic=1e-3),
    "finetune": MaskConfig(alone=0.05, worn=0.875, sure=1.0),  # with `start`, for the same part in other pictures
    "paper": MaskConfig(published=True, separate=25, confusion=0.005, lr=2e-4, lr_critic=2e-4),
}


class Mask(Method):
    """Two-set transfer with a mask: `encode` to common + separate, `decode` onto a picture; verbs transfer, remove, segment."""

    name = "mask"
    Config: ClassVar[type] = MaskConfig
    PRESETS: ClassVar[Mapping[str, Any]] = PRESETS
    masks, judged = True, ("a", "b")
    absent: tuple[int, ...]  # shape of a separate code

    def __init__(self, config: MaskConfig):
        super().__init__(config)
        c, w = config, config.width
        if c.published:
            side, rest = c.size // 64, 512 - c.separate
            self.common: Any = Encoder((32, 64, 128, 256, rest, rest))
            self.separate: nn.Module = Encoder((32, 64, 128, 128, 128, c.separate))
            self.background: nn.Module = Decoder(512, (512, 256, 128, 64, 32), 3)
            self.painter: nn.Module = Decoder(512, (512, 256, 128, 64, 32), 4)
            self.critic: nn.Module = VectorCritic(rest * side * side)
            kept, self.absent = (rest, side, side), (c.separate, side, side)
        else:
            self.common = ContextEncoder(w)
            self.separate = VectorEncoder((w, 2 * w, 4 * w, 2 * w), c.separate, c.size, inputs=4)
            self.background = SquaresDecoder(w)
            self.painter = ContextPainter(c.separate, w, outputs=5, blur=c.blur)
            self.critic = PatchCritic(ContextEncoder.channels)
            kept, self.absent = (ContextEncoder.channels, c.size // 4, c.size // 4), (c.separate,)
        self.viewer: Any = nn.Sequential(nn.PixelUnshuffle(4), PatchCritic(48)) if c.adversary else None
        self.needs = {"a": images(c.size), "b": images(c.size)}
        self.codes = Code("common", "spatial", kept), Code("separate", "spatial" if c.published else "vector", self.absent, domains=("b",))
        moves = Adam(c.lr, (0.9, 0.999)) if c.published else Muon(WarmDecay(c.lr))
        critics, betas = (("critic", "viewer"), (0.5, 0.99)) if c.adversary else (("critic",), (0.9, 0.999))
        self.groups = {
            "autoencoder": Group(("common", "separate", "background", "painter"), moves, 5.0, None if c.published else 2000),
            "critic": Group(critics, Adam(c.lr_critic, betas), clip=5.0, keep=False),
        }
        main, start = (self.published_loss, 0.0) if c.published else (self.transfer_loss, c.alone)
        first = () if c.published else (Phase("autoencoder", self.see_loss, stop=start),)
        judge = Phase("critic", self.critic_loss, start=start, cost=0.1, precision="fp32" if c.adversary else "auto")
        self.phases = *first, Phase("autoencoder", main, start=start, cost=2.7), judge

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1]. A picture known to be from `a` has no separate part: exact zeros."""
        common, drop = (self.common(x), None) if self.config.published else self.common.look(x, sure=self.config.sure * (domain == "b"))
        separate = self.separate(x) if drop is None else self.part(x, drop.sigmoid())
        return Codes(common=common, separate=torch.zeros_like(separate) if domain == "a" else separate)

    def part(self, x: Tensor, dropped: Tensor, unsteady: Tensor | float = 1.0) -> Tensor:
        """The default's E_s reads a window around what E_c drops, (N, 1, S, S) in [0, 1]; `unsteady` moves and scales it a little."""
        return self.separate(marked(x, dropped, unsteady))

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image in [-1, 1]: the part painted on `onto` (without it, on D1's picture); mask in [0, 1]; D1's picture as background."""
        codes = codes.broadcast()
        background = self.draw(codes["common"])
        logits, raw = self.paint(codes["common"], codes["separate"], background)
        image = painted(logits, raw, background if onto is None else onto)
        return Output(image.clamp(-1, 1), mask=logits.sigmoid(), background=background.clamp(-1, 1))

    def draw(self, common: Tensor) -> Tensor:
        """D1: the picture without the part, (N, 3, S, S). Published: reads zeros in the separate code's place."""
        if not self.config.published:
            return self.background(common).float()
        return self.background(torch.cat([common, common.new_zeros(len(common), *self.absent)], dim=1)).float().tanh()

    def paint(self, common: Tensor, separate: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        """D2: logits of the mask (N, 1, S, S) and raw colours (N, 3, S, S). In the default they let D1's picture shine through."""
        if self.config.published:
            out = self.painter(torch.cat([common, separate], dim=1)).float()
            return out[:, :1], out[:, 1:].tanh()
        logits, dense, colour = self.painter(common, separate).float().split((1, 1, 3), dim=1)
        return logits, painted(dense, colour, background.detach())

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def see_loss(self, batch: Batch, progress: Progress) -> Terms:  # E_c and D1 alone
        return self.seen(disturbed(batch["a"], batch["b"], progress.generator, self.config.grafted, bare=0.25))

    def transfer_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b, w, n = batch["a"], batch["b"], self.config, len(batch["a"])
        common_b, drop = self.common.look(b, sure=w.sure)
        with torch.no_grad():  # what a's own pictures teach E_c, `seen` has among its pictures
            clean_a, clean_b = self.draw(common_a := self.common(a)), self.draw(common_b)
        idle, present, drop = losses.idle(drop, b, clean_b), losses.present(drop - w.sure), drop.detach().sigmoid()
        batch["common"] = torch.cat([common_a, common_b.detach()])  # for the critic's turn
        separate = self.part(b, drop, 1 + 0.05 * progress.randn(n, 3, like=drop))
        what = torch.cat([separate, torch.zeros_like(separate), separate])  # b's own, a with nothing, a with b's part
        logits, raws = self.paint(torch.cat([common_b.detach(), common_a, common_a]), what, torch.cat([clean_b, clean_a, clean_a]))
        own, none, with_it = zip(logits.split(n), raws.split(n), strict=True)
        few, half, terms, x = max(1, round((1 - w.worn) * n)), n // 2, Terms(), painted(*with_it, a).detach()
        wearing = x[few:], visible(with_it[0], a, x)[few:], a[few:]
        if w.adversary:  # half on others of b, bared, which are told from b by the part alone; half on a, which need it
            bare, on = (torch.cat([v.roll(1, 0)[half:], u[:half]]) for u, v in ((clean_a, clean_b), (common_a, common_b.detach())))
            batch["worn"] = painted(*self.paint(on, separate, bare), bare)
            terms.add("adversary", losses.logistic_adversary(self.viewer(batch["worn"])), w.adversary)
        terms.add("recon1_b", losses.absolute(painted(*own, clean_b), b), w.recon1_b)
        terms.add("recon2_b", losses.absolute(painted(*own, b), b), w.recon2_b)
        terms.add("recon2_a", losses.absolute(painted(*none, a), a), w.recon2_a)
        terms.add("confusion", losses.domain_confusion(self.critic, common_a, common_b), w.confusion)
        terms.add("idle", idle, w.idle)
        terms.add("present", present, w.present)
        terms.add("whole", losses.squared(own[1], b), w.whole)
        terms.add("agree", losses.covers(own[0], drop), w.agree)
        large_x, large_b = (mask.sigmoid().mean((1, 2, 3)) for mask, _ in (with_it, own))
        terms.add("as_large", losses.absolute(large_x, large_b.detach()), w.as_large)
        return terms | self.seen(disturbed(a[:few], b[:few], progress.generator, w.grafted, bare=0.25), wearing)

    def seen(self, *parts: Soiled) -> Terms:
        """What E_c and D1 make of pictures of a with something on them: what lies behind it, and where it is."""
        soiled, covered, behind = (torch.cat(column) for column in zip(*parts, strict=True))
        common, bare, drop = self.common.look_behind(soiled, covered)
        (clean, seen), terms = self.draw(torch.cat([common, bare])).chunk(2), Terms()
        terms.add("recon1_a", losses.absolute(clean, behind), self.config.recon1_a)
        terms.add("see_through", losses.absolute_inside(seen, behind, covered), self.config.see_through)
        terms.add("instead", losses.absolute_inside(F.pixel_shuffle(bare, 4), behind, covered), self.config.see_through)
        terms.add("find", losses.covers(drop, (covered > 0.25).float()), self.config.find)
        return terms

    def published_loss(self, batch: Batch, progress: Progress) -> Terms:
        """The paper's own. Each kind of code has batch statistics of its own, since those of mixed codes fit none of them."""
        a, b, w = batch["a"], batch["b"], self.config
        (common_a, common_b), separate_b = together(self.common, (a,), (b,)), self.separate(b)
        batch["common"] = torch.cat([common_a, common_b]).detach()
        clean_a, clean_b = together(self.draw, (common_a,), (common_b,))
        kinds = (common_b, separate_b, clean_b), (common_a, torch.zeros_like(separate_b), clean_a), (common_a, separate_b, clean_a)
        own, none, with_it = together(self.paint, *kinds)
        x, terms = painted(*with_it, a), Terms()
        terms.add("recon1_b", losses.absolute(painted(*own, clean_b), b), w.recon1_b)
        terms.add("recon1_a", losses.absolute(clean_a, a), w.recon1_a)
        terms.add("recon2_b", losses.absolute(painted(*own, b), b), w.recon2_b)
        terms.add("recon2_a", losses.absolute(painted(*none, a), a), w.recon2_a)
        for name, encoder, code in ("cycle_common", self.common, common_a), ("cycle_separate", self.separate, separate_b):
            if getattr(w, name):
                terms.add(name, losses.squared(encoder(x), code), getattr(w, name))
        terms.add("confusion", losses.domain_confusion(self.critic, common_a, common_b), w.confusion)
        return terms

    def critic_loss(self, batch: Batch, progress: Progress) -> Terms:
        terms = Terms(domains=losses.tell_apart(*self.critic(batch["common"]).chunk(2)))
        return terms | Terms(pictures=losses.tell_made(self.viewer, batch["worn"].detach(), batch["b"])) if "worn" in batch else terms

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
        """score: judged transfers + judged removals - 10 x change outside the model's own mask (a share of the full range)."""
        a, b = batch["a"], batch["b"]
        added = self.decode(self.encode(a, "a") | self.encode(b, "b").only("separate"), onto=a)
        assert judge and added.image is not None and added.mask is not None
        change = losses.absolute_inside(added.image, a, 1 - F.max_pool2d(binary(added.mask).float(), 5, 1, 2)) / 2
        worn, gone = (judge(added.image) > 0.5).float().mean().item(), (judge(self.remove(b)) < 0.5).float().mean().item()
        return {"score": worn + gone - 10 * change.item(), "worn": worn, "gone": gone, "outside": change.item()}

    def preview(self, batch: Batch) -> Sheet:
        """Rows: pictures of a wearing each donor's part; below, the donors without it, and where it was found."""
        donors = batch["b"][:6]
        return Sheet([*self.grid(batch["a"][:5], donors).rows, [None, *self.remove(donors)], [None, *self.segment(donors)]])
