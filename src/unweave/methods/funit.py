"""Few-shot translation: a picture in a class that is shown by a few examples, never seen in training.

Liu, Huang, Mallya, Karras, Aila, Lehtinen, Kautz: Few-Shot Unsupervised Image-to-Image Translation, ICCV 2019.

One encoder says where things are (which letter), another what they look like (which typeface): a vector, the mean over K examples, which
steers the decoder's norms alone. A critic with an output for each training class asks of every translation whether it is a real one of its
class. Nothing says what a translation should be; class labels are all that is told.

    paper          here                  meaning
    x, c_x         content               the content picture, and its class
    y_1 .. y_K     examples              pictures of the wanted class c_y
    E_x, z_x       content_encoder       spatial code: where things are
    E_y, z_y       class_encoder         vector: the mean over the examples (eq. 3)
    F_x            decoder               AdaIN: scales and shifts from z_y                                 (eq. 2)
    D              critic                a logit map for the picture's own class
    L_GAN          real, fake, adversary hinge; of translation and reconstruction                          (eq. 4, 5)
    L_R            reconstruct           |x - G(x, {x})|                                                   (eq. 6)
    L_FM           features              |D_f(translation) - D_f(y_1)|, |D_f(reconstruction) - D_f(x)|  (eq. 7)

Departures of all presets: the real-gradient penalty (Mescheder et al. 2018) is |grad|^2 of each picture, averaged; the authors' code
averages the logits over the batch first, which divides its weight by the square of the batch size. Borders are zeros, where that code
mirrors the picture; the critic halves by means of 2x2, as in the paper (code: 3x3). Scales of AdaIN start at 1.
Departures of the default, for runs of hours on a processor:
1. The class code of a reconstruction comes from *other* pictures of x's class (`mates`), and its content from a bent x or, seven times in
   ten, from x's translation: that must keep the content, and the class code carry the class. Errors are relative to the picture's contrast,
   at three sizes: in L1 alone thin strokes vanish.
2. The critic also learns to read classes, and translations must be read as theirs (Odena et al. 2017): `told`, `obey`. L_FM weighs less.
3. 1 to K examples in training, so that the mean of any number is a class.
4. The class steers every size of the decoder; squares of 2x2 pixels are channels; the critic's classes share an output (projection).
5. The penalty every 16 steps; Muon.
`paired`: where data knows what each picture shows (typefaces: the character), a translation has a truth, x's content in class c_y. L_R and
L_FM compare it with that, and nothing is reconstructed: more is told than class labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unweave import losses
from unweave.codes import Code, Codes, Output
from unweave.errors import UserError
from unweave.method import Batch, Group, Method, Muon, Need, Phase, Progress, RMSprop, Terms, examples, images
from unweave.nn.adain import AdaINDecoder, ClassCritic, ClassEncoder, ContentEncoder
from unweave.nn.bend import bent
from unweave.pictures import Sheet
from unweave.schedules import Ramp, WarmDecay

MEMORY = 2_000_000_000  # bytes that the critic's outputs may take in training


@dataclass(frozen=True)
class FunitConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16 from 32 to 256
    channels: int = 3  # 1 for grey pictures; found in the data
    seen: int = 2  # training classes; found in the data
    published: bool = False  # the paper's networks, losses and optimiser
    paired: bool = False  # translations are told their truth, which the data must have (default networks)
    shots: int = 4  # K: examples of a class in training (default: 1 to K)
    width: int = 24  # channels of the outermost layers (default networks)
    code: int = 64  # numbers of the class code
    adversary: float = 1.0  # weight of L_GAN
    reconstruct: float = 8.0  # weight of L_R
    features: float = 0.3  # weight of L_FM
    obey: float = 0.3  # weight of being read as the own class (default networks)
    penalty: float = 1.0  # weight of the real-gradient penalty
    lazy: int = 16  # steps from one penalty to the next; 1: part of every critic step
    projection: bool = True  # the critic's classes share an output
    lr: float = 0.01  # step size: Muon's of the translator; published: RMSprop's of all
    critic_lr: float = 0.002  # Muon's step size of the critic (default networks)

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 256 or self.size % 16:
            raise UserError(f"funit takes pictures whose side is a multiple of 16 from 32 to 256 (32, 64, 128 ...), not {self.size}.")
        if self.channels not in (1, 3) or self.shots < 1 or self.lazy < 1 or self.seen < 2:
            raise UserError("funit needs 1 or 3 channels, at least one example (shots), lazy 1 or more, and two classes or more.")


PRESETS: Mapping[str, FunitConfig] = {
    "default": FunitConfig(),
    "paired": FunitConfig(paired=True, adversary=0.2, features=0.1, obey=0.1, penalty=10.0, lr=0.005, critic_lr=0.001),
    "paper": FunitConfig(
        size=128, published=True, shots=1, width=64, reconstruct=0.1, features=1.0, penalty=10.0, lazy=1, projection=False, lr=1e-4
    ),
}


class Funit(Method):
    """Few-shot translation: `encode` to content + class_, `decode` any content in any class; verbs translate, interpolate."""

    name = "funit"
    Config: ClassVar[type] = FunitConfig
    PRESETS: ClassVar[Mapping[str, Any]] = PRESETS

    def __init__(self, config: FunitConfig):
        super().__init__(config)
        c, w = config, config.width
        if c.published:
            patch, blocks, inner, looks, judged = 1, 2, [1, 2, 4, 8], [1, 2, 4, 4, 4], [1, 2, 4, 8, 16, 16]
        else:
            patch, blocks, inner, looks, judged = 2, 1, [1, 2, 4], [1, 2, 4, 4], [1, 2, 4, 4]
        inner, looks, judged = ([w * k for k in of] for of in (inner, looks, judged))
        self.content_encoder = ContentEncoder(c.channels, inner, patch, blocks)
        self.class_encoder = ClassEncoder(c.channels, looks, c.code, patch)
        self.decoder = AdaINDecoder(inner[::-1], c.channels, c.code, 256, patch, fine=not c.published)
        self.critic = ClassCritic(c.channels, judged, c.seen, patch, c.published, c.projection, reads=not c.published)
        several, label = examples(c.shots, c.size, c.channels), Need("label", ())
        more = {"truth": images(c.size, c.channels)} if c.paired else {} if c.published else {"mates": several}
        self.needs = {"content": images(c.size, c.channels), "content_class": label, "examples": several, "class_": label, **more}
        self.codes = (Code("content", "spatial", (inner[-1], c.size // 8, c.size // 8)), Code("class_", "vector", (c.code,)))
        networks = ("content_encoder", "class_encoder", "decoder")
        if c.published:  # an average of decay .999 a step, at the batch of 64 of a smaller machine
            draws = Group(networks, RMSprop(c.lr, weight_decay=1e-4), ema=90_000, buffers="average")
            judges = Group(("critic",), RMSprop(c.lr, weight_decay=1e-4), keep=False)
        else:
            draws = Group(networks, Muon(WarmDecay(c.lr, warm=0.02)), clip=10.0, ema=20_000, buffers="average")
            judges = Group(("critic",), Muon(WarmDecay(c.critic_lr, warm=0.02), adam=0.2), clip=10.0, keep=False)
        self.groups = {"translator": draws, "critic": judges}
        exact: Literal["auto", "fp32"] = "auto" if c.published else "fp32"  # of the penalty: the published critic is made of `Twice`
        critic = Phase("critic", self.critic_loss, precision=exact if c.lazy == 1 else "auto")
        lazily = (Phase("critic", self.penalty_loss, every=c.lazy, gain=c.lazy, precision=exact),) if c.lazy > 1 else ()
        self.phases = (Phase("translator", self.translator_loss, cost=3.0), critic, *lazily)

    @classmethod
    def suited(cls, config: FunitConfig, data: Any) -> FunitConfig:
        """Channels and number of classes, from the training split. Raises UserError where the critic's outputs would not fit in memory."""
        if not (classes := getattr(data, "classes", ())):
            return config  # the match of needs and offers says what would fit
        if (needed := 16 * len(classes) * config.width * (16 if config.published else 8)) > MEMORY:  # weight, gradient, two averages
            raise UserError(f"{len(classes):,} classes take {needed / 1e9:.1f} GB for the critic alone: give fewer, or a smaller --width.")
        if config.paired and data.grid is None:
            raise UserError(f"paired needs to know what each picture shows, as of glyphs and fonts; {data.spec} does not say it.")
        return replace(config, seen=len(classes), channels=1 if data.grey else 3)

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3 or 1, S, S) in [-1, 1] -> content and class_."""
        x = self.fitted(x)
        return Codes(content=self.content_encoder(x), class_=self.class_encoder(x).float())

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image (N, 3, S, S) in [-1, 1], of grey models with three equal channels. `onto` is unused."""
        codes = codes.broadcast()
        return Output(image=self.draw(codes["content"], codes["class_"]).expand(-1, 3, -1, -1))

    def draw(self, content: Tensor, class_: Tensor) -> Tensor:
        """F_x: -> (N, channels, S, S) in [-1, 1]."""
        return self.decoder(content, class_).float().tanh()

    def fitted(self, x: Tensor) -> Tensor:
        """Colour pictures for a grey model, or the other way round."""
        if x.shape[1] == self.config.channels:
            return x
        return x.mean(1, keepdim=True) if self.config.channels == 1 else x.expand(-1, 3, -1, -1)

    def mean_class(self, several: Tensor) -> Tensor:
        """E_y: (N, K, C, S, S) -> (N, code), the mean over the K (eq. 3)."""
        return self.class_encoder(several.flatten(0, 1)).float().unflatten(0, several.shape[:2]).mean(1)

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def critic_loss(self, batch: Batch, progress: Progress) -> Terms:
        label, terms, penalised = batch["class_"].long(), Terms(), self.config.lazy == 1
        real = batch["examples"][:, 0].detach().requires_grad_(penalised)
        logits, found = self.critic(real, label)
        terms.add("real", losses.hinge_real(logits), self.config.adversary)
        if not self.config.published:
            terms.add("told", F.cross_entropy(self.critic.read(found), label))
        terms.add("fake", losses.hinge_fake(self.critic(batch["translated"], label)[0]), self.config.adversary)
        if penalised:
            terms.add("penalty", losses.real_gradient(logits, real), self.config.penalty)
        return terms

    def penalty_loss(self, batch: Batch, progress: Progress) -> Terms:
        real = batch["examples"][:, 0].detach().requires_grad_(True)
        terms = Terms()
        terms.add("penalty", losses.real_gradient(self.critic(real, batch["class_"].long())[0], real), self.config.penalty)
        return terms

    def translator_loss(self, batch: Batch, progress: Progress) -> Terms:
        x, wanted, w = batch["content"], batch["class_"].long(), self.config
        y = self._some(batch["examples"], progress)
        content = self.content_encoder(x)
        translated = self.draw(content, self.mean_class(y))
        batch["translated"] = translated.detach()  # for the critic's turn
        drawn, of, aim = translated, wanted, batch["truth"] if w.paired else x  # `drawn` ends with what shall be like `aim`
        if not w.paired:
            drawn = torch.cat([translated, self._reconstructed(batch, content, translated, progress)])
            of = torch.cat([wanted, batch["content_class"].long()])
        logits, found = self.critic(drawn, of)
        with torch.no_grad():
            real = self.critic(aim if w.paired else torch.cat([y[:, 0], x]), of)[1]
        terms, far = Terms(), losses.absolute if w.published else losses.in_proportion
        terms.add("adversary", losses.hinge_adversary(logits), w.adversary)
        terms.add("reconstruct", far(drawn[-len(x) :], aim), w.reconstruct)
        terms.add("features", losses.absolute(found, real), 2 * w.features)  # the sum of two means
        if not w.published:
            terms.add("obey", F.cross_entropy(self.critic.read(found), of), w.obey)
        return terms

    def _reconstructed(self, batch: Batch, content: Tensor, translated: Tensor, progress: Progress) -> Tensor:
        """x, drawn again from what should say all of it. published: from its own two codes."""
        x = batch["content"]
        if self.config.published:
            return self.draw(content, self.class_encoder(x).float())
        share = progress.at(Ramp(0.0, 0.7, 0.05, 0.3))
        back = (torch.rand(len(x), 1, 1, 1, generator=progress.generator) < share).to(x.device)
        seen = bent(torch.where(back, translated, x), progress.generator)
        return self.draw(self.content_encoder(seen), self.mean_class(self._some(batch["mates"], progress)))

    def _some(self, several: Tensor, progress: Progress) -> Tensor:
        """The first 1 to K pictures of each class, as many wherever a step asks; published: all K."""
        drawn = torch.randint(self.config.shots, (), generator=torch.Generator().manual_seed(progress.step))
        return several if self.config.published else several[:, : int(drawn) + 1]

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
        """score: translations nearest to their class + to their content, drawn back - error, of the own class or (`paired`) of all."""
        x, y, label = (batch[name][:64] for name in ("content", "examples", "class_"))
        wanted, others = self.mean_class(y), self.mean_class(y[:, 1:] if y.shape[1] > 1 else y)
        made = self.draw(self.content_encoder(x), wanted)
        nearest = torch.cdist(self.class_encoder(made).float(), wanted).argmin(1)
        back = self.draw(self.content_encoder(made), self.class_encoder(x).float())
        kept = torch.cdist(back.flatten(1), x.flatten(1), p=1).argmin(1)
        right = {"class_right": label[nearest] == label, "content_right": kept == torch.arange(len(x)).to(kept)}
        own = (made, batch["truth"][:64]) if self.config.paired else (self.draw(self.content_encoder(y[:, 0]), others), y[:, 0])
        figures = {name: answers.float().mean().item() for name, answers in right.items()} | {"error": losses.absolute(*own).item()}
        return {"score": figures["class_right"] + figures["content_right"] - figures["error"], **figures}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Columns: classes never trained on, by an example; rows: contents; each cell: this content in that class."""
        x, y = batch["content"][:6], batch["examples"][:6]
        cells = [list(self.translate(x, examples)) for examples in y]
        rows = [[one, *[column[i] for column in cells]] for i, one in enumerate(x.expand(-1, 3, -1, -1))]
        return Sheet([[None, *y[:, 0].expand(-1, 3, -1, -1)], *rows])
