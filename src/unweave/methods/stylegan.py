"""A style-based generator: pictures out of noise, steered by a style for each layer.

Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks, CVPR 2019 (version 1); Karras, Laine,
Aittala, Hellsten, Lehtinen, Aila: Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020 (version 2); Karras, Aittala,
Hellsten, Laine, Lehtinen, Aila: Training Generative Adversarial Networks with Limited Data, NeurIPS 2020 (ADA).

A mapping network bends noise z into a style w whose directions need not follow the noise's density; each layer of the generator is scaled
by a style of its own, coarse to fine. Two styles in one picture while training keep the layers independent; nothing is labelled.

    paper            here            meaning
    z, w, n          z, style, noise codes: noise, a style for each layer (w+), noise maps
    f, g, D          mapping, synthesis, critic
    L_G, L_D         adversary; real, fake      non-saturating logistic                                   (Goodfellow et al. 2014)
    R_1              gradient        gamma / 2 |grad D(x)|^2 at real pictures, lazily                    (Mescheder et al. 2018)
    L_PL             path            (|J_w^T y| - a)^2, a: its running mean                              (2020, eq. 4)
    w_avg, psi       mean_style, truncation     w_avg + psi (w - w_avg)                                   (2019, B)
    p, r_t           strength, sign  of augmentation; mean sign of D(x), held at 0.6                     (ADA, 3)

Departures: 1. No progressive growing, with `adain` neither; RGB skips and the residual critic in both versions. 2. The critic sees the
pictures that the generator has just drawn, instead of new ones. 3. R1 is taken at the augmented picture. 4. Mirroring, stretching and hue
are left out of ADA's changes. 5. `laptop`: small networks, path length every 8 steps on a quarter of a batch, 2x2 pixels as D's channels,
a step size twice as large that falls at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from unweave import losses
from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.method import Adam, Batch, Group, Method, Phase, Progress, Terms, images
from unweave.nn.augment import augmented
from unweave.nn.style import Critic, Synthesis
from unweave.nn.style import Mapping as MappingNetwork
from unweave.pictures import Sheet
from unweave.schedules import WarmDecay

logger = logging.getLogger("unweave")
MANY, FEW = 20_000, 500  # pictures: from so many on without augmentation; fewer are learned by heart
MEAN = 0.005  # how fast the mean style follows
LENGTH = 0.01  # how fast the mean path length follows


@dataclass(frozen=True)
class StyleganConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16
    z: int = 128  # numbers of z
    style: int = 128  # numbers of w
    depth: int = 4  # dense layers of f
    width: int = 16  # channels at full size, twice as many at each half ...
    limit: int = 192  # ... and at most
    squares: bool = True  # D sees 2x2 pixels as channels
    adain: bool = False  # version 1's layers
    gamma: float = 1.0  # R1's weight
    lazy: int = 16  # steps from one R1 to the next
    path: float = 2.0  # weight of L_PL; 0: none
    path_every: int = 8  # steps from one L_PL to the next
    path_share: int = 4  # L_PL sees this part of a batch (one half, one quarter ...)
    mixing: float = 0.9  # share of pictures with two styles
    target: float | None = None  # r_t, where augmentation begins to grow; 0: no augmentation; found in the data: 0.6 below MANY pictures
    pace: float = 200_000  # pictures in which augmentation can go from none to all
    ema: float = 10_000  # half-life of the average of f and g, pictures
    lr: float = 5e-3  # Adam's step size, both sides ...
    decay: float = 0.6  # ... falls in a straight line from this share of the run on; 1: never

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 1024 or self.size % 16:
            raise UserError(f"stylegan draws pictures whose side is a multiple of 16 from 16 to 1024 (48, 64, 128 ...), not {self.size}.")
        if min(self.z, self.style, self.depth, self.width, self.limit, self.lazy, self.path_every, self.path_share) < 1:
            raise UserError("stylegan needs 1 or more of each: z, style, depth, width, limit, lazy, path_every, path_share.")


PRESETS: Mapping[str, StyleganConfig] = {
    "laptop": StyleganConfig(),
    "paper": StyleganConfig(  # size, z, style, depth, width, limit
        256, 512, 512, 8, 64, 512, squares=False, gamma=0.4, path_every=4, path_share=2, pace=500_000, lr=2.5e-3, decay=1.0
    ),
}


class Stylegan(Method):
    """Style-based generator: `sample` z and noise, `map` z to styles, `decode` them; verbs sample, mix, project, directions."""

    name = "stylegan"
    Config: ClassVar[type] = StyleganConfig
    PRESETS: ClassVar[Mapping[str, Any]] = PRESETS
    encodes = False
    mean_style: Tensor  # (W,), w_avg
    mean_length: Tensor  # (), a
    strength: Tensor  # (), p

    def __init__(self, config: StyleganConfig):
        super().__init__(config)
        c = config
        self.mapping = MappingNetwork(c.z, c.style, c.depth)
        self.synthesis = Synthesis(c.size, c.width, c.limit, c.style, adain=c.adain)
        self.critic = Critic(c.size, c.width, c.limit, squares=c.squares)
        self.register_buffer("mean_style", torch.zeros(c.style))
        self.register_buffer("mean_length", torch.zeros(()))
        self.register_buffer("strength", torch.zeros(()))
        self.spots = sum(side**2 for side in self.synthesis.maps)  # numbers of a picture's noise
        self.needs = {"image": images(c.size)}
        self.codes = (
            Code("z", "vector", (c.z,), "sampled"),
            Code("style", "layers", (self.synthesis.layers, c.style), "sampled"),
            Code("noise", "vector", (self.spots,), "sampled"),
        )
        self.groups = {
            "generator": Group(("mapping", "synthesis"), self._adam(c.path_every if c.path else 0), ema=c.ema),
            "critic": Group(("critic",), self._adam(c.lazy), keep=False),
        }
        length = Phase("generator", self.path_loss, every=c.path_every, gain=c.path_every, precision="fp32")
        gradient = Phase("critic", self.gradient_loss, every=c.lazy, gain=c.lazy, precision="fp32")
        self.phases = (Phase("generator", self.generator_loss), *([length] if c.path else []), Phase("critic", self.critic_loss), gradient)
        self._seen: Tensor | None = None  # mean style of the step, for `after`
        self._per_step = 0.0  # pictures, likewise

    def _adam(self, every: int) -> Adam:
        """Adam of a group that is moved once more every so many steps: with the memory and pace of one move a step (2020, B)."""
        c = every / (every + 1) if every else 1.0
        lr = self.config.lr * c
        return Adam(lr if self.config.decay >= 1 else WarmDecay(lr, decay=self.config.decay), betas=(0.0, 0.99**c))

    @classmethod
    def suited(cls, config: StyleganConfig, data: Any) -> StyleganConfig:
        """Augmentation for few pictures, as ADA is meant; with many it would only slow learning."""
        count = sum(data.lengths[stream] for stream in data.streams)
        if config.target is None:
            config = replace(config, target=0.0 if count >= MANY else 0.6)
        if count < FEW:
            logger.warning(f"{count} pictures are few: long runs learn them by heart{'' if config.target else ' (let augmentation help)'}")
        return config

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> dict[str, range]:
        """Which styles are coarse (two smallest sizes), middle (the next two, of small pictures one), fine (the rest)."""
        sizes, last = len(self.synthesis.sides), self.synthesis.layers
        middle = 2 if sizes > 4 else 1
        first = 2 * min(2, sizes - 2) - 1
        return {"coarse": range(first), "middle": range(first, first + 2 * middle), "fine": range(first + 2 * middle, last)}

    def sample(self, n: int, generator: torch.Generator) -> Codes:
        """z (n, Z) and noise (n, P), standard normal. generator: on the CPU."""
        z, noise = (torch.randn(n, count, generator=generator).to(self.mean_style) for count in (self.config.z, self.spots))
        return Codes(z=z, noise=noise)

    def map(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """f: z (N, Z) -> styles (N, L, W), all layers alike. truncation: psi, 0 gives the mean style, 1 w itself (2019, B)."""
        w = torch.lerp(self.mean_style, self.mapping(z), truncation)
        return w[:, None].expand(-1, self.synthesis.layers, -1)

    def style_weights(self, layer: int) -> Tensor:
        """The affine maps' weights that read style `layer`, one below the other: (rows, W)."""
        return self.synthesis.style_weights(layer)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """style (N, L, W), or z, and noise (none: without) -> image (N, 3, S, S) in [-1, 1]. `onto` is unused."""
        if "style" not in codes:
            codes = codes | Codes(style=self.map(codes["z"]))
        names = [name for name in ("style", "noise") if name in codes]
        codes = codes.only(*names).broadcast()
        return Output(image=self.synthesis(codes["style"], codes["noise"] if "noise" in codes else None).clamp(-1, 1))

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def drawn(self, n: int, progress: Progress) -> tuple[Tensor, Tensor]:
        """New pictures (n, 3, S, S), not cut to [-1, 1], and their styles (n, L, W); `mixing` of them have two (2019, 3.1)."""
        layers, generator = self.synthesis.layers, progress.generator
        w = self.mapping(progress.randn(2 * n, self.config.z, like=self.mean_style))
        first, second = w[:, None].expand(-1, layers, -1).chunk(2)
        self._seen = w.detach().mean(0)
        cut = torch.randint(1, layers, (n, 1, 1), generator=generator)
        cut = torch.where(torch.rand(n, 1, 1, generator=generator) < self.config.mixing, cut, layers).to(w.device)
        styles = torch.where(torch.arange(layers, device=w.device)[:, None] < cut, first, second)
        return self.synthesis(styles, progress.randn(n, self.spots, like=w)), styles

    def generator_loss(self, batch: Batch, progress: Progress) -> Terms:
        made, _ = self.drawn(len(batch["image"]), progress)
        batch["made"] = made.detach()  # for the critic's turn
        return Terms(adversary=losses.logistic_adversary(self.judged_by_critic(made, progress)))

    def path_loss(self, batch: Batch, progress: Progress) -> Terms:
        made, styles = self.drawn(max(1, len(batch["image"]) // self.config.path_share), progress)
        lengths = losses.path_lengths(made, styles, progress.generator)
        terms = Terms()
        terms.add("path", (lengths - self.mean_length).square().mean(), self.config.path)
        terms.add("length", lengths.mean(), 0.0)
        return terms

    def critic_loss(self, batch: Batch, progress: Progress) -> Terms:
        real = self.judged_by_critic(batch["image"], progress)
        self._per_step = progress.images / max(1, progress.step)
        terms = Terms(real=losses.logistic_real(real), fake=losses.logistic_fake(self.judged_by_critic(batch["made"], progress)))
        terms.add("sign", real.sign().mean(), 0.0)
        terms.add("strength", self.strength, 0.0)
        return terms

    def gradient_loss(self, batch: Batch, progress: Progress) -> Terms:
        real = augmented(batch["image"], float(self.strength), progress.generator).detach().requires_grad_(True)
        terms = Terms()
        terms.add("gradient", losses.real_gradient(self.critic(real), real), self.config.gamma / 2)
        return terms

    def judged_by_critic(self, pictures: Tensor, progress: Progress) -> Tensor:
        """D of augmented pictures, (N,) logits."""
        return self.critic(augmented(pictures, float(self.strength), progress.generator))

    def after(self, step: int, logged: Mapping[str, float]) -> None:
        """The mean style and the mean path length follow; augmentation grows while D is too sure of real pictures."""
        if self._seen is not None:
            self.mean_style.lerp_(self._seen, max(MEAN, 1 / step))
        if (length := logged.get("path/length")) is not None:
            self.mean_length.lerp_(self.mean_length.new_tensor(length), LENGTH)
        if self.config.target and "critic/sign" in logged:
            up = 1.0 if logged["critic/sign"] > self.config.target else -1.0
            self.strength.add_(up * self._per_step / self.config.pace).clamp_(0.0, 0.8)

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        """distance: of as many samples to the held-out pictures, by `losses.patches_apart`. No network judges, and no label. It shows a run
        that falls apart; of two that draw faces it does not know the better one, so it chooses no snapshot: the latest is kept."""
        real = batch["image"]
        codes = self.sample(len(real), torch.Generator().manual_seed(0))
        made = torch.cat([_picture(self.decode(codes.take(slice(i, i + 64)))) for i in range(0, len(real), 64)])
        return {"distance": losses.patches_apart(made, real).item()}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Real pictures; samples, the same in every sheet; the same at truncation .5."""
        codes = self.sample(12, torch.Generator().manual_seed(0))
        rows = [list(batch["image"][:6])]
        for psi in (1.0, 0.5):
            made = _picture(self.decode(codes | Codes(style=self.map(codes["z"], psi))))
            rows += [list(made[:6]), list(made[6:])]
        return Sheet(rows, left=["real", "samples", "", "truncated", ""])


def _picture(output: Output) -> Tensor:
    assert output.image is not None
    return output.image
