"""Judges: small classifiers that say whether a picture shows the part. They are trained on real pictures only, never on a model's outputs.

Two are used, with different seeds. `set_judge` learns from set membership alone and helps to choose a run's best snapshot. `part_judge` is
the evaluation's: it also learns from the training split's truth, where there is one (the same face without the part). A judge's own
accuracy on the test split is printed beside every figure that rests on it. `attribute_judge` reads labelled attributes, one network with an
output for each; training and evaluation ask for different seeds.

Photographs without truth have a second kind: where features of a network that has seen many pictures are at hand, `feature_judge` reads
those, so that the evaluation's judge and the run's have nothing in common.

A judge must be fair to pictures that are a little wrong, so it is taught with blurred, noisy, stained, moved and recoloured ones, and with
blends of two pictures whose label is the blend's share (mixup, Zhang et al., 2018): half-visible glasses are half an answer, not a whole
one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unweave import losses
from unweave.attributes import Attribute, Attributes, agree, numbers, probabilities, width
from unweave.data import cache
from unweave.data.feed import to_float
from unweave.machine import pick_precision
from unweave.method import Batch, Group, Method, Muon, Need, Phase, Progress, Terms, images
from unweave.metrics.images import Extractor
from unweave.schedules import WarmDecay

log = logging.getLogger("unweave.metrics")
VERSION = 2  # raise it when a judge's network or lessons change: cached ones are then made anew
BATCH = 24  # pictures of each set in a step
EPOCHS = 60  # times that a small set is seen: of 400 photographs a set, judges are right for .94, after 20 times for .84
CELLS = 7  # places a side at which `feature_judge` looks
FEATURED = 64  # pictures that it looks at at once
TWINS = 1500  # faces drawn with and without the part for the evaluation's judge: drawing costs 2 ms each


J = TypeVar("J", bound=Method)


class Pictures(Protocol):
    """What a judge needs of a data set (the training split)."""

    size: int
    key: str
    lengths: dict[str, int]
    truth: Any

    def take(self, name: str, indices: Any) -> Tensor: ...


@dataclass(frozen=True)
class JudgeConfig:
    size: int = 64  # side of the square pictures
    channels: int = 3
    width: int = 24  # channels of the first stage
    lr: float = 0.01  # Muon's


class Judge(Method):
    """A convolutional classifier of about 130,000 parameters: four stages, and an answer of each cell of the last map.

    A softmax over the cells weighs their answers (attention pooling): a mean over all would drown rims or a mouth in their surroundings.
    """

    name: ClassVar[str] = "judge"
    Config: ClassVar[type] = JudgeConfig
    PRESETS: ClassVar[Mapping[str, Any]] = {"default": JudgeConfig()}
    encodes: ClassVar[bool] = False

    def __init__(self, config: JudgeConfig):
        super().__init__(config)
        self.stages, self.head = stages(config), nn.Conv2d(4 * config.width, 2, 1)
        self.needs = {"a": images(config.size, config.channels), "b": images(config.size, config.channels)}
        self.codes = ()
        self.groups = learning(config)
        self.phases = (Phase("judge", self.part_loss),)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) in [-1, 1] -> (N,) log-odds of showing the part."""
        return weighed(self.head(self.stages(x))).sum((2, 3))[:, 0]

    def part_loss(self, batch: Batch, progress: Progress) -> Terms:
        """Cross-entropy on augmented pictures.

        batch: a, and b, which has the part; where known also `with` and `without`, the same faces with the part and without.
        """
        draw = progress.generator
        x, y = torch.cat([batch["a"], batch["b"]]), torch.arange(2.0).repeat_interleave(len(batch["a"])).to(batch["a"])
        if "without" in batch:
            share = torch.rand(len(batch["with"]), generator=draw).to(x)
            faded = torch.lerp(batch["without"], batch["with"], share.view(-1, 1, 1, 1))  # the part alone fades in and out
            x, y = torch.cat([x, batch["without"], faded]), torch.cat([y, torch.zeros_like(share), share])
        x = augment(x, draw)
        mixed = len(x) // 8
        other, share = torch.randperm(len(x), generator=draw)[:mixed], torch.rand(mixed, generator=draw).to(x)
        x[:mixed] = torch.lerp(x[other], x[:mixed], share.view(-1, 1, 1, 1))
        y[:mixed] = torch.lerp(y[other], y[:mixed], share)
        return Terms(part=F.binary_cross_entropy_with_logits(self(x).float(), y))


@dataclass(frozen=True)
class AttributeJudgeConfig(JudgeConfig):
    names: tuple[str, ...] = ()  # the attributes, and of each what `attributes.Attribute` says
    classes: tuple[int, ...] = ()


class AttributeJudge(Method):
    """The same stages with an output for each number of the code `attributes`, which looks at places of its own choice."""

    name: ClassVar[str] = "attribute-judge"
    Config: ClassVar[type] = AttributeJudgeConfig
    PRESETS: ClassVar[Mapping[str, Any]] = {"default": AttributeJudgeConfig()}
    encodes: ClassVar[bool] = False

    def __init__(self, config: AttributeJudgeConfig):
        super().__init__(config)
        self.attributes = tuple(Attribute(name, k) for name, k in zip(config.names, config.classes, strict=True))
        self.stages, self.head = stages(config), nn.Conv2d(4 * config.width, 2 * width(self.attributes), 1)
        self.needs = {"image": images(config.size, config.channels), "attributes": Need("attributes", (len(config.names),), config.names)}
        self.codes = ()
        self.groups = learning(config)
        self.phases = (Phase("judge", self.attributes_loss),)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) in [-1, 1] -> (N, W) logits."""
        return weighed(self.head(self.stages(x))).sum((2, 3))

    def attributes_loss(self, batch: Batch, progress: Progress) -> Terms:
        """Cross-entropies on pictures that are moved, a third of them dirty; of a number its expected value is learned.

        No blends: two mouths at once are no half smile.
        """
        x, y = shaken(batch["image"], progress.generator), numbers(self.attributes, batch["attributes"])
        third = len(x) // 3
        x = torch.cat([soiled(x[:third], progress.generator), x[third:]])
        return Terms(attributes=losses.read_off(self(x), y, [a.width for a in self.attributes]))


def stages(config: JudgeConfig) -> nn.Sequential:
    """(N, channels, S, S) -> (N, 4 * width, s, s), s at least 8 where S is less than 128."""
    w = config.width
    strides = [2 if config.size // 2**i > 8 else 1 for i in range(1, 5)] if config.size < 128 else [2, 2, 2, 2]
    widths = [config.channels, w, 2 * w, 4 * w, 4 * w]
    found: list[nn.Module] = []
    for before, after, stride in zip(widths, widths[1:], strides, strict=False):
        found += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*found)


def weighed(head: Tensor) -> Tensor:
    """Where to look and what is seen there, (N, 2 * W, s, s) -> what each cell says, (N, W, s, s); the sum over cells is the answer."""
    where, what = head.float().chunk(2, dim=1)
    return where.flatten(2).softmax(2).view_as(what) * what


def learning(config: JudgeConfig) -> dict[str, Group]:
    """How a judge learns: its one group. In as many steps Muon reads smiles, and glasses on photographs, more closely than Adam."""
    return {"judge": Group(("stages", "head"), Muon(WarmDecay(config.lr, warm=0.05, decay=0.5, floor=0.02)))}


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures moved (up to 8 %), resized (10 %), mirrored, recoloured, some blurred or dirty. (N, C, S, S) in [-1, 1] -> the same."""
    return soiled(shaken(x, generator), generator)


def shaken(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures moved, resized and mirrored."""
    n, draw = len(x), lambda *shape: torch.rand(*shape, generator=generator).to(x) * 2 - 1
    place = torch.zeros(n, 2, 3).to(x)
    scale = 1 + 0.1 * draw(n)
    place[:, 0, 0], place[:, 1, 1] = scale * torch.where(draw(n) < 0, -1.0, 1.0), scale
    place[:, :, 2] = 0.16 * draw(n, 2)
    return F.grid_sample(x, F.affine_grid(place, list(x.shape), align_corners=False), padding_mode="border", align_corners=False)


def soiled(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures recoloured, some blurred, stained or noisy."""
    n, draw = len(x), lambda *shape: torch.rand(*shape, generator=generator).to(x) * 2 - 1
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = torch.lerp(x, blurred, draw(n, 1, 1, 1).clamp(min=0))
    x = x * (1 + 0.15 * draw(n, 1, 1, 1)) + 0.15 * draw(n, 1, 1, 1) + 0.1 * draw(n, x.shape[1], 1, 1)
    blotches = F.interpolate(draw(n, x.shape[1], 8, 8), size=x.shape[-2:], mode="bilinear")
    return x + 0.25 * draw(n, 1, 1, 1).clamp(min=0) * blotches + 0.4 * draw(n, 1, 1, 1).clamp(min=0) ** 2 * draw(*x.shape)


# -- lessons -------------------------------------------------------------------------------------------------------------------


def teach(judge: J, data: Pictures, seed: int, steps: int, truth: bool) -> J:
    """The one phase of a judge, `steps` times, on pictures of the training split. truth: also show b's faces without the part."""
    phase = judge.phases[0]
    group = judge.groups[phase.group]
    optimiser = group.optimiser.build(list(judge.parameters()))
    lessons = torch.Generator().manual_seed(seed)
    twins = _twins(data) if truth else {}
    judge.train()
    for step in range(steps):
        progress = Progress(step, step * BATCH, step / steps, torch.Generator().manual_seed(seed * 1_000_003 + step))
        for settings in optimiser.param_groups:
            settings["lr"] = progress.at(group.optimiser.lr)
        batch = _lesson(judge, data, lessons)
        if twins:
            rows = torch.randint(len(twins["with"]), (BATCH // 2,), generator=lessons)
            batch |= {name: to_float(pictures[rows]) for name, pictures in twins.items()}
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=pick_precision(torch.device("cpu")) == "bf16"):
            loss = phase.loss(batch, progress).total
        loss.backward()
        optimiser.step()
    return judge.eval()


def _lesson(judge: Method, data: Pictures, generator: torch.Generator) -> Batch:
    """BATCH pictures of each set; or 2 x BATCH with their attributes."""
    if "image" in judge.needs:
        rows = torch.randint(data.lengths["image"], (2 * BATCH,), generator=generator)
        return {"image": to_float(data.take("image", rows)), "attributes": data.take("attributes", rows)}
    return {name: to_float(data.take(name, torch.randint(data.lengths[name], (BATCH,), generator=generator))) for name in judge.needs}


def _twins(data: Pictures) -> dict[str, Tensor]:
    rows = range(min(TWINS, data.lengths["b"]))
    return {"with": data.take("b", rows), "without": data.truth.clean(rows)}


def trained(data: Pictures, seed: int, steps: int, truth: bool) -> Judge:
    """A judge of these pictures: read from the cache folder where the same one was made before, else taught and kept there."""
    return taught(Judge, JudgeConfig(size=data.size), data, seed, steps, truth)


def taught(kind: Callable[[Any], J], config: JudgeConfig, data: Pictures, seed: int, steps: int, truth: bool) -> J:
    """A judge of this kind, read from the cache folder where the same one was taught before, else taught and kept there."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = kind(config)
    fewest = min(data.lengths[name] for name in judge.needs)
    steps = min(steps, max(30, EPOCHS * fewest // BATCH))  # more would learn few pictures by heart
    what = json.dumps([VERSION, data.key, seed, steps, truth, asdict(config)])
    file = cache.folder() / "judges" / (hashlib.sha256(what.encode()).hexdigest()[:24] + ".safetensors")
    if file.exists():
        try:
            judge.load_state_dict(load_file(file))
            return judge.eval()
        except Exception:  # a damaged cache file is made anew, whatever is wrong with it
            file.unlink(missing_ok=True)
    log.info("teaching a judge (once for these pictures; a minute or two)")
    with torch.enable_grad():
        teach(judge, data, seed, steps, truth)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    save_file({k: v.contiguous() for k, v in judge.state_dict().items()}, temporary)
    temporary.replace(file)
    return judge


def set_judge(data: Pictures, seed: int = 1, steps: int = 600) -> Callable[[Tensor], Tensor]:
    """A judge of set membership, for choosing a snapshot: it sees pictures of a and b and nothing else.

    data: the training split, streams "a" and "b". -> callable, (N, C, S, S) in [-1, 1] -> (N,) probability of showing what b shows.
    """
    return probability(trained(data, seed, steps, False))


def part_judge(data: Pictures, seed: int = 2, steps: int = 900) -> Judge:
    """The evaluation's judge: from set membership and, where the training split has truth, from b's faces without the part too."""
    return trained(data, seed, steps, data.truth is not None)


def attribute_judge(data: Pictures, attributes: Attributes, seed: int = 1, steps: int = 1500) -> Callable[[Tensor], Tensor]:
    """A judge of attributes, from the labels of the training split: columns "image" and "attributes", in the order of `attributes`.

    -> callable, (N, C, S, S) in [-1, 1] -> (N, W): probabilities and numbers, laid out as the code `attributes`; with a gradient where the
    pictures have one.
    """
    config = AttributeJudgeConfig(size=data.size, names=tuple(a.name for a in attributes), classes=tuple(a.classes for a in attributes))
    judge = taught(AttributeJudge, config, data, seed, steps, False).requires_grad_(False)

    def answer(x: Tensor) -> Tensor:
        return probabilities(attributes, judge.to(x.device)(x.float()))

    return answer


def evaluation_judge(data: Pictures, look: Extractor | None = None) -> Callable[[Tensor], Tensor]:
    """The evaluation's judge as a function of pictures: of photographs, without truth, `feature_judge` where there are features, else
    `part_judge`."""
    return feature_judge(data, look) if data.truth is None and look is not None else probability(part_judge(data))


def feature_judge(data: Pictures, look: Extractor, most: int = 1500, seed: int = 2) -> Callable[[Tensor], Tensor]:
    """A judge for photographs: logistic regression on what another network, AlexNet say, sees in each part of a picture.

    data: the training split, streams "a" and "b", of which up to `most` pictures each are learned, half of them soiled or moved.
    -> callable, (N, C, S, S) in [-1, 1] -> (N,) probability of showing what b shows.
    """
    from sklearn.linear_model import LogisticRegression  # late: trainings ask other judges, and need not wait for it

    draw, rows = torch.Generator().manual_seed(seed), []
    for name in ("a", "b"):
        which = torch.randperm(data.lengths[name], generator=draw)[:most]
        parts = [to_float(part) for part in data.take(name, which).split(FEATURED)]
        rows.append(torch.cat([_cells(look, x if i % 2 else augment(x, draw)) for i, x in enumerate(parts)]))
    learned, labels = torch.cat(rows), torch.arange(2).repeat_interleave(torch.tensor([len(part) for part in rows]))
    mean, deviation = learned.mean(0), learned.std(0).clamp_min(1e-6)
    reader = LogisticRegression(C=1e-4, max_iter=300, class_weight="balanced").fit(((learned - mean) / deviation).numpy(), labels.numpy())
    weight = torch.from_numpy(reader.coef_[0]).float() / deviation
    bias = float(reader.intercept_[0]) - float(weight @ mean)

    @torch.no_grad()
    def answer(x: Tensor) -> Tensor:
        return torch.cat([(_cells(look, part.float()) @ weight.to(x.device) + bias).sigmoid() for part in x.split(FEATURED)])

    return answer


@torch.no_grad()
def _cells(look: Extractor, x: Tensor) -> Tensor:
    """(N, C, S, S) -> (N, D): all but the first of the network's maps, channels of length 1 or less, in CELLS x CELLS cells.

    Small pictures are enlarged to twice their side, since such networks are made for larger ones."""
    x = F.interpolate(x, scale_factor=2.0, mode="bicubic") if x.shape[-1] < 128 else x
    seen = [stage / (stage.square().sum(1, keepdim=True) + 1).sqrt() for stage in look.maps(x)[1:]]
    return torch.cat([F.adaptive_avg_pool2d(stage, CELLS).flatten(1) for stage in seen], 1)


def probability(judge: Judge) -> Callable[[Tensor], Tensor]:
    """The judge's answer as a function: (N, C, S, S) in [-1, 1] -> (N,) in [0, 1], without gradients."""

    @torch.no_grad()
    def answer(x: Tensor) -> Tensor:
        return judge.to(x.device)(x.float()).sigmoid()

    return answer


@torch.no_grad()
def cam(judge: Judge, x: Tensor) -> Tensor:
    """Class-activation map: where the judge sees the part. (N, C, S, S) in [-1, 1] -> (N, 1, S, S) in [0, 1], each picture's largest is 1.

    What each cell of the last map says, before the judge weighs them, negative evidence dropped: its weights choose a cell or two of a
    whole pair of glasses. Source: Zhou et al., Learning Deep Features for Discriminative Localization, 2016.
    """
    heat = judge.head(judge.stages(x.float()))[:, 1:].relu()
    heat = F.interpolate(heat, size=x.shape[-2:], mode="bilinear", align_corners=False)
    return heat / heat.amax((1, 2, 3), keepdim=True).clamp(min=1e-8)


def attribute_accuracy(judge: Callable[[Tensor], Tensor], data: Pictures, attributes: Attributes, most: int = 1000) -> list[float]:
    """Share of right answers for each attribute on up to `most` pictures (of the test split): of a number, how many are within .15."""
    rows = range(min(most, data.lengths["image"]))
    read = torch.cat([judge(to_float(chunk)).cpu() for chunk in data.take("image", rows).split(200)])
    return agree(attributes, read, numbers(attributes, data.take("attributes", rows))).float().mean(0).tolist()


def accuracy(judge: Callable[[Tensor], Tensor], data: Pictures, most: int = 1000) -> float:
    """Balanced share of right answers on up to `most` pictures of each set (of the test split)."""
    answers = {name: judge(to_float(data.take(name, range(min(most, data.lengths[name]))))) > 0.5 for name in ("a", "b")}
    return float((1 - answers["a"].float().mean() + answers["b"].float().mean()) / 2)
