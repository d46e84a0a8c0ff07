"""Measures of models that draw pictures out of noise: are samples like real pictures, are all kinds of these among them, are they new?

`measure` runs the whole protocol on a model with the codes z and style. Its sizes follow from one number, `count` (500): 4 x count
samples against the held-out pictures, 2 x count paths and pictures of each truncation, 20 x count samples judged for separability.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave import sampled
from unweave.attributes import Attribute, Attributes, detect
from unweave.codes import Codes
from unweave.data.feed import to_float, to_uint8
from unweave.data.labelled import labelled
from unweave.errors import UserError
from unweave.metrics import images, intervals, judges, spaces, steering
from unweave.metrics.images import Extractor, RandomFeatures
from unweave.metrics.intervals import Estimate
from unweave.metrics.steering import Judge
from unweave.pictures import Sheet

K = 3  # of precision and recall: a picture's sphere reaches to its k-th neighbour
SIGMA = 2.0  # pixels, of the blurred pictures that a distance is compared with
SEEDS = 10  # draws of real pictures that say how far a distance is noise
TRUNCATIONS = (0.3, 0.5, 0.7, 1.0)
SHOWN = 8
CHUNK = 64


# -- of features ---------------------------------------------------------------------------------------------------------------


def precision_recall(real: Tensor, made: Tensor, k: int = K) -> tuple[Tensor, Tensor]:
    """Which samples are like some real picture, (M,), and which real ones like some sample, (N,): bool; their shares are the figures.

    real (N, d), made (M, d): features. A picture is like another collection if it is within the distance of one of its pictures to that
    one's k-th neighbour among its own. Source: Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models,
    2019, eq. 1 and 2. Take as many of both: the spheres of a smaller collection are wider.
    """
    return _covered(real, made, k), _covered(made, real, k)


def _covered(collection: Tensor, asked: Tensor, k: int, batch: int = 1000) -> Tensor:
    if len(collection) <= k:
        raise ValueError(f"a neighbourhood of {k} needs more than {k} pictures, not {len(collection)}")
    collection, asked = collection.double(), asked.double()
    reach = torch.cat([torch.cdist(rows, collection).kthvalue(k + 1, dim=1).values for rows in collection.split(batch)])  # 1 is itself
    return torch.cat([(torch.cdist(rows, collection) <= reach).any(1) for rows in asked.split(batch)])


def nearest(asked: Tensor, known: Tensor, k: int = 1, batch: int = 500) -> tuple[Tensor, Tensor]:
    """Distances and numbers of the k nearest rows: (n, d), (N, d) -> (n, k) each, the nearest first."""
    found = [torch.cdist(rows, known).topk(k, largest=False) for rows in asked.split(batch)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def novelty(made: Tensor, held: Tensor, train: Tensor) -> Estimate:
    """Median distance of samples to the nearest training picture, over that of held-out pictures. (n, d), (m, d), (N, d) features.

    About 1 for new pictures, 0 for copies of training pictures. Blurred and odd pictures are far from everything, so above 1 says little.
    """
    n = min(len(made), len(held))
    both = torch.stack([nearest(rows[:n], train)[0][:, 0] for rows in (made, held)], 1)
    return intervals.bootstrap(both.numpy(), lambda x: np.median(x[..., 0], -1) / np.maximum(np.median(x[..., 1], -1), 1e-12))


def noise_band(train: Tensor, held: Tensor, count: int, seeds: int = SEEDS) -> Estimate:
    """Distance of real pictures from real ones: `count` of the training ones, drawn `seeds` times, from the held-out ones: mean and range.

    A model whose distance is inside the range cannot be told from real pictures by these features.
    """
    found = []
    for seed in range(seeds):
        rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:count]
        found.append(images.distance(train[rows], held).value)
    return Estimate(float(np.mean(found)), min(found), max(found), min(count, len(train)))


# -- of a model ----------------------------------------------------------------------------------------------------------------


@dataclass
class Found:
    """figures by reported name, rows of comparison likewise, sentences, sheets by caption, costs by name."""

    figures: dict[str, Estimate] = field(default_factory=dict)
    rows: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sheets: dict[str, Sheet] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)


def codes_of(model: Any, start: int, count: int) -> Codes:
    """The model's samples start .. start + count, z and noise: always the same; start: a multiple of 64, that share a seed."""
    drawn = [model.sample(CHUNK, torch.Generator().manual_seed(at)) for at in range(start // CHUNK, -(-(start + count) // CHUNK))]
    return Codes.stack(*drawn).take(slice(0, count))


@torch.no_grad()
def drawn(model: Any, start: int, count: int, truncation: float = 1.0) -> Tensor:
    """Those samples as pictures, uint8 (count, C, S, S)."""
    pictures = []
    for at in range(start, start + count, CHUNK):
        codes = codes_of(model, at, min(CHUNK, start + count - at))
        pictures.append(to_uint8(model.decode(codes | Codes(style=model.map(codes["z"], truncation))).image).cpu())
    return torch.cat(pictures)


def measure(model: Any, test: Any, features: Extractor | None = None, count: int = 500) -> Found:
    """All figures of a model with the codes z and style. test: the test split of one set of pictures. features: RandomFeatures if None."""
    found = Found()
    look = features if features is not None and (features.name != "alexnet" or test.size >= 64) else RandomFeatures()
    if features is None:
        found.notes.append(
            "Samples are compared by fixed random features, which tell sharp from blurred but hardly see parts in wrong places; "
            "better ones need a file or a package (--features FILE.npz | inception, or UNWEAVE_FEATURES)."
        )
    _likeness(model, test, look, count, found)
    _paths(model, look, count, found)
    kinds = _kinds(test)
    if kinds:
        known = labelled(test, [kind.name for kind in kinds])
        finder, judge = (judges.attribute_judge(known.sibling("train"), kinds, seed) for seed in (1, 2))
        accuracies = judges.attribute_accuracy(judge, known, kinds)
        points = _separability(model, kinds, judge, finder, accuracies, 20 * count, found)
        steering.measure(model, kinds, points, finder, judge, accuracies, count, found)
    else:
        found.notes.append("Not measured: separability and labelled directions, because the data has no attributes.")
    steering.projections(model, test, look, max(2, count // 30), found)
    found.sheets |= steering.mixing(model)
    return found


def _likeness(model: Any, test: Any, look: Extractor, count: int, found: Found) -> None:
    """KID with its noise band and that of blurred pictures, precision and recall, the same truncated, and the nearest training pictures."""
    train, n = test.sibling("train"), 4 * count
    held = to_float(test.take("image", range(min(test.lengths["image"], n))))
    rows = np.random.default_rng(0).permutation(train.lengths["image"])[: 5 * n]
    known = torch.cat([look(to_float(train.take("image", part))) for part in np.array_split(rows, max(1, len(rows) // 500))])
    seen, name = look(held), f"{look.name}_kid_samples"
    start = time.perf_counter()
    pictures = drawn(model, 0, n)
    found.cost["samples_a_second"] = round(n / (time.perf_counter() - start), 1)
    made = look(to_float(pictures))

    soft = look(images.blurred(held, SIGMA))
    band, blurred = noise_band(known, seen, n), images.distance(soft, seen)
    own = images.distance(made, seen)
    whole = max(blurred.value, 1e-12)
    share = Estimate(own.value / whole, None if own.low is None else own.low / whole, None if own.high is None else own.high / whole, own.n)
    found.figures |= {name: own, f"{name}_of_blurred": share, **alike(seen, made)}
    found.figures["novelty"] = novelty(made, seen, known)
    found.rows = {"real": {name: band, **alike(seen, known)}, "blurred": {name: blurred, **alike(seen, soft)}}
    found.notes += [
        f"real: as many training pictures against the test pictures, drawn {SEEDS} times: their mean and range.",
        f"blurred: the test pictures blurred (sigma {SIGMA:g} px) against themselves.",
    ]

    cells, left, words = [], [], []
    for psi in TRUNCATIONS:
        some = drawn(model, 0, 2 * count, psi) if psi != 1 else pictures[: 2 * count]
        at, like = look(to_float(some)), alike(seen, look(to_float(some)))
        kid, precision, recall = images.distance(at, seen).value, *(e.value for e in like.values())
        cells.append(list(to_float(some[:SHOWN])))
        left.append(f"psi {psi:g}")
        words.append(f"psi {psi:g}: {kid / max(blurred.value, 1e-12):.1%} of blurred, precision {precision:.2f}, recall {recall:.2f}")
    found.notes.append(f"Truncation: {'; '.join(words)}.")
    found.sheets["Truncation: the same samples, nearer and nearer to the mean style"] = Sheet(cells[::-1], left=left[::-1])

    _, near = nearest(made[:SHOWN], known, 3)
    shown = [list(to_float(pictures[:SHOWN])), *[list(to_float(train.take("image", rows[column.numpy()]))) for column in near.T]]
    found.sheets["Nearest: samples, and below the three nearest training pictures"] = Sheet(shown, left=["sample", "1", "2", "3"])
    found.sheets["Samples: the first ones, none chosen"] = Sheet([list(row) for row in to_float(pictures[: SHOWN * SHOWN]).split(SHOWN)])


def alike(real: Tensor, made: Tensor) -> dict[str, Estimate]:
    """Shares of `precision_recall`, by reported name, of as many of both."""
    n = min(len(real), len(made))
    precision, recall = precision_recall(real[:n], made[:n])
    return {f"precision_knn{K}": intervals.mean(precision), f"recall_knn{K}": intervals.mean(recall)}


def _paths(model: Any, look: Extractor, count: int, found: Found) -> None:
    """Path lengths in z and in w, with one and the same noise in all pictures."""
    first, second = (codes_of(model, start * CHUNK, 2 * count)["z"] for start in (1_000_000, 2_000_000))  # none of the samples above
    noise = codes_of(model, 0, 1).only("noise")

    def picture(style: Tensor) -> Tensor:
        return model.decode(noise | Codes(style=style)).image

    w, v = (torch.cat([model.map(part) for part in z.split(CHUNK)]) for z in (first, second))
    found.figures["path_length_z"] = spaces.path_length(lambda z: picture(model.map(z)), first, second, sampled.slerp, look.local)
    found.figures["path_length_w"] = spaces.path_length(picture, w, v, spaces.lerp, look.local)


def _kinds(test: Any) -> Attributes:
    """Attributes of the set of which each sample can be asked: yes or no, or a number."""
    if "attributes" not in test.offers:
        return ()
    train, found = test.sibling("train"), list[Attribute]()
    for name, column in zip(train.names, train.take("attributes", range(train.lengths["attributes"])).split(1, dim=1)):
        try:
            found += [kind for kind in detect([name], column) if kind.classes <= 2]
        except UserError:  # a column of which nothing can be learned
            continue
    return tuple(found)


@dataclass(frozen=True)
class Points:
    """n judged samples: z (n, Z), w (n, W), and what two judges read in their pictures, (n, A) each."""

    z: Tensor
    w: Tensor
    judged: Tensor
    found: Tensor


@torch.no_grad()
def _separability(model: Any, kinds: Attributes, judge: Judge, finder: Judge, accuracies: list[float], count: int, found: Found) -> Points:
    columns: list[list[Tensor]] = [[], [], [], []]
    for at in range(0, count, CHUNK):
        codes = codes_of(model, at, min(CHUNK, count - at))
        style = model.map(codes["z"])
        picture = model.decode(codes | Codes(style=style)).image
        for column, value in zip(columns, (codes["z"], style[:, 0], judge(picture), finder(picture)), strict=True):
            column.append(value.float().cpu())
    points = Points(*(torch.cat(column) for column in columns))
    for space, rows in (("z", points.z), ("w", points.w)):
        value, left = spaces.separability(rows.numpy(), points.judged.numpy())
        found.figures[f"separability_{space}"] = Estimate(value, None, None, count // 2).judged(min(accuracies))
        each = ", ".join(f"{kind.name} {entropy:.3f}" for kind, entropy in zip(kinds, left))
        found.notes.append(f"Separability in {space}, what remains unknown of each attribute (nats): {each}.")
    return points
