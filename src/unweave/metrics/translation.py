"""Measures of few-shot translation into classes that training never saw: is it the class, is it the content, how near is it to the truth?

A judge learns classes and contents from real pictures: of every class (the test's too, since it must know them) two pictures in three, of
glyphs 24 letters of every typeface. Only contents among the rest, 12 letters, are translated, and examples are never of these, so that
the judge has never seen what it is asked about, and no example shows the letter that is drawn. Contents are of the plain training class, or
where there is none of training classes at random. K examples are among the 20 that go before; figures are of K = 1, 5, 10, 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unweave.data.classes import Classed
from unweave.data.feed import to_float
from unweave.method import Adam, Batch, Group, Method, Need, Phase, Progress, Terms, images
from unweave.metrics import images as distances
from unweave.metrics import intervals, judges
from unweave.metrics.intervals import Estimate
from unweave.metrics.judges import JudgeConfig
from unweave.pictures import Sheet
from unweave.schedules import WarmDecay

SHOTS = (1, 5, 10, 20)
THIRD = 3  # every third content (or picture of a class) is held out of the judge's lessons, and translated
STEPS = 4000  # of the judge's teaching
BATCH = 120
SHOWN = 12
NOTES = {
    "copy": "copy: the content picture as it is.",
    "nearest": "nearest: of the training class that is nearest to the K examples, on pictures of the same contents, the picture asked for.",
    "mean": "mean: the mean of all training classes' pictures of the content.",
}


# -- the judge -----------------------------------------------------------------------------------------------------------------


def held(data: Classed) -> NDArray[np.bool_]:
    """(pictures,): of which contents the judge never learns a class; without known contents, every third picture of a class."""
    if data.contents is not None:
        return data.contents % THIRD == THIRD - 1
    out = np.zeros(len(data.labels), dtype=bool)
    for rows in data.of:
        out[rows[THIRD - 1 :: THIRD]] = True
    return out


class Lessons:
    """What the judge learns: pictures with two numbers each, class and content, -1 where it is not told. Classes of `parts` in a row."""

    def __init__(self, parts: Sequence[Classed]):
        self.size, self.truth, self.parts = parts[0].size, None, parts
        self.key = "-".join(part.key for part in parts)
        starts = np.cumsum([0, *[len(part.classes) for part in parts]])
        self.classes, self.contents, which = int(starts[-1]), len(parts[0].content_names), []
        labels = []
        for k, part in enumerate(parts):
            out, first = held(part), k == 0  # contents are learned from training classes
            of_class = np.where(out, -1, part.labels + starts[k])
            content = part.contents if first and part.contents is not None else np.full(len(out), -1)
            rows = np.flatnonzero((of_class >= 0) | (content >= 0))
            which.append(np.stack([np.full(len(rows), k), rows], 1))
            labels.append(np.stack([of_class, content], 1)[rows])
        self.which, self.labels = np.concatenate(which), np.concatenate(labels)
        self.lengths = {"image": len(self.which), "attributes": len(self.which)}

    def take(self, name: str, indices: Any) -> Tensor:
        at = np.asarray(indices)
        if name == "attributes":
            return torch.from_numpy(self.labels[at].astype(np.float32))
        out = torch.empty(len(at), 3, self.size, self.size, dtype=torch.uint8)
        for k, part in enumerate(self.parts):
            here = self.which[at, 0] == k
            if here.any():
                out[torch.from_numpy(here)] = part.take("image", self.which[at, 1][here])
        return out


@dataclass(frozen=True)
class TranslationJudgeConfig(JudgeConfig):
    lr: float = 3e-3  # Adam's
    classes: int = 2
    contents: int = 0


class TranslationJudge(Method):
    """Four convolutional stages; classes by the mean and the largest of each channel, contents by a 4x4 map of them."""

    name: ClassVar[str] = "translation-judge"
    Config: ClassVar[type] = TranslationJudgeConfig
    encodes: ClassVar[bool] = False

    def __init__(self, config: TranslationJudgeConfig):
        super().__init__(config)
        wide = 4 * config.width
        self.stages = judges.stages(config)
        self.head = nn.ModuleDict({"class": nn.Linear(2 * wide, config.classes), "content": nn.Linear(16 * wide, max(1, config.contents))})
        self.needs = {"image": images(config.size, config.channels), "attributes": Need("attributes", (2,))}
        learning = Adam(WarmDecay(config.lr, warm=0.05, decay=0.3, floor=0.02), weight_decay=1e-3)
        self.codes, self.groups = (), {"judge": Group(("stages", "head"), learning)}
        self.phases = (Phase("judge", self.translation_loss),)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) in [-1, 1] -> logits of classes (N, classes) and of contents (N, contents)."""
        h = self.stages(x)
        pooled = torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1)
        return self.head["class"](pooled).float(), self.head["content"](F.adaptive_avg_pool2d(h, 4).flatten(1)).float()

    def translation_loss(self, batch: Batch, progress: Progress) -> Terms:
        """Cross-entropies on pictures that are moved a little, a third of them dirty: a judge must be fair to what is a little wrong."""
        x, known = moved(batch["image"], progress.generator), batch["attributes"].long()
        third = len(x) // 3
        of_class, content = self(torch.cat([judges.soiled(x[:third], progress.generator), x[third:]]))
        terms = Terms()
        for name, logits, right in (("class", of_class, known[:, 0]), ("content", content, known[:, 1])):
            told = right >= 0
            terms.add(name, F.cross_entropy(logits[told], right[told]) if told.any() else logits.sum() * 0)
        return terms


def moved(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures shifted by up to 3 % and resized by up to 6 %, never mirrored: letters have a right and a left."""
    draw = (torch.rand(len(x), 3, generator=generator) * 2 - 1).to(x)
    place = torch.zeros(len(x), 2, 3).to(x)
    place[:, 0, 0] = place[:, 1, 1] = 1 + 0.06 * draw[:, 0]
    place[:, :, 2] = 0.06 * draw[:, 1:]
    return F.grid_sample(x, F.affine_grid(place, list(x.shape), align_corners=False), padding_mode="border", align_corners=False)


def judge_of(parts: Sequence[Classed]) -> TranslationJudge:
    """The judge of these classes (training, val, test), taught once and kept in the cache."""
    lessons = Lessons(parts)
    config = TranslationJudgeConfig(size=lessons.size, classes=lessons.classes, contents=lessons.contents)
    return judges.taught(TranslationJudge, config, lessons, 2, STEPS, False)


# -- what is asked -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """n translations. contents: uint8 (n, 3, S, S). wanted: (n,) test classes. rows: (n,) real pictures of the test set: of the class,
    and where contents are known with this content. examples: (n, up to 20) rows of the test set; K examples are the first K. letters: (n,),
    or None.
    """

    contents: Tensor
    wanted: NDArray[np.int64]
    rows: NDArray[np.int64]
    examples: NDArray[np.int64]
    letters: NDArray[np.int64] | None

    @property
    def shots(self) -> list[int]:
        """The K that there are examples for."""
        return [k for k in SHOTS if k <= self.examples.shape[1]] or [self.examples.shape[1]]


def trial(test: Classed, most: int = 12, seed: int = 0) -> Trial:
    """Up to `most` held contents of each test class. Raises ValueError when no class has a picture to show and one to draw."""
    random, train, out = np.random.default_rng(seed), test.content_source(), held(test)
    fewest = min(int((~out[rows]).sum()) for rows in test.of if out[rows].any())
    rows = np.concatenate([rows[out[rows]][:most] for rows in test.of])
    shown = [random.permutation(np.setdiff1d(test.of[k], np.flatnonzero(out)))[: min(SHOTS[-1], fewest)] for k in test.labels[rows]]
    if test.contents is None or train.contents is None:
        return Trial(train.take("image", random.integers(0, len(train.labels), len(rows))), test.labels[rows], rows, np.stack(shown), None)
    letters, given = test.contents[rows], train.plain in train.classes
    chosen = []
    for letter in letters:
        alike = np.flatnonzero(train.contents == letter)
        own = alike[train.labels[alike] == train.classes.index(train.plain)] if given else alike
        chosen.append(int(own[0] if given else random.choice(own)))
    return Trial(train.take("image", chosen), test.labels[rows], rows, np.stack(shown), letters)


def translated(model: Any, test: Classed, asked: Trial) -> dict[int, Tensor]:
    """What the model draws with K examples: K -> (n, 3, S, S) on the CPU. Each example is encoded once."""
    contents, known = _content(model, asked), _classes(model, test, np.unique(asked.examples))
    codes = torch.stack([torch.stack([known[row] for row in rows]) for rows in asked.examples.tolist()])  # (n, up to 20, D)
    return {k: _drawn(model, contents, codes[:, :k].mean(1)) for k in asked.shots}


def with_random_classes(model: Any, test: Classed, asked: Trial, seed: int = 0) -> Tensor:
    """The contents with class codes that no class has: normal numbers of the mean and deviation of training pictures' codes."""
    train = test.content_source()
    some = np.random.default_rng(seed).permutation(len(train.labels))[:1000]
    codes = torch.stack(list(_classes(model, train, some).values()))
    draws = torch.randn(len(asked.wanted), codes.shape[1], generator=torch.Generator().manual_seed(seed))
    return _drawn(model, _content(model, asked), codes.mean(0) + draws * codes.std(0))


def _place(model: Any) -> torch.device:
    return next(model.parameters()).device


def _content(model: Any, asked: Trial) -> Tensor:
    return torch.cat([model.encode(to_float(part).to(_place(model)))["content"].cpu() for part in asked.contents.split(BATCH)])


def _classes(model: Any, data: Classed, rows: NDArray[np.int64]) -> dict[int, Tensor]:
    parts = [data.take("image", rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)]
    codes = torch.cat([model.encode(to_float(part).to(_place(model)))["class_"].cpu() for part in parts])
    return dict(zip(rows.tolist(), codes))


def _drawn(model: Any, contents: Tensor, classes: Tensor) -> Tensor:
    from unweave.codes import Codes

    made = [model.decode(Codes(content=content.to(_place(model)), class_=class_.to(_place(model)))).image.float().cpu()
            for content, class_ in zip(contents.split(BATCH), classes.split(BATCH))]  # fmt: skip
    return torch.cat(made)


# -- other ways to do it -------------------------------------------------------------------------------------------------------


def baselines(test: Classed, asked: Trial) -> dict[str, dict[int, Tensor]]:
    """copy: the content as it is. With known contents also mean: the mean of all training classes' pictures of that content; and nearest:
    that of the training class whose pictures of the examples' contents are nearest (L1) to the K examples.
    """
    copied = {"copy": dict.fromkeys(asked.shots, to_float(asked.contents))}
    train = test.content_source()
    if asked.letters is None or test.contents is None or train.grid is None:
        return copied
    size, (count, per) = test.size, train.grid.shape
    means, far = torch.empty(per, 3, size, size), np.full((len(test.classes), per, count), np.nan, dtype=np.float32)
    for letter in range(per):
        known = to_float(train.take("image", train.grid[:, letter]))
        means[letter] = known.mean(0)
        rows = np.flatnonzero(test.contents == letter)
        asked_of = to_float(test.take("image", rows))
        far[test.labels[rows], letter] = torch.cdist(asked_of[:, 0].flatten(1), known[:, 0].flatten(1), p=1).numpy()
    near: dict[int, Tensor] = {}
    for k in asked.shots:
        letters = test.contents[asked.examples[:, :k]]
        best = np.nanmean(far[asked.wanted[:, None], letters], 1).argmin(1)
        near[k] = to_float(train.take("image", train.grid[best, asked.letters]))
    return copied | {"nearest": near, "mean": dict.fromkeys(asked.shots, means[asked.letters])}


# -- figures -------------------------------------------------------------------------------------------------------------------


class Scores:
    """Figures of drawn pictures, by one judge on one trial. `first`: the number of the first test class among the judge's."""

    def __init__(self, judge: TranslationJudge, first: int, test: Classed, asked: Trial, features: Any = None):
        self.judge, self.span, self.test, self.asked, self.features = judge, slice(first, first + len(test.classes)), test, asked, features
        self.real = to_float(test.take("image", asked.rows))
        self.ceiling = self.read(self.real)

    @torch.no_grad()
    def read(self, pictures: Tensor) -> dict[str, Tensor]:
        """Of each picture: is the class first, among five, is the content right; floats (n,)."""
        answers = [self.judge(part) for part in pictures.split(BATCH)]
        order = torch.cat([a[:, self.span] for a, _ in answers]).topk(min(5, len(self.test.classes)), dim=1).indices
        right = order == torch.from_numpy(self.asked.wanted)[:, None]
        found = {"class_top1": right[:, 0].float(), "class_top5": right.any(1).float()}
        if self.asked.letters is not None:
            found["content_kept"] = (torch.cat([b for _, b in answers]).argmax(1) == torch.from_numpy(self.asked.letters)).float()
        return found

    def of(self, pictures: Tensor, k: int) -> dict[str, Estimate]:
        """All figures of pictures drawn with K examples, over classes as samples: letters of one typeface succeed or fail together."""
        found = {
            f"{name}_k{k}": intervals.ratio(self._by_class(right), self._by_class(self.ceiling[name])).judged(
                self.ceiling[name].mean().item()
            )
            for name, right in self.read(pictures).items()
        }
        if self.asked.letters is not None:
            found[f"glyph_error_k{k}"] = intervals.mean(self._by_class((pictures - self.real).abs().mean((1, 2, 3)) * 127.5))
            found[f"ink_iou_k{k}"] = intervals.mean(self._by_class(ink_iou(pictures, self.real)))
        if self.features is not None and self.test.size >= 64:
            found[f"class_kid_k{k}"] = intervals.mean(self._distances(pictures))
        return found

    def gain(self, fewer: Tensor, more: Tensor) -> Estimate:
        """Rise of the class accuracy from fewer examples to more, paired by class."""
        before, after = (self._by_class(self.read(pictures)["class_top1"]) for pictures in (fewer, more))
        return intervals.mean(after - before).judged(self.ceiling["class_top1"].mean().item())

    def content(self, pictures: Tensor) -> Estimate:
        """Content accuracy over the ceiling."""
        right = self.read(pictures)["content_kept"]
        return intervals.ratio(right, self.ceiling["content_kept"]).judged(self.ceiling["content_kept"].mean().item())

    def _by_class(self, values: Tensor) -> NDArray[np.float64]:
        return np.array([values[self.asked.wanted == k].double().mean().item() for k in np.unique(self.asked.wanted)])

    def _distances(self, pictures: Tensor) -> list[float]:
        drawn, real = self.features(pictures), self.features(self.real)
        here = [self.asked.wanted == k for k in np.unique(self.asked.wanted)]
        return [distances.kernel_distance(drawn[one], real[one], subsets=1)[0] for one in here if one.sum() > 1]


def ink_iou(x: Tensor, y: Tensor) -> Tensor:
    """Overlap of what is darker than middle grey: (N, C, S, S) in [-1, 1] each -> (N,); 1 where neither has ink."""
    a, b = (z.mean(1).flatten(1) < 0 for z in (x, y))
    both, either = (a & b).sum(1).float(), (a | b).sum(1).float()
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))


def sheets(test: Classed, asked: Trial, made: dict[int, Tensor], others: dict[str, dict[int, Tensor]]) -> dict[str, Sheet]:
    """Rows for the first classes of the test: an example, translations of its first contents, and below the truth."""
    k, train_rows, left = asked.shots[-1], [], []
    real = to_float(test.take("image", asked.rows))
    for which in np.unique(asked.wanted)[:6]:
        here = np.flatnonzero(asked.wanted == which)[:SHOWN]
        example = to_float(test.take("image", asked.examples[here[:1], 0]))[0]
        train_rows += [[example, *made[k][here]], [None, *real[here]]]
        left += [test.classes[which], "truth" if asked.letters is not None else "real"]
    found = {f"Translations: an example of {k}, then contents in its class; below the real ones": Sheet(train_rows, left=left)}
    first = np.flatnonzero(asked.wanted == asked.wanted[0])[:SHOWN]
    rows = [("content", to_float(asked.contents)), *[(f"K = {n}", pictures) for n, pictures in made.items()]]
    rows += [(name, by_k[k]) for name, by_k in others.items() if name != "copy"] + [("real", real)]
    found["Examples: one class with more and more of them"] = Sheet([list(x[first]) for _, x in rows], left=[name for name, _ in rows])
    return found


def _classed(data: Any) -> Classed:
    assert isinstance(data, Classed)
    return data


def measure(
    model: Any, test: Classed, features: Any = None
) -> tuple[dict[str, Estimate], dict[str, dict[str, Estimate]], dict[str, Sheet]]:
    """Figures of a model and of the baselines, and sheets. test: the test split; features: for the per-class kernel distance."""
    parts = [test.content_source(), test] if test.split == "val" else [test.content_source(), _classed(test.sibling("val")), test]
    judge = judge_of(parts)
    asked = trial(test)
    scores = Scores(judge, sum(len(part.classes) for part in parts[:-1]), test, asked, features)
    made, others = translated(model, test, asked), baselines(test, asked)
    figures: dict[str, Estimate] = {}
    for k, pictures in made.items():
        figures |= scores.of(pictures, k)
    if len(made) > 1:
        few, many = asked.shots[0], 10 if 10 in made else asked.shots[-1]
        figures["class_gain"] = scores.gain(made[few], made[many])
    if asked.letters is not None:
        figures["content_random_class"] = scores.content(with_random_classes(model, test, asked))
    rows = {name: {n: e for k, x in by_k.items() for n, e in scores.of(x, k).items()} for name, by_k in others.items()}
    return figures, rows, sheets(test, asked, made, others)
