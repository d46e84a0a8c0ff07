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
1. Networks of residual blocks in GroupNorm; E_c's code is a map of 8x8 cells (at 64 px) of one variance, so that no critic is outrun.
2. The separate codes are vectors that steer the decoder's norms, read from shifted pictures: they say what, the map says where.
3. The zero losses are relative to the size of what each encoder says of its own set: to say all softly would be no way out.
4. `price`: these codes are read with noise and pay for their size, so that they do not repeat what E_c has said.
5. `undo`: of u = G(E_c(a), E_a(a), E_b(b)), which is a with a known part more, G(E_c(u), E_a(a), 0) = a; and likewise of b.
6. Squared errors, a critic of patches, Muon, a step size that decays, and for edits an average of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from unweave import losses
from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.method import Adam, Batch, Group, Method, Muon, Phase, Progress, Terms, images
from unweave.nn import two_sets
from unweave.nn.critics import PatchCritic, VectorCritic
from unweave.nn.disturb import shifted
from unweave.nn.encoders import VectorEncoder
from unweave.nn.steered import ResidualEncoder, SteeredDecoder
from unweave.pictures import Sheet
from unweave.schedules import Ramp, WarmDecay


@dataclass(frozen=True)
class DifferenceConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16 from 32 on (paper: 32, 64, 128 or 256)
    published: bool = False  # the paper's networks and losses
    common: int = 16  # channels of the common code (default networks)
    separate: int = 64  # numbers (paper: channels) of each separate code
    width: int = 32  # channels of the outermost layers (default networks)
    reconstruct: float = 1.0  # weight of L_R, both sets
    zero: float = 0.02  # weight of L_Z, both sets (paper: 1)
    confusion: float = 0.05  # weight of L_DC: more hides the parts better and blurs
    ramp: float = 0.1  # share of the run in which the weights of L_Z and L_DC rise from 0 (default networks)
    undo: float = 1.0  # weight of a union taken apart again (default networks)
    price: float = 5e-5  # weight of the separate codes' size (default networks)
    lr: float = 0.01  # step size at its highest: Muon's (paper: Adam's)
    lr_critic: float = 0.005  # and the critic's, Muon's (paper: Adam's)

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16:
            raise UserError(f"difference takes pictures whose side is a multiple of 16 from 32 on (32, 48, 64 ...), not {self.size}.")
        if self.published and self.size not in two_sets.SIZES:
            raise UserError(f"The published networks of difference take pictures of 32, 64, 128 or 256 pixels, not {self.size}.")


PRESETS: Mapping[str, DifferenceConfig] = {
    "default": DifferenceConfig(),
    "paper": DifferenceConfig(size=128, published=True, separate=25, zero=1.0, confusion=0.001, lr=2e-4, lr_critic=2e-4),
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
        kind: Literal["spatial", "vector"] = "vector"
        own: tuple[int, ...]
        if c.published:
            rest, cells, own, kind = (
                two_sets.WIDTH - 2 * c.separate,
                two_sets.CELLS,
                (c.separate, two_sets.CELLS, two_sets.CELLS),
                "spatial",
            )
            self.common: nn.Module = two_sets.common_encoder(c.size, rest)
            self.separate_a, self.separate_b = (two_sets.separate_encoder(c.size, c.separate, bare=True) for _ in "ab")
            self.decoder: nn.Module = two_sets.decoder(c.size)
            self.critic: nn.Module = VectorCritic(rest * cells * cells)
        else:
            rest, cells, own = c.common, c.size // 8, (c.separate,)
            self.common = ResidualEncoder((w, 2 * w, 4 * w), rest, blocks=1)
            self.separate_a, self.separate_b = (VectorEncoder((w, 2 * w, 4 * w, 4 * w), c.separate, c.size) for _ in "ab")
            self.decoder = SteeredDecoder(rest, (4 * w, 2 * w, w), 2 * c.separate)
            self.critic = PatchCritic(rest, 128)
        self.needs = {"a": images(c.size), "b": images(c.size)}
        self.codes = (
            Code("common", "spatial", (rest, cells, cells)),
            Code("separate_a", kind, own, domains=("a",)),
            Code("separate_b", kind, own, domains=("b",)),
        )
        betas = (0.5, 0.999)
        moves = Adam(c.lr, betas) if c.published else Muon(WarmDecay(c.lr))
        networks = ("common", "separate_a", "separate_b", "decoder")
        self.groups = {
            "autoencoder": Group(networks, moves, clip=5.0, ema=None if c.published else 2000),
            "critic": Group(("critic",), Adam(c.lr_critic, betas) if c.published else Muon(c.lr_critic), clip=5.0, keep=False),
        }
        self.phases = (Phase("autoencoder", self.difference_loss, others="eval"), Phase("critic", self.critic_loss))

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1]. A picture known to be from one set has nothing of the other's part: exact zeros."""
        codes = Codes(common=self.common(x), separate_a=self.separate_a(x), separate_b=self.separate_b(x))
        return codes if domain is None else codes.zero("separate_b" if domain == "a" else "separate_a")

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image (N, 3, S, S) in [-1, 1]. `onto` is unused: the whole picture is drawn anew."""
        codes = codes.broadcast()
        return Output(image=self.draw(codes["common"], codes["separate_a"], codes["separate_b"]))

    def draw(self, common: Tensor, part_a: Tensor, part_b: Tensor) -> Tensor:
        """G. Published: the three codes are maps, one on top of the other."""
        parts = torch.cat([part_a, part_b], dim=1)
        out = self.decoder(torch.cat([common, parts], dim=1)) if self.config.published else self.decoder(common, parts)
        return out.float().tanh()

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def difference_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b, w = batch["a"], batch["b"], self.config
        both = torch.cat([a, b])  # all norms are of one picture: one pass for both sets
        common, read = self.common(both), both if w.published else shifted(both, progress.generator, reach=1 / 8)
        batch["common"] = common.detach()  # for the critic's turn
        (a_of_a, a_of_b), (b_of_a, b_of_b) = self.separate_a(read).chunk(2), self.separate_b(read).chunk(2)
        said_a, said_b, nothing = a_of_a, b_of_b, torch.zeros_like(a_of_a)
        if not w.published:
            said_a, said_b = (own + progress.randn(*own.shape, like=own) for own in (a_of_a, b_of_b))
        drawn_a, drawn_b = self.draw(common, torch.cat([said_a, nothing]), torch.cat([nothing, said_b])).chunk(2)

        terms, error = Terms(), losses.absolute if w.published else losses.squared
        terms.add("reconstruct_a", error(drawn_a, a), w.reconstruct)
        terms.add("reconstruct_b", error(drawn_b, b), w.reconstruct)
        rise = 1.0 if w.published else progress.at(Ramp(0.0, 1.0, 0.0, w.ramp))
        for name, foreign, own in (("zero_a", a_of_b, a_of_a), ("zero_b", b_of_a, b_of_b)):
            size = 1.0 if w.published else losses.zero(own).detach().clamp(min=0.1)
            terms.add(name, losses.zero(foreign) / size, rise * w.zero)
        common_a, common_b = common.chunk(2)
        # Neither set lacks a part, so which of them E_c is to look like does not matter: b, as in the release.
        confusion = losses.domain_confusion(lambda code: -self.critic(code), common_b, common_a)
        terms.add("confusion", confusion, rise * w.confusion)
        if not w.published:
            with torch.no_grad():
                union = self.draw(common, torch.cat([said_a, said_a]), torch.cat([said_b, said_b]))
            apart = self.draw(self.common(union), torch.cat([said_a, nothing]), torch.cat([nothing, said_b]))
            terms.add("undo", losses.squared(apart, both), w.undo)
            terms.add("price", (losses.normal(a_of_a, nothing) + losses.normal(b_of_b, nothing)) / 2, w.price)
        return terms

    def critic_loss(self, batch: Batch, progress: Progress) -> Terms:
        of_a, of_b = self.critic(batch["common"]).chunk(2)
        return Terms(domains=losses.tell_apart(of_a, of_b))

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
        """score: judged transfers, both ways - 10 x reconstruction error. (A judge of the two sets knows nothing of unions.)"""
        assert judge is not None
        a, b = batch["a"], batch["b"]
        b_like = (judge(self.transfer(b, onto=a, direction="b2a")) > 0.5).float().mean().item()
        a_like = (judge(self.transfer(a, onto=b, direction="a2b")) < 0.5).float().mean().item()
        error = 0.0
        for x, domain in ((a, "a"), (b, "b")):
            drawn = self.decode(self.encode(x, domain)).image
            assert drawn is not None
            error += losses.squared(drawn, x).item() / 2
        return {"score": b_like + a_like - 10 * error, "b_onto_a": b_like, "a_onto_b": a_like, "error": error}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Pictures of both sets, stripped of their parts, with both parts, and each with the other's in place of its own."""
        a, b = batch["a"][:6], batch["b"][:6]
        rows = {
            "a": a,
            "b": b,
            "a, neither": self.intersection(a),
            "b, neither": self.intersection(b),
            "a, both": self.union(a, b),
            "b, both": self.union(a, b, onto=b),
            "a with b's": self.transfer(b, onto=a, direction="b2a"),
            "b with a's": self.transfer(a, onto=b, direction="a2b"),
        }
        return Sheet([list(pictures) for pictures in rows.values()], left=list(rows))
