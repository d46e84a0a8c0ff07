"""Fader Networks: sliders for labelled attributes.

Lample, Zeghidour, Usunier, Bordes, Denoyer, Ranzato: Fader Networks: Manipulating Images by Sliding Attributes, NIPS 2017.

An autoencoder is told a picture's attributes when it draws, and a discriminator that reads them from the code keeps the encoder from
saying them too. So the attributes that the decoder is told are all it knows of them, and other ones change the picture.

    paper             here                  meaning
    E(x)              encoder, code         a coarse map that does not know the attributes
    y                 attributes            0 or 1; here also one of K, or a number from 0 to 1
    D(z, y)           decoder               draws the picture; y steers every layer
    P_dis(y | z)      critic                the latent discriminator
    L_AE              reconstruct           |D(E(x), y) - x|^2                                   (eq. 1)
    L_dis             attributes            -log P_dis(y | E(x))                                 (eq. 2)
    lambda_E (eq. 3)  confusion             -log P_dis(another class | E(x)), its weight rising from 0

A number is sorted into 8 bins for the discriminator; the decoder is told the number itself.
The preset `paper` is that, with as many layers as leave 4x4 cells. In runs of minutes a latent discriminator finds nothing in such codes
and the decoder never needs what it is told, so the default adds what makes it obey. Departures of the default:
1. `obey`: pictures drawn with other attributes y' must pass for pictures of y' with a `viewer`, a second critic. It learns the attributes
   of real pictures, and of drawn ones those which they had before the edit: so it comes to know drawn glasses from real ones.
2. `undo`: an edited picture, encoded again and drawn with y, is the picture that it was.
3. The code has one variance and 8x8 cells (at 64 px), and is read with `noise`: what two pictures hardly differ by cannot be hidden in it.
4. Networks of residual blocks in GroupNorm, and colours that no norm touches; y steers the norms (scale and shift), not constant planes.
5. Muon, a step size that decays, and for edits an average of the weights.
6. An edit keeps the picture itself where what is asked does not show, and between no and yes is half a fade (`redraw`).
7. What a linear reader could tell of y is taken out of the code in closed form (`erase`; nn/erase.py): the discriminator hunts the rest.
Beside the paper, in both: `reader` learns to read y from pictures, so that one's own photograph can be edited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from unweave import losses
from unweave.attributes import Attribute, agree, declared, detect, labels, numbers, probabilities, settled, width
from unweave.codes import Code, Codes, Output
from unweave.data.labelled import IN_B, label_names, labelled
from unweave.errors import UserError
from unweave.method import Adam, Batch, Group, Method, Muon, Need, Phase, Progress, Terms, images
from unweave.nn.disturb import shifted
from unweave.nn.encoders import Encoder
from unweave.nn.erase import MEMORY, Eraser
from unweave.nn.steered import LatentCritic, PlanesDecoder, Reader, ResidualEncoder, SteeredDecoder
from unweave.pictures import Sheet
from unweave.schedules import Ramp, WarmDecay


@dataclass(frozen=True)
class FaderConfig:
    size: int = 64  # side of the square pictures, pixels: a multiple of 16 from 32 on (paper: 32, 64, 128 or 256)
    attributes: tuple[str, ...] = ()  # which attributes to learn, by name; all that the data has if none is named
    classes: tuple[int, ...] = ()  # of each: 2 yes or no, K one of K, 0 a number in 0 .. 1; found in the data if not given
    published: bool = False  # the paper's networks
    erase: bool = True  # take out of the code what a linear reader could tell of the attributes
    redraw: bool = False  # edits draw the whole picture anew, as the paper's do, not only where an attribute shows
    code: int = 24  # channels of the code E(x) (default networks)
    width: int = 32  # channels of the outermost layers
    reconstruct: float = 1.0  # weight of L_AE
    confusion: float = 0.01  # lambda_E: more hides the attributes better and blurs
    ramp: float = 0.2  # share of the run in which lambda_E rises from 0 (paper: 500,000 steps, about a third)
    obey: float = 0.015  # weight of an edit passing for a picture of what was asked (default networks)
    undo: float = 1.0  # weight of an edit taken back (default networks)
    noise: float = 0.1  # standard deviation of what is added to the code, which has 1 (default networks)
    lr: float = 0.01  # step size at its highest: Muon's (paper: Adam's)
    lr_critic: float = 0.005  # and the critics', Muon's (paper: Adam's)

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16 or (self.published and self.size not in (32, 64, 128, 256)):
            sizes = "32, 64, 128 or 256" if self.published else "32, 48, 64 ... (a multiple of 16)"
            raise UserError(f"These networks of fader take pictures of {sizes} pixels, not {self.size}.")
        self.declared()

    def declared(self) -> tuple[Attribute, ...]:
        """The attributes; without any, that of two sets."""
        return declared(self.attributes, self.classes) or (Attribute(IN_B),)


PRESETS: Mapping[str, FaderConfig] = {
    "default": FaderConfig(),
    "paper": FaderConfig(published=True, erase=False, redraw=True, confusion=1e-4, ramp=1 / 3, lr=2e-4, lr_critic=2e-4),
}


class Fader(Method):
    """Attribute editing: `encode` to common + attributes (read from the picture), `decode` back; verbs slide, set, interpolate."""

    name = "fader"
    Config: ClassVar[type] = FaderConfig
    PRESETS: ClassVar[Mapping[str, Any]] = PRESETS
    judged = ("attributes",)

    def __init__(self, config: FaderConfig):
        super().__init__(config)
        c, w = config, config.width
        self.attributes, self.redraws, self.settles = c.declared(), c.redraw, 2 * MEMORY if c.erase else 0
        self.bins, told = [a.bins for a in self.attributes], width(self.attributes)
        if c.published:
            widths = (w, 2 * w, 4 * w, 8 * w, 16 * w, 16 * w)[: (c.size // 4).bit_length() - 1]
            code, cells = widths[-1], 4
            self.encoder: torch.nn.Module = Encoder(widths, "batch")
            self.decoder: torch.nn.Module = PlanesDecoder(code, widths[-2::-1], 2 * told)
            self.critic = LatentCritic(code, cells, sum(self.bins), 16 * w, kind="batch")
        else:
            code, cells, widths = c.code, c.size // 8, (w, 2 * w, 4 * w)
            self.encoder = ResidualEncoder(widths, code, blocks=2)
            self.decoder = SteeredDecoder(code, widths[::-1], told)
            self.critic = LatentCritic(code, cells, sum(self.bins), 4 * w, kind="none")
            self.viewer = Reader(sum(self.bins), w)
        self.reader = Reader(told)
        self.eraser = Eraser(code, cells, told) if c.erase else None
        self._seen: tuple[Tensor, Tensor] | None = None  # the step's codes and attributes, for the eraser
        names = tuple(a.name for a in self.attributes)
        self.needs = {"image": images(c.size), "attributes": Need("attributes", (len(names),), names)}
        self.codes = (Code("common", "spatial", (code, cells, cells)), Code("attributes", "label", (told,), source="given"))
        moves = Adam(c.lr, (0.5, 0.999)) if c.published else Muon(WarmDecay(c.lr))
        critics = Adam(c.lr_critic, (0.5, 0.999)) if c.published else Muon(c.lr_critic)
        self.groups = {
            "autoencoder": Group(("encoder", "decoder"), moves, clip=5.0, ema=None if c.published else 5000),
            "critic": Group(("critic",) if c.published else ("critic", "viewer"), critics, clip=5.0, keep=False),
            "reader": Group(("reader", "eraser") if c.erase else ("reader",), Muon(WarmDecay(0.01)), ema=2000),
        }
        reads = Phase("reader", self.reader_loss, every=2 if c.published else 1)
        if c.published:  # of either network the other stands still, without dropout
            tells = Phase("critic", self.critic_loss, fresh=True, others="eval")
            self.phases = tells, Phase("autoencoder", self.published_loss, others="eval"), reads
        else:
            self.phases = Phase("autoencoder", self.fader_loss, others="eval"), Phase("critic", self.critics_loss), reads

    @classmethod
    def suited(cls, config: FaderConfig, data: Any) -> FaderConfig:
        """Names and kinds of the attributes, from the training split. Raises UserError for one that it lacks or that cannot be learned."""
        names = config.attributes or label_names(data)
        table = labelled(data, names)
        found = detect(names, table.take("attributes", range(table.lengths["attributes"])))
        return replace(config, attributes=tuple(names), classes=config.classes or tuple(a.classes for a in found))

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """x: (N, 3, S, S) in [-1, 1] -> common, and the attributes as they are read; of two sets the domain says them."""
        read = settled(self.attributes, probabilities(self.attributes, self.reader(x).float()))
        if domain is not None and self.attributes == (Attribute(IN_B),):
            read = torch.full_like(read, float(domain == "b"))
        return Codes(common=self.code(x), attributes=read)

    def code(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """E(x), without what a linear reader could tell of the attributes: (N, C, cells, cells). From their y the eraser shall learn."""
        code = self.encoder(x)
        self._seen = self._seen if y is None else (code.detach(), numbers(self.attributes, y))
        return code if self.eraser is None else self.eraser(code)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """-> image (N, 3, S, S) in [-1, 1], drawn anew as a whole. `onto` is unused: `set` and `slide` keep what lies elsewhere."""
        codes = codes.broadcast()
        return Output(image=self.draw(codes["common"], codes["attributes"]))

    def draw(self, common: Tensor, y: Tensor) -> Tensor:
        """D(z, y): a code and numbers (N, W) to pictures. The published planes are [1 - y, y]; the default is told 2 y - 1."""
        told = torch.cat([1 - y, y], 1) if self.config.published else 2 * y - 1
        return self.decoder(common, told.to(common)).float().tanh()

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def critic_loss(self, batch: Batch, progress: Progress) -> Terms:
        """The paper's, on a batch of its own."""
        with torch.no_grad():
            code = self.code(batch["image"])
        return Terms(attributes=losses.classify(self.critic(code), labels(self.attributes, batch["attributes"]), self.bins))

    def after(self, step: int, logged: Mapping[str, float]) -> None:
        """The eraser follows the codes of the step."""
        if self.eraser is not None and self._seen is not None:
            self.eraser.follow(*self._seen, step)

    def settle(self, batches: Iterable[Batch]) -> None:
        """The eraser learns anew, of codes that stay as they are."""
        for step, batch in enumerate(batches, start=1):
            self.code(batch["image"], batch["attributes"])
            self.after(step, {})

    def published_loss(self, batch: Batch, progress: Progress) -> Terms:
        x, y = batch["image"], batch["attributes"]
        code, terms = self.code(x, y), Terms()
        terms.add("reconstruct", losses.squared(self.draw(code, numbers(self.attributes, y)), x), self.config.reconstruct)
        return terms | self.confused(code, y, progress)

    def confused(self, code: Tensor, y: Tensor, progress: Progress) -> Terms:
        """The discriminator shall read other attributes from the code."""
        said, terms = losses.latent_adversary(self.critic(code), labels(self.attributes, y), self.bins, progress.generator), Terms()
        terms.add("confusion", said, progress.at(Ramp(0.0, self.config.confusion, 0.0, self.config.ramp)))
        return terms

    def fader_loss(self, batch: Batch, progress: Progress) -> Terms:
        x, y, w, half = batch["image"], batch["attributes"], self.config, (len(batch["image"]) + 1) // 2
        code = self.code(x, y)
        read = code + w.noise * progress.randn(*code.shape, like=code)
        asked = torch.where(torch.rand(y.shape, generator=progress.generator).to(y) < 0.5, y.roll(1, 0), y)  # values that occur
        own, edited = self.draw(torch.cat([read, read]), numbers(self.attributes, torch.cat([y, asked]))).chunk(2)
        batch["code"], batch["edited"] = code.detach(), edited.detach()  # for the critics' turn

        terms = Terms()
        terms.add("reconstruct", losses.squared(own, x), w.reconstruct)
        seen = self.viewer(shifted(edited, progress.generator, reach=1 / 16))
        terms.add("obey", losses.classify(seen, labels(self.attributes, asked), self.bins), w.obey)
        again = self.code(batch["edited"][:half])
        again = again + w.noise * progress.randn(*again.shape, like=again)
        terms.add("undo", losses.squared(self.draw(again, numbers(self.attributes, y[:half])), x[:half]), w.undo)
        return terms | self.confused(code, y, progress)

    def critics_loss(self, batch: Batch, progress: Progress) -> Terms:
        """What attributes a code had, a picture has, and an edited picture had before the edit."""
        y = labels(self.attributes, batch["attributes"])
        real, edited = self.viewer(shifted(torch.cat([batch["image"], batch["edited"]]), progress.generator, reach=1 / 16)).chunk(2)
        found = {"attributes": self.critic(batch["code"]), "real": real, "edited": edited}
        return Terms(**{name: losses.classify(said, y, self.bins) for name, said in found.items()})

    def reader_loss(self, batch: Batch, progress: Progress) -> Terms:
        moved, widths = shifted(batch["image"], progress.generator, reach=1 / 16), [a.width for a in self.attributes]
        return Terms(read=losses.read_off(self.reader(moved), numbers(self.attributes, batch["attributes"]), widths))

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
        """score: judged success of changing each attribute + share of the others that stay - 10 x reconstruction error."""
        assert judge is not None
        x, y, kinds, found = batch["image"], batch["attributes"], self.attributes, []
        common, told = self.code(x), numbers(kinds, y)
        for i, kind in enumerate(kinds):
            asked = y.clone()
            asked[:, i] = (y[:, i] + 1) % kind.classes if kind.classes else (y[:, i] + 0.5) % 1
            found.append(agree(kinds, judge(self.draw(common, numbers(kinds, asked))), numbers(kinds, asked)).float().mean(0))
        right, own = torch.stack(found).cpu(), torch.eye(len(kinds), dtype=torch.bool)  # rows: what is changed, columns: what is judged
        changed, kept = right[own].mean().item(), right[~own].mean().item() if len(kinds) > 1 else 1.0
        error, read = losses.squared(self.draw(common, told), x).item(), probabilities(kinds, self.reader(x).float())
        figures = {"changed": changed, "kept": kept, "error": error, "read": agree(kinds, read, told).float().mean().item()}
        return {"score": changed + kept - 10 * error, **figures}

    # -- what to look at -------------------------------------------------------------------------------------------------------

    def preview(self, batch: Batch) -> Sheet:
        """Pictures, how they are drawn again, and each of the first four attributes at its least and its most."""
        x = batch["image"][:6]
        drawn = self.draw(self.code(x), numbers(self.attributes, batch["attributes"][:6]))
        asked = [(kind.name, value) for kind in self.attributes[:4] for value in (0, max(1, kind.classes - 1))]
        rows = [x, drawn, *[self.set(x, {name: value}) for name, value in asked]]
        return Sheet([list(row) for row in rows], left=["picture", "drawn", *[f"{name} {value}" for name, value in asked]])
