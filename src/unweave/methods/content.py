"""Content transfer: put what one set's pictures show in addition on a picture of the other.

Press, Galanti, Benaim, Wolf: Emerging Disentanglement in Auto-Encoder Based Unsupervised Image Content Transfer, ICLR 2019.

Set b shows everything set a shows, and something more. One encoder keeps what both share, a second one only what b adds; a latent
discriminator that cannot tell a from b by the common code is all that keeps them apart. One decoder draws the picture from both codes.

    paper             here                  meaning
    E_c, E_s, D       common, separate, decoder
    L_R^A, L_R^B      reconstruct_a, _b     D(E_c(a), 0) = a,  D(E_c(b), E_s(b)) = b
    L_DC              confusion             a critic takes E_c(b) for E_c(a)

The preset `paper` is that, as released (squared error; the paper writes absolute), with as many layers as leave 2x2 cells: at 128 px the
published six. The preset `image` is the default with a critic of pictures, D(E_c(a), 0) against D(E_c(b), 0), in place of the latent one.
In runs of minutes that critic alone takes nothing out of the common code. Departures of the default:
1. `see_through`: E_c and D learn to draw a as it is although something is on it, random shapes (`grafted`: or pieces of b; those of a stay)
   or a transfer's part; for the first share `alone` of the run nothing else. So E_c drops what b shows in addition.
2. E_c's code is a map at a quarter of the side, what is left of the picture; E_c also says what it dropped (`find`), and shall drop
   nothing that changes nothing (`idle`).
3. E_s's code is a vector, read from a window around what E_c dropped: it says what, the map says where. It steers D's norms.
4. L_R^B teaches E_s and D alone: E_c would learn from it to keep the part. Absolute and, of b, squared errors (`whole`).
5. A critic of patches; Muon, a step size that decays, and for edits an average of the weights.
6. In edits the separate code is a little longer (`strength`).
In all, the critic reads the codes of the encoder's pass; the authors encode again after the update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave import losses
from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.method import Adam, Batch, Group, Method, Muon, Phase, Progress, Terms, images
from unweave.nn import two_sets
from unweave.nn.critics import PatchCritic, VectorCritic
from unweave.nn.decoders import ContextPainter
from unweave.nn.disturb import Soiled, disturbed
from unweave.nn.encoders import ContextEncoder, VectorEncoder
from unweave.nn.windows import marked
from unweave.pictures import Sheet
from unweave.schedules import WarmDecay


@dataclass(frozen=True)
class ContentConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16 from 32 on (paper: 32, 64, 128 or 256)
    published: bool = False  # the paper's networks and losses
    adversary: Literal["latent", "image"] = "latent"  # what the critic tells apart: common codes, or what is drawn from them alone
    separate: int = 64  # numbers (paper: channels) of the separate code
    width: int = 32  # channels of the widest layers (default networks)
    reconstruct: float = 5.0  # weight of L_R, both sets
    confusion: float = 0.1  # weight of L_DC
    see_through: float = 1.7  # weight of the picture behind what does not belong (default networks)
    find: float = 1.3  # weight of where that is
    idle: float = 0.3  # weight of dropping what is put back as it was
    grafted: float = 0.0  # share of what E_c sees through that is pieces of other pictures instead of stickers
    sure: float = 0.0  # added to E_c's logits of dropping in pictures known to be of b, which all show the part
    whole: float = 20.0  # weight of the squared error of b
    strength: float = 1.15  # of the separate code in edits: D draws a part fainter on a face that it was not read from
    alone: float = 0.4  # share of the run in which E_c and D learn from a alone
    lr: float = 0.01  # step size at its highest: Muon's (paper: Adam's)
    lr_critic: float = 5e-4  # and the critic's, Adam's

    def __post_init__(self) -> None:
        two_sets.check("content", self, two_sets.SIZES)
        if self.adversary not in ("latent", "image"):
            raise UserError(f'The adversary of content is "latent" or "image", not "{self.adversary}".')


PRESETS: Mapping[str, ContentConfig] = {
    "default": ContentConfig(),
    "photographs": ContentConfig(grafted=0.75, sure=1.0, idle=0.03, strength=1.0),
    "paper": ContentConfig(size=128, published=True, separate=25, reconstruct=1.0, confusion=0.001, strength=1.0, lr=2e-4, lr_critic=2e-4),
    "image": ContentConfig(adversary="image"),
}


class Content(Method):
    """Two-set content transfer: `encode` to common + separate, `decode` back; verbs transfer, remove, interpolate."""

    name = "content"
    Config: ClassVar[type] = ContentConfig
    PRESETS: ClassVar[Mapping[str, Any]] = PRESETS
    judged = ("a", "b")

    def __init__(self, config: ContentConfig):
        super().__init__(config)
        c, w = config, config.width
        own: tuple[int, ...]
        if c.published:
            rest, cells, own = two_sets.WIDTH - c.separate, two_sets.CELLS, (c.separate, two_sets.CELLS, two_sets.CELLS)
            self.common: Any = two_sets.common_encoder(c.size, rest)
            self.separate: nn.Module = two_sets.separate_encoder(c.size, c.separate)
            self.decoder: nn.Module = two_sets.decoder(c.size)
            latent: nn.Module = VectorCritic(rest * cells * cells)
        else:
            rest, cells, own = ContextEncoder.channels, c.size // 4, (c.separate,)
            self.common = ContextEncoder(w)
            self.separate = VectorEncoder((w, 2 * w, 4 * w, 2 * w), c.separate, c.size, inputs=4)
            self.decoder = ContextPainter(c.separate, w, outputs=3)
            latent = PatchCritic(rest)
        self.critic = PatchCritic(3) if c.adversary == "image" else latent
        self.needs = {"a": images(c.size), "b": images(c.size)}
        kind: Literal["spatial", "vector"] = "spatial" if c.published else "vector"
        self.codes = Code("common", "spatial", (rest, cells, cells)), Code("separate", kind, own, domains=("b",))
        self.absent = own
        betas = (0.5, 0.999)
        moves = Adam(c.lr, betas) if c.published else Muon(WarmDecay(c.lr))
        self.groups = {
            "autoencoder": Group(("common", "separate", "decoder"), moves, clip=5.0, ema=None if c.published else 2000),
            "critic": Group(("critic",), Adam(c.lr_critic, betas), clip=5.0, keep=False),
        }
        main, start = (self.published_loss, 0.0) if c.published else (self.transfer_loss, c.alone)
        self.phases = (
            Phase("autoencoder", main, start=start, others="eval", cost=2.2),
            Phase("critic", self.critic_loss, start=start, cost=0.1),
        )
        if not c.published:
            self.phases = (Phase("autoencoder", self.see_loss, stop=start), *self.phases)

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1]. separate: `strength` times E_s; of a picture known to be from `a` exact zeros."""
        common, drop = (self.common(x), None) if self.config.published else self.common.look(x, sure=self.config.sure * (domain == "b"))
        separate = self.config.strength * self.separate(x if drop is None else marked(x, drop.sigmoid()))
        return Codes(common=common, separate=torch.zeros_like(separate) if domain == "a" else separate)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image (N, 3, S, S) in [-1, 1]. `onto` is unused: the whole picture is drawn anew."""
        codes = codes.broadcast()
        return Output(image=self.draw(codes["common"], codes["separate"]).clamp(-1, 1))

    def draw(self, common: Tensor, separate: Tensor | None = None) -> Tensor:
        """D; without a separate code, with zeros. Published: both codes are maps. Default: the map is a picture, to which D adds."""
        if separate is None:
            separate = common.new_zeros(len(common), *self.absent)
        if self.config.published:
            return self.decoder(torch.cat([common, separate], dim=1)).float().tanh()
        return (F.pixel_shuffle(common, 4) + self.decoder(common, separate)).float()

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def see_loss(self, batch: Batch, progress: Progress) -> Terms:
        """E_c and D alone."""
        return self.seen(disturbed(batch["a"], batch["b"], progress.generator, self.config.grafted, bare=0.25))

    def transfer_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b, w, n = batch["a"], batch["b"], self.config, len(batch["a"])
        common_b, drop = self.common.look(b, sure=w.sure)
        with torch.no_grad():  # what a's own pictures teach E_c, `seen` has among its pictures
            common_a = self.common(a)
        clean_b = self.draw(common_b)
        idle, drop = losses.idle(drop, b, clean_b.detach()), drop.detach().sigmoid()
        said = self.separate(marked(b, drop, 1 + 0.05 * progress.randn(n, 3, like=drop)))
        drawn_b = self.draw(common_b.detach(), said)
        first, last = a[: n // 2], a[n // 2 :]
        with torch.no_grad():  # half of what E_c sees through wears b's part
            x = self.draw(common_a[n // 2 :], said[n // 2 :])
        wearing = x, ((x - last).abs().amax(1, keepdim=True) * 2).clamp(0, 1), last
        seen_a, seen_b = (self.draw(common_a), clean_b) if w.adversary == "image" else (common_a, common_b)
        batch["seen"] = torch.cat([seen_a, seen_b]).detach()  # for the critic's turn

        terms = Terms()
        terms.add("reconstruct_b", losses.absolute(drawn_b, b), w.reconstruct)
        terms.add("whole", losses.squared(drawn_b, b), w.whole)
        terms.add("confusion", losses.domain_confusion(self.critic, seen_a, seen_b), w.confusion)
        terms.add("idle", idle, w.idle)
        return terms | self.seen(disturbed(first, b[: n // 2], progress.generator, w.grafted, bare=0.25), wearing)

    def seen(self, *parts: Soiled) -> Terms:
        """What E_c and D make of pictures of a with something on them: what lies behind it, and where it is."""
        soiled, covered, behind = (torch.cat(column) for column in zip(*parts, strict=True))
        common, drop = self.common.look(soiled)
        clean, terms = self.draw(common), Terms()
        terms.add("reconstruct_a", losses.absolute(clean, behind), self.config.reconstruct)
        terms.add("see_through", losses.absolute_inside(clean, behind, covered), self.config.see_through)
        terms.add("find", losses.covers(drop, (covered > 0.25).float()), self.config.find)
        return terms

    def published_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b, w = batch["a"], batch["b"], self.config
        common = self.common(torch.cat([a, b]))  # all norms are of one picture: one pass for both sets
        separate = self.separate(b)
        drawn_a, drawn_b = self.draw(common, torch.cat([torch.zeros_like(separate), separate])).chunk(2)
        batch["seen"] = common.detach()  # for the critic's turn
        terms = Terms()
        terms.add("reconstruct_a", losses.squared(drawn_a, a), w.reconstruct)
        terms.add("reconstruct_b", losses.squared(drawn_b, b), w.reconstruct)
        terms.add("confusion", losses.domain_confusion(self.critic, *common.chunk(2)), w.confusion)
        return terms

    def critic_loss(self, batch: Batch, progress: Progress) -> Terms:
        of_a, of_b = self.critic(batch["seen"]).chunk(2)
        return Terms(domains=losses.tell_apart(of_a, of_b))

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
        """score: judged transfers + judged removals - 10 x reconstruction error."""
        assert judge is not None
        a, b = batch["a"], batch["b"]
        codes_a, codes_b = self.encode(a, "a"), self.encode(b, "b")
        worn = (judge(self.draw(codes_a["common"], codes_b["separate"])) > 0.5).float().mean().item()
        gone = (judge(self.draw(codes_b["common"], codes_a["separate"])) < 0.5).float().mean().item()
        error = sum(losses.squared(self.draw(c["common"], c["separate"]), x).item() for c, x in ((codes_a, a), (codes_b, b))) / 2
        return {"score": worn + gone - 10 * error, "worn": worn, "gone": gone, "error": error}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Rows: pictures of a wearing each donor's part; below, the donors without it, and drawn again with it."""
        targets, donors = batch["a"][:5], batch["b"][:6]
        again = self.decode(self.encode(donors, "b")).image
        assert again is not None
        return Sheet([*self.grid(targets, donors).rows, [None, *self.remove(donors)], [None, *again]])
