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
Departures of the default:
1. Networks of residual blocks in GroupNorm; E_c's code is a map of 8x8 cells (at 64 px) of one variance, so that no critic is outrun.
2. The separate code is a vector that steers the decoder's norms, read from shifted pictures: it says what, the map says where.
3. `price`: that code is read with noise and pays for its size, so that it does not repeat what E_c has said.
4. `undo`: with x = D(E_c(a), E_s(b)), which is a with a known part, D(E_c(x), 0) = a.
5. A critic of patches; Muon, a step size that decays, and for edits an average of the weights.
In both, the critic reads the codes of the encoder's pass; the authors encode again after the update.
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
class ContentConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16 from 32 on (paper: 32, 64, 128 or 256)
    published: bool = False  # the paper's networks and losses
    adversary: Literal["latent", "image"] = "latent"  # what the critic tells apart: common codes, or what is drawn from them alone
    common: int = 16  # channels of the common code (default networks)
    separate: int = 64  # numbers (paper: channels) of the separate code
    width: int = 32  # channels of the outermost layers (default networks)
    reconstruct: float = 1.0  # weight of L_R, both sets
    confusion: float = 0.05  # weight of L_DC: more hides the part better and blurs
    ramp: float = 0.1  # share of the run in which that weight rises from 0 (default networks)
    undo: float = 1.0  # weight of a transfer taken off again (default networks)
    price: float = 5e-5  # weight of the separate code's size (default networks)
    lr: float = 0.01  # step size at its highest: Muon's (paper: Adam's)
    lr_critic: float = 0.005  # and the critic's, Muon's (paper: Adam's)

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16:
            raise UserError(f"content takes pictures whose side is a multiple of 16 from 32 on (32, 48, 64 ...), not {self.size}.")
        if self.published and self.size not in two_sets.SIZES:
            raise UserError(f"The published networks of content take pictures of 32, 64, 128 or 256 pixels, not {self.size}.")
        if self.adversary not in ("latent", "image"):
            raise UserError(f'The adversary of content is "latent" or "image", not "{self.adversary}".')


PRESETS: Mapping[str, ContentConfig] = {
    "default": ContentConfig(),
    "paper": ContentConfig(size=128, published=True, separate=25, confusion=0.001, lr=2e-4, lr_critic=2e-4),
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
            self.common: nn.Module = two_sets.common_encoder(c.size, rest)
            self.separate: nn.Module = two_sets.separate_encoder(c.size, c.separate)
            self.decoder: nn.Module = two_sets.decoder(c.size)
            latent: nn.Module = VectorCritic(rest * cells * cells)
        else:
            rest, cells, own = c.common, c.size // 8, (c.separate,)
            self.common = ResidualEncoder((w, 2 * w, 4 * w), rest, blocks=1)
            self.separate = VectorEncoder((w, 2 * w, 4 * w, 4 * w), c.separate, c.size)
            self.decoder = SteeredDecoder(rest, (4 * w, 2 * w, w), c.separate)
            latent = PatchCritic(rest, 128)
        self.critic = PatchCritic(3) if c.adversary == "image" else latent
        self.needs = {"a": images(c.size), "b": images(c.size)}
        kind: Literal["spatial", "vector"] = "spatial" if c.published else "vector"
        self.codes = Code("common", "spatial", (rest, cells, cells)), Code("separate", kind, own, domains=("b",))
        betas = (0.5, 0.999)
        moves = Adam(c.lr, betas) if c.published else Muon(WarmDecay(c.lr))
        self.groups = {
            "autoencoder": Group(("common", "separate", "decoder"), moves, clip=5.0, ema=None if c.published else 2000),
            "critic": Group(("critic",), Adam(c.lr_critic, betas) if c.published else Muon(c.lr_critic), clip=5.0, keep=False),
        }
        self.phases = (Phase("autoencoder", self.transfer_loss, others="eval"), Phase("critic", self.critic_loss))

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1]. A picture known to be from `a` has no separate part: exact zeros."""
        separate = self.separate(x)
        return Codes(common=self.common(x), separate=torch.zeros_like(separate) if domain == "a" else separate)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image (N, 3, S, S) in [-1, 1]. `onto` is unused: the whole picture is drawn anew."""
        codes = codes.broadcast()
        return Output(image=self.draw(codes["common"], codes["separate"]))

    def draw(self, common: Tensor, separate: Tensor) -> Tensor:
        """D. Published: both codes are maps, one on top of the other."""
        out = self.decoder(torch.cat([common, separate], dim=1)) if self.config.published else self.decoder(common, separate)
        return out.float().tanh()

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def transfer_loss(self, batch: Batch, progress: Progress) -> Terms:
        a, b, w = batch["a"], batch["b"], self.config
        common_a, common_b = (common := self.common(torch.cat([a, b]))).chunk(2)  # all norms are of one picture: one pass for both sets
        separate = said = self.separate(b if w.published else shifted(b, progress.generator, reach=1 / 8))
        if not w.published:
            said = separate + progress.randn(*separate.shape, like=separate)
        nothing = torch.zeros_like(separate)
        drawn_a, drawn_b = self.draw(common, torch.cat([nothing, said])).chunk(2)
        seen = torch.cat([drawn_a, self.draw(common_b, nothing)]) if w.adversary == "image" else common
        batch["seen"] = seen.detach()  # for the critic's turn

        terms = Terms()
        terms.add("reconstruct_a", losses.squared(drawn_a, a), w.reconstruct)
        terms.add("reconstruct_b", losses.squared(drawn_b, b), w.reconstruct)
        weight = w.confusion if w.published else progress.at(Ramp(0.0, w.confusion, 0.0, w.ramp))
        terms.add("confusion", losses.domain_confusion(self.critic, *seen.chunk(2)), weight)
        if not w.published:
            with torch.no_grad():
                x = self.draw(common_a, said)
            terms.add("undo", losses.squared(self.draw(self.common(x), nothing), a), w.undo)
            terms.add("price", losses.normal(separate, nothing), w.price)
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
