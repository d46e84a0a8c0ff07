"""The training contract: a method declares what moves together (Group), what is minimised when (Phase), out of which summands (Terms).

The trainer knows nothing else of a method; edits, measures and export know only its codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from unweave import muon, sampled
from unweave import verbs as edits
from unweave.attributes import Attribute
from unweave.codes import Code, Codes, Output
from unweave.pictures import Sheet
from unweave.schedules import Schedule, value

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Need:
    """What one key of a batch is: `kind` ("image", "examples", "label", "attributes", "factors", "factor_grid", "clip_grid" ...) and the
    shape of one sample.

    names: of attributes, which ones are needed, in this order.
    """

    kind: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()

    @property
    def pictures(self) -> int:
        """Pictures (or clips) in one sample: 1, or all of a grid or of a class's examples, or 0 of what is neither."""
        if self.kind in ("factor_grid", "clip_grid"):
            return math.prod(self.shape[:-3])
        if self.kind == "examples":
            return self.shape[0]
        return int(self.kind == "image")


def images(size: int, channels: int = 3) -> Need:
    """Square pictures, (N, channels, size, size), in [-1, 1] when a loss sees them."""
    return Need("image", (channels, size, size))


def examples(count: int, size: int, channels: int = 3) -> Need:
    """`count` pictures of one class, (N, count, channels, size, size). Its number is another key, of the kind "label" and shape ()."""
    return Need("examples", (count, channels, size, size))


def grids(factors: int, size: int, channels: int = 3) -> Need:
    """Two values of each factor recombined in all ways, (N, 2, ..., 2, channels, size, size): the pictures x_ijk of full supervision."""
    return Need("factor_grid", (*[2] * factors, channels, size, size))


def clip_grids(frames: int, joints: int = 15) -> Need:
    """Two motions of two bodies seen from two sides, recombined in all ways: (N, 2, 2, 2, frames, joints, 2), y up."""
    return Need("clip_grid", (2, 2, 2, frames, joints, 2))


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, 2015). lr: a number or a schedule of the run's fraction."""

    lr: float | Schedule = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        kind = torch.optim.AdamW if self.weight_decay else torch.optim.Adam
        fused = all(p.device.type in ("cpu", "cuda", "mps") for p in parameters)
        return kind(parameters, lr=value(self.lr, 0.0), betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=fused)


@dataclass(frozen=True)
class Muon:
    """Momentum with orthogonal updates of weight matrices, Adam for the rest (see `unweave.muon`).

    lr: a matrix's step, a number or a schedule of the run's fraction. adam: Adam's step size relative to it.
    """

    lr: float | Schedule = 0.01
    momentum: float = 0.95
    adam: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return muon.Muon(parameters, value(self.lr, 0.0), self.momentum, self.adam, self.betas)


@dataclass(frozen=True)
class RMSprop:
    """RMSprop (Tieleman and Hinton, 2012). lr: a number or a schedule of the run's fraction."""

    lr: float | Schedule = 1e-4
    alpha: float = 0.99
    weight_decay: float = 0.0

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=value(self.lr, 0.0), alpha=self.alpha, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Group:
    """Networks that one optimiser moves together.

    networks: attribute names of the method. clip: largest gradient norm. ema: half-life in images of an average of the weights,
    which is then what edits use. buffers: how the average treats float buffers. keep: whether editing needs these networks
    (a critic is needed for training only and is left out of the weight files).
    """

    networks: tuple[str, ...]
    optimiser: Adam | Muon | RMSprop
    clip: float | None = None
    ema: float | None = None
    buffers: Literal["copy", "average"] = "copy"
    keep: bool = True


class Terms:
    """Named, weighted summands of one loss, in the paper's order. `values` are the raw ones, for the log."""

    def __init__(self, **terms: Tensor):
        self.values: dict[str, Tensor] = {}
        self.weights: dict[str, float] = {}
        for name, term in terms.items():
            self.add(name, term)

    def add(self, name: str, term: Tensor, weight: float = 1.0) -> None:
        """One more summand: a scalar and its weight."""
        if name in self.values:
            raise ValueError(f"the term {name!r} is there already")
        self.values[name] = term
        self.weights[name] = weight

    def __or__(self, other: Terms) -> Terms:
        """These summands, then the other's."""
        both = Terms()
        for terms in (self, other):
            for name, term in terms.values.items():
                both.add(name, term, terms.weights[name])
        return both

    @property
    def total(self) -> Tensor:
        """The weighted sum; terms of weight 0 are logged but cost no backward pass."""
        parts = [self.values[k] * w for k, w in self.weights.items() if w]
        if not parts:
            raise ValueError("a loss needs at least one term with a weight")
        return torch.stack([p.float() for p in parts]).sum()


@dataclass
class Progress:
    """Where a run stands. step: finished steps. images: pictures read. fraction: of the run, in [0, 1].

    generator: the only source of randomness that losses may use; on the CPU, seeded anew each step, so that a resumed run
    draws the same numbers.
    """

    step: int
    images: int
    fraction: float
    generator: torch.Generator

    def at(self, number: float | Schedule) -> float:
        """A number or a schedule, as it stands now."""
        return value(number, self.fraction)

    def randn(self, *shape: int, like: Tensor) -> Tensor:
        """Standard normal numbers on `like`'s device, in its precision."""
        return torch.randn(*shape, generator=self.generator).to(like)

    def permutation(self, n: int) -> Tensor:
        """A random order of n things (an index tensor on the CPU)."""
        return torch.randperm(n, generator=self.generator)


Loss = Callable[[Batch, Progress], Terms]


@dataclass(frozen=True)
class Phase:
    """One loss that moves one group, with the knobs in which papers differ.

    every: only each so many steps. start, stop: fractions of the run between which it is due. gain: factor on the total (lazy
    regularisers set it to `every`). precision: "fp32" for gradient penalties. fresh: reads a batch of its own. others: the mode
    of the networks that stand still. cost: how long it takes, relative to the other phases, so that a run given in minutes knows from its
    first steps how many will fit.
    """

    group: str
    loss: Loss
    every: int = 1
    start: float = 0.0
    stop: float = 1.0
    gain: float = 1.0
    precision: Literal["auto", "fp32"] = "auto"
    fresh: bool = False
    others: Literal["train", "eval"] = "train"
    cost: float = 1.0

    @property
    def name(self) -> str:
        """The loss's name: what logs and errors call this phase."""
        return self.loss.__name__.removesuffix("_loss")

    def due(self, progress: Progress) -> bool:
        """Whether it runs in this step."""
        return progress.step % self.every == 0 and self.start <= progress.fraction < max(self.stop, self.start + 1e-12)


class Method(nn.Module):
    """Base of every system. A subclass sets `name`, `Config`, `PRESETS`, and in __init__ `needs`, `codes`, `groups`, `phases`."""

    name: ClassVar[str]
    Config: ClassVar[type]
    PRESETS: ClassVar[Mapping[str, Any]]
    encodes: ClassVar[bool] = True  # has an encoder (a style generator does not)
    masks: ClassVar[bool] = False  # its output has a mask: where the part is
    redraws: bool = True  # edits of attributes draw the whole picture anew, not only where these show
    judged: ClassVar[tuple[str, ...]] = ()  # what a judge must read to choose the best snapshot: the sets ("a", "b") or ("attributes",)
    settles: int = 0  # training samples that `settle` reads
    attributes: tuple[Attribute, ...] = ()  # what the code `attributes` holds, in its order

    needs: dict[str, Need]
    codes: tuple[Code, ...]
    groups: dict[str, Group]
    phases: tuple[Phase, ...]

    def __init__(self, config: Any):
        super().__init__()
        self.config = config

    @classmethod
    def suited(cls, config: Any, data: Any) -> Any:
        """The config for this set of data (a `Dataset`, training split): a method that reads attributes learns here which there are."""
        return config

    # -- what it knows ---------------------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, domain: str | None = None) -> Codes:
        """Pictures (N, C, S, S) in [-1, 1], or clips (N, T, J, 2), -> Codes. Codes that pictures of this domain lack are exact zeros."""
        raise TypeError(f"{self.name} has no encoder: sample or project instead")

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        """Codes -> Output. `onto`: the picture a mask paints on."""
        raise TypeError(f"{self.name} has no decoder")

    def sample(self, n: int, generator: torch.Generator) -> Codes:
        """n draws of the sampled codes that others do not follow from (methods with a `z` code). generator: on the CPU."""
        raise TypeError(f"{self.name} samples nothing: encode a picture instead")

    def map(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """z (N, Z) -> styles (N, L, W), drawn towards the mean style by a truncation below 1 (methods with a `style` code)."""
        raise TypeError(f"{self.name} knows no styles")

    def style_weights(self, layer: int) -> Tensor:
        """The matrix (rows, W) that turns this layer's style into what it scales (methods with a `style` code)."""
        raise TypeError(f"{self.name} knows no styles")

    @property
    def layers(self) -> Mapping[str, range]:
        """Which layers of a code of the kind `layers` are coarse, middle and fine."""
        return {}

    def seen_from(self, degrees: float) -> Codes:
        """The code of a camera at this angle, as a batch of one (methods with a `view` code)."""
        raise TypeError(f"{self.name} knows no cameras")

    @property
    def size(self) -> int:
        """Side of its square pictures in pixels, or frames of the clips that it is trained on."""
        return self.config.size

    @property
    def again(self) -> int:
        """How often `remove` of a model with masks goes on from what it has left: the setting of that name, where there is one."""
        return getattr(self.config, "again", 0)

    def work(self, start: float, stop: float) -> float:
        """How long it takes to go from one fraction of a run to another, by the phases' `cost`: to compare with other stretches of it."""
        return sum(p.cost / p.every * max(0.0, min(stop, p.stop) - max(start, p.start)) for p in self.phases)

    @property
    def dearer(self) -> float:
        """How many times longer a step of the run takes on average than one of its first."""
        return self.work(0, 1) / self.work(0, 1e-3) * 1e-3

    @property
    def verbs(self) -> tuple[str, ...]:
        """The edits this model's codes allow."""
        return edits.offered(self)

    transfer = edits.transfer
    remove = edits.remove
    segment = edits.segment
    translate = edits.translate
    interpolate = edits.interpolate
    union = edits.union
    intersection = edits.intersection
    sweep = edits.sweep
    retarget = edits.retarget
    slide = edits.slide
    set = edits.set_attributes
    mix = sampled.mix
    loop = sampled.loop
    project = sampled.project
    directions = sampled.directions
    labelled_direction = sampled.labelled_direction
    along = sampled.along

    # -- how it learns ---------------------------------------------------------------------------------------------------------

    def prepare(self, sample: Batch) -> None:
        """Once before training: fill buffers that depend on the data. The default does nothing."""

    def after(self, step: int, logged: Mapping[str, float]) -> None:
        """After each step: the only place where a method changes its own state (buffers). The default does nothing."""

    def settle(self, batches: Iterable[Batch]) -> None:
        """At the end of a run, once for each of the weights that are kept (in eval mode, without gradients): measure anew on training
        batches what the buffers hold of them, since in training they follow weights that still move. Always begins anew. The default does
        nothing.
        """

    def validate(self, batch: Batch, judge: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
        """Figures of this snapshot on held-out pictures (no truth); "score" (higher is better) chooses the best one; without it
        the latest is kept.

        judge: given when `judged` names something: (N, C, S, S) -> (N,) probability of showing what set b shows, or (N, W), what it reads
        of each attribute, laid out as the code `attributes`.
        """
        raise TypeError(f"{self.name} does not say how to choose its best snapshot")

    def preview(self, batch: Batch) -> Sheet:
        """The picture to look at while it trains, from a few held-out pictures."""
        raise TypeError(f"{self.name} draws no preview")

    # -- how it is kept --------------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """The config as plain JSON values."""
        return asdict(self.config)

    def kept(self) -> dict[str, Tensor]:
        """The tensors that editing needs: everything but the networks of groups that are not kept."""
        dropped = {n for g in self.groups.values() if not g.keep for n in g.networks}
        return {k: v for k, v in self.state_dict().items() if k.split(".")[0] not in dropped}

    def grid(self, targets: Tensor, donors: Tensor) -> Sheet:
        """Rows: pictures to change; columns: donors of the part; each cell: this picture with that donor's part."""
        cells = [[self.transfer(donor[None], onto=target[None])[0] for donor in donors] for target in targets]
        return Sheet([[None, *donors], *[[target, *row] for target, row in zip(targets, cells, strict=True)]])
