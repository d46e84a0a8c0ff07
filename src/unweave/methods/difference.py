"""Domain intersection and difference: two sets, each with a part of its own; draw what neither shows, both parts and none.

Benaim, Khaitov, Galanti, Wolf: Domain Intersection and Domain Difference, ICCV 2019.

Set a shows glasses and no beard, set b a beard and no glasses. One encoder keeps what both sets share, two others what each has alone; a
latent discriminator cannot tell the sets by the common code, and each separate encoder says nothing of the other set's pictures.

    paper             here                  meaning
    E_c, E_a, E_b     common, separate_a, separate_b
    G                 decoder               draws from all three codes, zeros in the place of what is absent
    L_R^A, L_R^B      reconstruct_a, _b     G(E_c(a), E_a(a), 0) = a,  G(E_c(b), 0, E_b(b)) = b
    L_Z^A, L_Z^B      zero_a, zero_b        E_a(b) = 0,  E_b(a) = 0
    L_DC              confusion             a critic takes E_c(a) for E_c(b)

The preset `paper` is that, with as many layers as leave 2x2 cells: at 128 px the published six. Its separate encoders end without a norm,
which would keep their codes from being zero; the release's spectral norms are left out. In runs of minutes the critic alone takes nothing
out of the common code. Departures of the default:
1. `see_through`: E_c is told a set and returns a picture as that set would show it. It learns this from pictures of the set with things
   on them, shapes and pieces (`grafted`: of the other set in place; its own stay) or that set's part; first, `alone` of the run, nothing
   else. E_c(x) is x as b would show it, and that as a would: what both sets share.
2. E_c's code is a map at a quarter of the side, what is left of the picture; E_c also says what it dropped (`find`), and shall drop
   nothing that changes nothing (`idle`).
3. E_a and E_b give vectors, read from windows around what E_c dropped: they say what, the map says where. They steer G's norms,
   one at a time: of a union, what each adds is added up.
4. L_R teaches E_a, E_b and G alone: E_c would learn from it to keep the parts. Absolute and squared errors (`whole`), and G(E_c, 0, 0) is
   what E_c leaves (`neither`).
5. The zero losses are relative to the size of what each encoder says of its own set: to say all softly would be no way out.
6. L_DC teaches E_c only what to drop, and pushes the code of each set towards the label of the other: pushed towards b alone, with free
   hand, it painted beards. A critic of patches; Muon, a step size that decays, and for edits an average of the weights.
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
from unweave.method import Adam, Batch, Group, Method, Muon, Phase, Progress, Terms, images
from unweave.nn import two_sets
from unweave.nn.critics import PatchCritic, VectorCritic
from unweave.nn.decoders import ContextPainter
from unweave.nn.disturb import Soiled, disturbed
from unweave.nn.encoders import ContextEncoder, VectorEncoder
from unweave.nn.windows import marked
from unweave.pictures import Sheet
from unweave.schedules import Ramp, WarmDecay

PATCHES = 0.4  # share of the things stuck on that are pieces of other pictures: hair where none grows, as a beard is


@dataclass(frozen=True)
class DifferenceConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16 from 32 on (paper: 32, 64, 128 or 256)
    published: bool = False  # the paper's networks and losses
    separate: int = 48  # numbers (paper: channels) of each separate code
    width: int = 32  # channels of the widest layers (default networks)
    reconstruct: float = 5.0  # weight of L_R, both sets
    zero: float = 0.02  # weight of L_Z, both sets (paper: 1)
    confusion: float = 0.05  # weight of L_DC
    see_through: float = 1.7  # weight of the picture behind what does not belong (default networks)
    find: float = 1.3  # weight of where that is
    idle: float = 0.3  # weight of dropping what is put back as it was
    grafted: float = 0.0  # share of what E_c sees through that is pieces of other pictures in the same place, instead of things stuck on
    whole: float = 20.0  # weight of the squared error
    alone: float = 0.4  # share of the run in which E_c learns alone
    ramp: float = 0.1  # and then that in which the weight of L_Z rises from 0
    lr: float = 0.01  # step size at its highest: Muon's (paper: Adam's)
    lr_critic: float = 5e-4  # and the critic's, Adam's

    def __post_init__(self) -> None:
        two_sets.check("difference", self.size, two_sets.SIZES if self.published else None)


PRESETS: Mapping[str, DifferenceConfig] = {
    "default": DifferenceConfig(),
    "paper": DifferenceConfig(size=128, published=True, separate=25, reconstruct=1.0, zero=1.0, confusion=0.001, lr=2e-4, lr_critic=2e-4),
}


class Difference(Method):
    """Two sets with a part each: `encode` to common + separate_a + separate_b, `decode` back; verbs transfer, union, intersection."""

    name = "difference"
    Config: ClassVar[type] = DifferenceConfig
    PRESETS: ClassVar[Mapping[str, Any]] = PRESETS
    judged = ("a", "b")

    def __init__(self, config: DifferenceConfig):
        super().__init__(config)
        c, w = config, config.width
        kind: Literal["spatial", "vector"] = "spatial" if c.published else "vector"
        own = (c.separate, *([two_sets.CELLS] * 2 if c.published else []))
        if c.published:
            rest, cells = two_sets.WIDTH - 2 * c.separate, two_sets.CELLS
            self.common: Any = two_sets.common_encoder(c.size, rest)
            self.separate_a, self.separate_b = (two_sets.separate_encoder(c.size, c.separate, bare=True) for _ in "ab")
            self.decoder: nn.Module = two_sets.decoder(c.size)
            self.critic: nn.Module = VectorCritic(rest * cells * cells)
        else:
            rest, cells = ContextEncoder.channels, c.size // 4
            self.common = ContextEncoder(w, told=1)
            self.separate_a, self.separate_b = (VectorEncoder((w, 2 * w, 3 * w, 2 * w), c.separate, c.size, inputs=4) for _ in "ab")
            self.decoder = ContextPainter(2 * c.separate, w, outputs=3)
            self.critic = PatchCritic(rest)
        self.needs = {"a": images(c.size), "b": images(c.size)}
        self.codes = (
            Code("common", "spatial", (rest, cells, cells)),
            Code("separate_a", kind, own, domains=("a",)),
            Code("separate_b", kind, own, domains=("b",)),
        )
        betas = (0.5, 0.999)
        moves = Adam(c.lr, betas) if c.published else Muon(WarmDecay(c.lr))
        self.groups = {
            "autoencoder": Group(("common", "separate_a", "separate_b", "decoder"), moves, clip=5.0, ema=None if c.published else 2000),
            "critic": Group(("critic",), Adam(c.lr_critic, betas), clip=5.0, keep=False),
        }
        main, start = (self.published_loss, 0.0) if c.published else (self.difference_loss, c.alone)
        learn, judge = Phase("autoencoder", main, start=start, others="eval", cost=4), Phase("critic", self.critic_loss, start=start)
        self.phases = (learn, judge) if c.published else (Phase("autoencoder", self.see_loss, stop=start), learn, judge)

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1]. A picture known to be from one set has nothing of the other's part: exact zeros."""
        common, *drops = (self.common(x), None, None) if self.config.published else self.strip(x)
        read_a, read_b = (x if drop is None else marked(x, drop.sigmoid()) for drop in drops)
        codes = Codes(common=common, separate_a=self.separate_a(read_a), separate_b=self.separate_b(read_b))
        return codes if domain is None else codes.zero("separate_b" if domain == "a" else "separate_a")

    def strip(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The default's E_c: x as b would show it, and that as a would; the map, and logits of what was dropped as a's part and as b's."""
        as_b, drop_a = self.common.look(x, told(x, "b"), steady=True)
        as_both, drop_b = self.common.look(F.pixel_shuffle(as_b, 4), told(x, "a"), steady=True)
        return as_both, drop_a, drop_b

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image (N, 3, S, S) in [-1, 1]. `onto` is unused: the whole picture is drawn anew."""
        codes = codes.broadcast()
        return Output(image=self.draw(codes["common"], codes["separate_a"], codes["separate_b"]).clamp(-1, 1))

    def draw(self, common: Tensor, part_a: Tensor, part_b: Tensor) -> Tensor:
        """G. Published: the three codes are maps, one on top of the other. Default: the map is a picture, to which G adds each part."""
        if self.config.published:
            return self.decoder(torch.cat([common, part_a, part_b], dim=1)).float().tanh()
        no = torch.zeros_like(part_a)
        return self.draw_one(common, part_a, no) + self.draw_one(common, no, part_b) - self.draw_one(common, no, no)

    def draw_one(self, common: Tensor, part_a: Tensor, part_b: Tensor) -> Tensor:
        """G of the default, of pictures with one part or none: both at once it never sees in training, and would lose one."""
        return (F.pixel_shuffle(common, 4) + self.decoder(common, torch.cat([part_a, part_b], dim=1))).float()

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def see_loss(self, batch: Batch, progress: Progress) -> Terms:  # E_c alone
        return self.seen(self.soiled(batch["a"], batch["b"], progress), self.soiled(batch["b"], batch["a"], progress))

    def soiled(self, own: Tensor, other: Tensor, progress: Progress) -> Soiled:
        return disturbed(own, other, progress.generator, self.config.grafted, patches=PATCHES)

    def seen(self, *parts: Soiled) -> Terms:
        """What E_c makes of pictures with something on them, first of a, then as many of b: what lies behind it, and where it is."""
        soiled, covered, behind = (torch.cat(column) for column in zip(*parts, strict=True))
        common, drop = self.common.look(soiled, torch.cat([told(some, name) for some, name in zip(soiled.chunk(2), "ab", strict=True)]))
        clean, terms = F.pixel_shuffle(common, 4), Terms()
        terms.add("keep", losses.absolute(clean, behind), self.config.reconstruct)
        terms.add("see_through", losses.absolute_inside(clean, behind, covered), self.config.see_through)
        terms.add("find", losses.covers(drop, (covered > 0.25).float()), self.config.find)
        return terms

    def difference_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b, w, n = batch["a"], batch["b"], self.config, len(batch["a"])
        both, some = torch.cat([a, b]), torch.cat([torch.arange(n // 2, n), torch.arange(n + n // 2, 2 * n)])
        common, drop_a, drop_b = self.strip(both)
        bare = F.pixel_shuffle(common, 4).detach()
        batch["common"] = common.detach()  # for the critic's turn
        unsteady = 1 + 0.05 * progress.randn(2 * n, 3, like=both)
        a_of_a, a_of_b = self.separate_a(marked(both, drop_a.detach().sigmoid(), unsteady)).chunk(2)
        b_of_a, b_of_b = self.separate_b(marked(both, drop_b.detach().sigmoid(), unsteady)).chunk(2)
        nothing, terms = torch.zeros_like(a_of_a), Terms()
        where = torch.cat([batch["common"], batch["common"][some]])  # each with its own part, some with neither
        drawn = self.draw_one(where, torch.cat([a_of_a, nothing, nothing]), torch.cat([nothing, b_of_b, nothing]))
        with torch.no_grad():  # half of what E_c sees through wears both parts
            u = self.draw(batch["common"][some], a_of_a[n // 2 :].repeat(2, 1), b_of_b[n // 2 :].repeat(2, 1))
        covered = ((u - both[some]).abs().amax(1, keepdim=True) * 2).clamp(0, 1)
        wearing_a, wearing_b = zip(u.chunk(2), covered.chunk(2), both[some].chunk(2), strict=True)
        terms.add("reconstruct", losses.absolute(drawn[: 2 * n], both), w.reconstruct)
        terms.add("whole", losses.squared(drawn[: 2 * n], both), w.whole)
        terms.add("neither", losses.absolute(drawn[2 * n :], bare[some]), w.reconstruct)
        for name, foreign, own in (("zero_a", a_of_b, a_of_a), ("zero_b", b_of_a, b_of_b)):
            size = losses.zero(own).detach().clamp(min=0.1)
            terms.add(name, losses.zero(foreign) / size, progress.at(Ramp(0.0, w.zero, w.alone, w.alone + w.ramp)))
        of_a, of_b = self.critic(common).chunk(2)
        terms.add("confusion", losses.tell_apart(of_b, of_a), w.confusion)
        terms.add("idle", (losses.idle(drop_a[:n], a, bare[:n]) + losses.idle(drop_b[n:], b, bare[n:])) / 2, w.idle)
        a, b = a[: n // 2], b[: n // 2]
        return terms | self.seen(self.soiled(a, b, progress), wearing_a, self.soiled(b, a, progress), wearing_b)

    def published_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b, w = batch["a"], batch["b"], self.config
        common = self.common(both := torch.cat([a, b]))  # all norms are of one picture: one pass for both sets
        batch["common"] = common.detach()  # for the critic's turn
        (a_of_a, a_of_b), (b_of_a, b_of_b) = self.separate_a(both).chunk(2), self.separate_b(both).chunk(2)
        nothing, terms = torch.zeros_like(a_of_a), Terms()
        drawn_a, drawn_b = self.draw(common, torch.cat([a_of_a, nothing]), torch.cat([nothing, b_of_b])).chunk(2)
        for name, drawn, x, foreign in (("a", drawn_a, a, a_of_b), ("b", drawn_b, b, b_of_a)):
            terms.add(f"reconstruct_{name}", losses.absolute(drawn, x), w.reconstruct)
            terms.add(f"zero_{name}", losses.zero(foreign), w.zero)
        # Neither set lacks a part, so which of them E_c is to look like does not matter: b, as in the release.
        terms.add("confusion", losses.domain_confusion(lambda code: -self.critic(code), *reversed(common.chunk(2))), w.confusion)
        return terms

    def critic_loss(self, batch: Batch, progress: Progress) -> Terms:
        return Terms(domains=losses.tell_apart(*self.critic(batch["common"]).chunk(2)))

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
        """score: judged transfers, both ways, - 2 x how often stripped pictures are still told (chance .5) - 10 x reconstruction error."""
        assert judge is not None
        a, b = batch["a"], batch["b"]
        b_like = (judge(self.transfer(b, onto=a, direction="b2a")) > 0.5).float().mean().item()
        a_like = (judge(self.transfer(a, onto=b, direction="a2b")) < 0.5).float().mean().item()
        of_a, of_b = judge(torch.cat([self.intersection(a), self.intersection(b)])).chunk(2)
        told = ((of_a < 0.5).float() + (of_b > 0.5).float()).mean().item() / 2
        drawn = [self.draw(*self.encode(x, domain).values()) for x, domain in ((a, "a"), (b, "b"))]
        error = losses.squared(torch.cat(drawn), torch.cat([a, b])).item()
        return {"score": b_like + a_like - 2 * told - 10 * error, "b_onto_a": b_like, "a_onto_b": a_like, "told": told, "error": error}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Pictures of both sets, stripped of their parts, with both parts, and each with the other's in place of its own."""
        a, b = batch["a"][:6], batch["b"][:6]
        rows = {"a": a, "b": b, "a, neither": self.intersection(a), "b, neither": self.intersection(b)}
        rows |= {"a, both": self.union(a, b), "b, both": self.union(a, b, onto=b)}
        rows |= {"a with b's": self.transfer(b, onto=a, direction="b2a"), "b with a's": self.transfer(a, onto=b, direction="a2b")}
        return Sheet([list(pictures) for pictures in rows.values()], left=list(rows))


def told(pictures: Tensor, name: str) -> Tensor:
    """Which set E_c shall make pictures look like, (N, 1)."""
    return pictures.new_full((len(pictures), 1), 1.0 if name == "b" else -1.0)
