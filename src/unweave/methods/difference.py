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
which would keep their codes from being zero; the release's spectral norms are left out. Departures of the default:
1. `see_through`: E_c is two networks, one for each part. That of b's part learns on pictures of a, with a's part or with what b shows in
   that place, and things on them that it shall drop: shapes, pieces of b (`grafted`; of a they stay), b's part; first, `alone`, only that.
2. E_c's code is a map, what is left of the picture. What it drops (`find`; not for nothing: `idle`) and puts there (`instead`) are apart.
3. E_a and E_b say what, in vectors read around what E_c dropped, which steer G's norms one at a time: of a union, what each adds is added.
4. L_R teaches E_a, E_b and G alone, with squared errors too (`whole`); G(E_c, 0, 0) is what E_c leaves (`neither`).
5. The zero losses are relative to the size of what each encoder says of its own set: to say all softly would be no way out.
6. L_DC has no weight: it blurs what is bare. With one, it teaches E_c only what to drop, and pushes each set towards the other's label.
7. A critic of patches; Muon, a step size that decays, and for edits an average of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from unweave.nn.disturb import Soiled, disturbed, lent
from unweave.nn.encoders import ContextEncoder, VectorEncoder
from unweave.nn.windows import marked
from unweave.pictures import Sheet
from unweave.schedules import Ramp, WarmDecay

OTHER = {"a": "b", "b": "a"}
PATCHES = 0.4  # share of the things stuck on that are pieces of other pictures: hair where none grows, as a beard is


@dataclass(frozen=True)
class DifferenceConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16 from 32 on (paper: 32, 64, 128 or 256)
    published: bool = False  # the paper's networks and losses
    separate: int = 38  # numbers (paper: channels) of each separate code
    width: int = 32  # channels of the widest layers (default networks)
    reconstruct: float = 5.0  # weight of L_R, both sets
    zero: float = 0.02  # weight of L_Z, both sets (paper: 1)
    confusion: float = 0.0  # weight of L_DC (paper: 0.001); without it the critic learns all the same, and says what it sees
    see_through: float = 1.7  # weight of the picture behind what does not belong (default networks)
    find: float = 1.3  # weight of where that is
    idle: float = 0.03  # weight of dropping what is put back as it was
    grafted: float = 0.75  # share of what E_c sees through that is pieces of other pictures in the same place, instead of things stuck on
    sure: float = 1.0  # added to E_c's logits of dropping a's part in pictures known to be of a, and b's in those of b
    again: int = 0  # how often E_c looks, in edits of such pictures, once more at what it has left
    whole: float = 20.0  # weight of the squared error
    alone: float = 0.4  # share of the run in which E_c learns alone
    ramp: float = 0.1  # and then that in which the weight of L_Z rises from 0
    lr: float = 0.01  # step size at its highest: Muon's (paper: Adam's)
    lr_critic: float = 5e-4  # and the critic's, Adam's

    def __post_init__(self) -> None:
        two_sets.check("difference", self, two_sets.SIZES)


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
        own: tuple[Literal["spatial", "vector"], tuple[int, ...]] = "vector", (c.separate,)
        if c.published:
            own = "spatial", (c.separate, two_sets.CELLS, two_sets.CELLS)
            rest, cells = two_sets.WIDTH - 2 * c.separate, two_sets.CELLS
            self.common: Any = two_sets.common_encoder(c.size, rest)
            self.separate_a, self.separate_b = (two_sets.separate_encoder(c.size, c.separate, bare=True) for _ in "ab")
            self.decoder: nn.Module = two_sets.decoder(c.size)
            self.critic: nn.Module = VectorCritic(rest * cells * cells)
        else:
            rest, cells = ContextEncoder.channels, c.size // 4
            self.common = nn.ModuleDict({name: ContextEncoder(3 * w // 4) for name in "ab"})
            self.separate_a, self.separate_b = (VectorEncoder((w, 2 * w, 2 * w, 2 * w), c.separate, c.size, inputs=4) for _ in "ab")
            self.decoder = ContextPainter(2 * c.separate, w, outputs=3)
            self.critic = PatchCritic(rest)
        self.needs = {"a": images(c.size), "b": images(c.size)}
        self.codes = Code("common", "spatial", (rest, cells, cells)), *(Code(f"separate_{n}", *own, domains=(n,)) for n in "ab")
        moves = Adam(c.lr, (0.5, 0.999)) if c.published else Muon(WarmDecay(c.lr))
        self.groups = {
            "autoencoder": Group(("common", "separate_a", "separate_b", "decoder"), moves, clip=5.0, ema=None if c.published else 2000),
            "critic": Group(("critic",), Adam(c.lr_critic, (0.5, 0.999)), clip=5.0, keep=False),
        }
        main, start = (self.published_loss, 0.0) if c.published else (self.difference_loss, c.alone)
        learn, judge = Phase("autoencoder", main, start=start, others="eval", cost=22), Phase("critic", self.critic_loss, start=start)
        self.phases = (learn, judge) if c.published else (Phase("autoencoder", self.see_loss, stop=start, cost=10), learn, judge)

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1]. A picture known to be from one set has nothing of the other's part: exact zeros."""
        common, *drops = (self.common(x), None, None) if self.config.published else self.strip(x, domain, self.config.again)
        read_a, read_b = (x if drop is None else marked(x, drop.sigmoid()) for drop in drops)
        codes = Codes(common=common, separate_a=self.separate_a(read_a), separate_b=self.separate_b(read_b))
        return codes if domain is None else codes.zero("separate_b" if domain == "a" else "separate_a")

    def strip(self, x: Tensor, domain: str | None = None, again: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """The default's E_c: the map, and logits of what was dropped as a's part and as b's; where the set is known, only its own is."""
        if domain is None:
            without_a, drop_a = self.common["a"].look(x)
            without_both, drop_b = self.common["b"].look(F.pixel_shuffle(without_a, 4))
            return without_both, drop_a, drop_b
        bare, own = self.common[domain].look(x, steady=True, sure=self.config.sure, again=again)
        with torch.no_grad():
            foreign = self.common[OTHER[domain]].decide(x)[0]
        return (bare, own, foreign) if domain == "a" else (bare, foreign, own)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image (N, 3, S, S) in [-1, 1]. `onto` is unused: the whole picture is drawn anew."""
        codes = codes.broadcast()
        return Output(image=self.draw(codes["common"], codes["separate_a"], codes["separate_b"]).clamp(-1, 1))

    def draw(self, common: Tensor, part_a: Tensor, part_b: Tensor) -> Tensor:
        """G. Published: the three codes are maps, one on top of the other. Default: the map is a picture, to which G adds each part."""
        if self.config.published:
            return self.decoder(torch.cat([common, part_a, part_b], dim=1)).float().tanh()
        return self.draw_one(common, part_a, no := 0 * part_a) + self.draw_one(common, no, part_b) - self.draw_one(common, no, no)

    def draw_one(self, common: Tensor, part_a: Tensor, part_b: Tensor) -> Tensor:
        """G of the default, of pictures with one part or none: both at once it never sees in training, and would lose one."""
        return (F.pixel_shuffle(common, 4) + self.decoder(common, torch.cat([part_a, part_b], dim=1))).float()

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def see_loss(self, batch: Batch, progress: Progress) -> Terms:  # E_c alone
        return self.seen(*([self.soiled(batch, name, progress)] for name in "ab"))

    def soiled(self, batch: Batch, name: str, progress: Progress, part: slice = slice(None)) -> Soiled:
        """Pictures of a set with things or pieces of the other set on them, not on their own part: there, every second is the other's."""
        x, other = batch[name][part], batch[OTHER[name]][part]
        bare, own = self.bared(x, name)
        x = lent(x, self.bared(other.roll(1, 0), OTHER[name])[0], own, bare)
        return disturbed(x, other, progress.generator, self.config.grafted, patches=PATCHES, spared=own)

    @torch.no_grad()
    def bared(self, x: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        """Pictures of a set without its part, and around where E_c is sure of that, (N, 1, S, S) in [0, 1]."""
        common, own = self.common[domain].look(x)
        return F.pixel_shuffle(common, 4).to(x), F.max_pool2d(4 * own.float().sigmoid() - 2, 5, 1, 2).clamp(0, 1)

    def seen(self, on_a: Sequence[Soiled], on_b: Sequence[Soiled]) -> Terms:
        """What E_c makes of pictures of a and of b with something of the other on them: what lies behind it, and where it is."""
        views = []
        for name, parts in (("b", on_a), ("a", on_b)):
            soiled, covered, behind = (torch.cat(column) for column in zip(*parts, strict=True))
            views.append((*self.common[name].look_behind(soiled, covered), covered, behind))
        common, bare, drop, covered, behind = (torch.cat(column) for column in zip(*views, strict=True))
        (clean, seen), terms = (F.pixel_shuffle(code, 4) for code in (common, bare)), Terms()
        terms.add("keep", losses.absolute(clean, behind), self.config.reconstruct)
        terms.add("see_through", losses.absolute_inside(clean, behind, covered), self.config.see_through)
        terms.add("instead", losses.absolute_inside(seen, behind, covered), self.config.see_through)
        terms.add("find", losses.covers(drop, (covered > 0.25).float()), self.config.find)
        return terms

    def difference_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b, w, n = batch["a"], batch["b"], self.config, len(batch["a"])
        both, some = torch.cat([a, b]), torch.cat([torch.arange(n // 2, n), torch.arange(n + n // 2, 2 * n)])
        common, drop_a, drop_b = (torch.cat(pair) for pair in zip(self.strip(a, "a"), self.strip(b, "b")))
        batch["common"] = common.detach()  # for the critic's turn
        bare = F.pixel_shuffle(batch["common"], 4)
        unsteady = 1 + 0.05 * progress.randn(2 * n, 3, like=both)
        a_of_a, a_of_b = self.separate_a(marked(both, drop_a.detach().sigmoid(), unsteady)).chunk(2)
        b_of_a, b_of_b = self.separate_b(marked(both, drop_b.detach().sigmoid(), unsteady)).chunk(2)
        nothing, half, terms = torch.zeros_like(a_of_a), torch.zeros_like(a_of_a[: n // 2]), Terms()
        where = torch.cat([batch["common"], batch["common"][some]])  # each with its own part, some with neither
        drawn = self.draw_one(where, torch.cat([a_of_a, nothing, nothing]), torch.cat([nothing, b_of_b, nothing]))
        with torch.no_grad():  # half of what E_c sees through wears the other's part beside its own
            part_a, part_b = torch.cat([half, a_of_a[n // 2 :]]), torch.cat([b_of_b[n // 2 :], half])
            added = self.draw_one(batch["common"][some], part_a, part_b) - drawn[2 * n :]
        worn = zip(*(x.chunk(2) for x in (both[some] + added, (4 * added.abs().amax(1, keepdim=True)).clamp(max=1), both[some])))
        terms.add("reconstruct", losses.absolute(drawn[: 2 * n], both), w.reconstruct)
        terms.add("whole", losses.squared(drawn[: 2 * n], both), w.whole)
        terms.add("neither", losses.absolute(drawn[2 * n :], bare[some]), w.reconstruct)
        for name, foreign, own in (("zero_a", a_of_b, a_of_a), ("zero_b", b_of_a, b_of_b)):
            relative = losses.zero(foreign) / losses.zero(own).detach().clamp(min=0.1)
            terms.add(name, relative, progress.at(Ramp(0.0, w.zero, w.alone, w.alone + w.ramp)))
        terms.add("confusion", losses.tell_apart(*reversed(self.critic(common).chunk(2))), w.confusion)
        terms.add("idle", (losses.idle(drop_a[:n], a, bare[:n]) + losses.idle(drop_b[n:], b, bare[n:])) / 2, w.idle)
        return terms | self.seen(*([self.soiled(batch, name, progress, slice(n // 2)), wears] for name, wears in zip("ab", worn)))

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
        of_a, of_b = judge(torch.cat([self.intersection(a, "a"), self.intersection(b, "b")])).chunk(2)
        told = ((of_a < 0.5).float() + (of_b > 0.5).float()).mean().item() / 2
        drawn = [self.draw(*self.encode(x, domain).values()) for x, domain in ((a, "a"), (b, "b"))]
        error = losses.squared(torch.cat(drawn), torch.cat([a, b])).item()
        return {"score": b_like + a_like - 2 * told - 10 * error, "b_onto_a": b_like, "a_onto_b": a_like, "told": told, "error": error}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Pictures of both sets, stripped of their parts, with both parts, and each with the other's in place of its own."""
        a, b = batch["a"][:6], batch["b"][:6]
        rows = {"a": a, "b": b, "a, neither": self.intersection(a, "a"), "b, neither": self.intersection(b, "b")}
        rows |= {"a, both": self.union(a, b), "b, both": self.union(a, b, b, "b")}
        rows |= {"a with b's": self.transfer(b, onto=a, direction="b2a"), "b with a's": self.transfer(a, onto=b, direction="a2b")}
        return Sheet([list(pictures) for pictures in rows.values()], left=list(rows))
