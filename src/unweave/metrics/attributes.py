"""Measures of attribute editing: does the slider do what it says, leave the rest alone, and move one way?

An `Edit` is any function that sets one attribute of pictures: a model, or a step along a direction in an autoencoder's code. Pictures are
(N, C, S, S) in [-1, 1], values (N, A) as in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import Tensor

from unweave.attributes import Attribute, Attributes, agree, numbers, spans
from unweave.codes import Codes
from unweave.data.dataset import Dataset
from unweave.data.feed import to_float
from unweave.errors import UserError, did_you_mean
from unweave.metrics import identity, intervals, transfer
from unweave.metrics.intervals import Estimate
from unweave.metrics.probes import leakage
from unweave.pictures import Sheet

Edit = Callable[[Tensor, Tensor, str, float], Tensor]  # pictures, their values (N, A), an attribute's name, its new value -> pictures
Make = Callable[[Tensor, str, float], Tensor]  # numbers of a trial's pictures, an attribute's name, its new value -> pictures
Judge = Callable[[Tensor], Tensor]

ASKED = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a number: one of these for each picture
STEPS = tuple(i / 6 for i in range(7))  # of a slider whose response is ranked
MONOTONE = 0.95  # rank correlation from which a response counts as monotone
SHOWN = 6
BATCH = 100


@dataclass(frozen=True)
class Trial:
    """n fixed test pictures: their rows in the set, pictures uint8 (n, C, S, S), values (n, A), and the values `asked` for (n, A).

    strangers: other people in their places, (n, 9, C, S, S) uint8, where the data can draw them."""

    rows: NDArray[np.int64]
    pictures: Tensor
    values: Tensor
    asked: Tensor
    strangers: Tensor | None = None


def trial(data: Dataset, attributes: Attributes, count: int = 500, seed: int = 0) -> Trial:
    """Up to `count` pictures and, for each attribute, another value: yes for no, another class, or of a number one of five."""
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(data.lengths["image"])[:count])
    values = data.take("attributes", rows)
    asked = values.clone()
    for i, kind in enumerate(attributes):
        if kind.classes:
            asked[:, i] = (values[:, i].round() + torch.from_numpy(random.integers(1, kind.classes, len(rows)))) % kind.classes
        else:
            asked[:, i] = torch.tensor(ASKED)[torch.from_numpy(random.integers(0, len(ASKED), len(rows)))]
    return Trial(rows, data.take("image", rows), values, asked, identity.strangers(data, rows))


def edited(make: Make, test: Trial, name: str, asked: Tensor) -> Tensor:
    """Every picture with its own asked value (n,), those of one value together. -> (n, C, S, S) on the CPU."""
    out = torch.empty(test.pictures.shape)
    for value in asked.unique().tolist():
        for rows in (asked == value).nonzero()[:, 0].split(BATCH):
            out[rows] = make(rows, name, value).float().cpu()
    return out


def measure(
    edit: Edit, test: Trial, attributes: Attributes, judge: Judge, accuracies: Sequence[float] | None = None, truth: Any = None
) -> dict[str, Estimate]:
    """`NAME_success`, `NAME_others_kept`, `NAME_monotone`, `NAME_cycle_error` and, with a truth, `NAME_error_ratio`, `NAME_outside_change`
    and `NAME_identity_kept`, in this order.

    judge: (N, C, S, S) -> (N, W). accuracies: of the judge, for each attribute. truth: `set(rows, name, value)` gives the true pictures.
    """
    x = to_float(test.pictures)
    figures: dict[str, Estimate] = {}

    def make(rows: Tensor, name: str, value: float) -> Tensor:
        return edit(x[rows], test.values[rows], name, value)

    before = _judged(judge, x)
    for i, kind in enumerate(attributes):
        made = edited(make, test, kind.name, test.asked[:, i])
        figures |= _judgements(made, before, test, attributes, i, judge, accuracies)
        if kind.classes <= 2:
            figures[f"{kind.name}_monotone"] = _monotone(make, test, attributes, i, judge, accuracies)
        figures |= _cycle(edit, make, made, test, kind.name, i)
        if hasattr(truth, "set") and hasattr(truth, "mask") and kind.classes <= 2:
            figures |= _against_truth(kind, made, test, test.asked[:, i], test.values[:, i], truth)
    return figures


def _cycle(edit: Edit, make: Make, made: Tensor, test: Trial, name: str, i: int) -> dict[str, Estimate]:
    """What is left of a change when it is taken back: the mean difference from the picture, after the way back over before it."""
    now, x = test.values.clone(), to_float(test.pictures)
    now[:, i] = test.asked[:, i]
    back = edited(lambda rows, name, value: edit(made[rows], now[rows], name, value), test, name, test.values[:, i])
    left, change = (transfer.difference(picture, x).mean((1, 2)) for picture in (back, made))
    return {f"{name}_cycle_error": intervals.ratio(left, change)} if change.any() else {}


def ceiling(test: Trial, attributes: Attributes, judge: Judge, truth: Any) -> dict[str, Estimate]:
    """The same judgements of the true pictures: what the judge itself leaves to be reached. A true yes or no has no steps between."""
    figures: dict[str, Estimate] = {}

    def make(rows: Tensor, name: str, value: float) -> Tensor:
        return to_float(truth.set(test.rows[rows.numpy()], name, value))

    before = _judged(judge, to_float(test.pictures))
    for i, kind in enumerate(attributes):
        figures |= _judgements(edited(make, test, kind.name, test.asked[:, i]), before, test, attributes, i, judge, None)
        if not kind.classes:
            figures[f"{kind.name}_monotone"] = _monotone(make, test, attributes, i, judge, None)
    return figures


def _judgements(
    made: Tensor, before: Tensor, test: Trial, attributes: Attributes, i: int, judge: Judge, accuracies: Sequence[float] | None
) -> dict[str, Estimate]:
    """Of pictures in which attribute i was changed as asked: is it as asked, and are the others judged as `before`?"""
    name, wanted, seen = attributes[i].name, test.values.clone(), _judged(judge, made)
    wanted[:, i] = test.asked[:, i]
    accuracy = None if accuracies is None else accuracies[i]
    figures = {f"{name}_success": intervals.mean(agree(attributes, seen, numbers(attributes, wanted))[:, i]).judged(accuracy)}
    if len(attributes) > 1:
        others = [j for j in range(len(attributes)) if j != i]
        least = None if accuracies is None else min(accuracies[j] for j in others)
        figures[f"{name}_others_kept"] = intervals.mean(agree(attributes, seen, before)[:, others].float().mean(1)).judged(least)
    return figures


def _monotone(make: Make, test: Trial, attributes: Attributes, i: int, judge: Judge, accuracies: Sequence[float] | None) -> Estimate:
    """Share of pictures in which the judge's answer rises with the slider."""
    response = [_judged(judge, edited(make, test, attributes[i].name, torch.full((len(test.rows),), step))) for step in STEPS]
    heard = torch.stack(response, 1)[:, :, spans(attributes)[i].start].double().clamp(1e-9, 1 - 1e-9).logit()
    return intervals.mean(rank_correlation(heard) >= MONOTONE).judged(None if accuracies is None else accuracies[i])


def _judged(judge: Judge, pictures: Tensor) -> Tensor:
    return torch.cat([judge(chunk).cpu() for chunk in pictures.split(BATCH)])


def rank_correlation(response: ArrayLike) -> NDArray[np.float64]:
    """Spearman's correlation of each row (N, V) with 0, 1, 2 ...; ties share their mean rank, a constant row has 0. -> (N,)."""
    ranks = rankdata(np.asarray(response, dtype=np.float64), axis=1)
    ranks = ranks - ranks.mean(1, keepdims=True)
    steps = np.arange(ranks.shape[1]) - (ranks.shape[1] - 1) / 2
    return (ranks * steps).sum(1) / np.maximum(np.sqrt((ranks**2).sum(1) * (steps**2).sum()), 1e-12)


def _against_truth(kind: Attribute, made: Tensor, test: Trial, asked: Tensor, own: Tensor, truth: Any) -> dict[str, Estimate]:
    """Error where the part is, over that of doing nothing, and the change elsewhere. Of a yes or no only removals count: of a part that is
    put on, the truth is one of many. And whether all edits still show the person."""
    before, true = to_float(test.pictures), torch.empty_like(made)
    for value in asked.unique().tolist():
        here = asked == value
        true[here] = to_float(truth.set(test.rows[here.numpy()], kind.name, value))
    region = transfer.dilate(truth.mask(test.rows, kind.name) | (transfer.difference(true, before) > 1))
    rows, figures = torch.ones(len(made), dtype=torch.bool) if not kind.classes else own > 0.5, {}
    if rows.any():
        error, nothing = (transfer.inside(transfer.difference(x, true), region)[rows] for x in (made, before))
        figures[f"{kind.name}_error_ratio"] = intervals.ratio(error, nothing)
        figures[f"{kind.name}_outside_change"] = intervals.mean(transfer.inside(transfer.difference(made, before), ~region)[rows])
    if test.strangers is not None:
        figures[f"{kind.name}_identity_kept"] = intervals.mean(identity.kept(made, test.pictures, test.strangers, region))
    return figures


def classes(kind: Attribute, values: Tensor, middle: float) -> NDArray[np.int64]:
    """What a probe is to read from a code: (N,) values as classes; a number as below or above the training pictures' median."""
    return (values > middle if not kind.classes else values.round()).long().numpy()


def leakages(attributes: Attributes, codes: ArrayLike, values: Tensor, held: ArrayLike, held_values: Tensor) -> dict[str, Estimate]:
    """`NAME_leakage_linear` and `NAME_leakage_mlp` of each attribute: readers learn from codes (N, ...) and their values (N, A), and are
    asked about held ones.
    """
    found: dict[str, Estimate] = {}
    for i, kind in enumerate(attributes):
        middle = values[:, i].median().item()
        known, asked = (classes(kind, column[:, i], middle) for column in (values, held_values))
        found |= {f"{kind.name}_{name}": figure for name, figure in leakage(codes, known, held, asked).items()}
    return found


def directions(codes: Tensor, values: Tensor) -> Tensor:
    """How a code moves with each attribute: slopes of least squares, (N, D) and (N, A) -> (A, D).

    Of a yes or no this is the difference of the two means: the simple way to edit with a code that nobody disentangled.
    """
    x, v = codes - codes.mean(0), values - values.mean(0)
    return (v.T @ x) / v.square().sum(0)[:, None].clamp(min=1e-12)


def mean_difference(model: Any, known: Dataset, names: Sequence[str], most: int = 4000) -> Edit:
    """An editor out of any model that encodes and decodes: a step along the slope of its codes over each attribute (`directions`).

    known: pictures with labels, columns "image" and "attributes" (`data.labelled` makes one of any set); it learns from the first `most`.
    names: their attributes, in order. The step is as long as the value asked for is far from the picture's own, so that must be given:

        edit = mean_difference(model, uw.data("faces@train", size=model.size), ("glasses", "beard", "smile"))
        edit(pictures, values, "glasses", 1.0)  # (N, C, S, S) and (N, 3) -> (N, C, S, S)
    """
    found = [code.name for code in model.codes if code.source == "encoded"]
    place = next(model.parameters()).device
    rows = range(min(most, known.lengths["image"]))
    values = known.take("attributes", rows)
    with torch.no_grad():
        parts = [model.encode(to_float(chunk).to(place)).only(*found) for chunk in known.take("image", rows).split(BATCH)]
    steps = {name: directions(torch.cat([p[name].flatten(1).float().cpu() for p in parts]), values).to(place) for name in found}

    @torch.no_grad()
    def edit(pictures: Tensor, own: Tensor, name: str, value: float) -> Tensor:
        if name not in names:
            raise UserError(f'There is no attribute "{name}" here: {did_you_mean(name, names)}.')
        i, codes = names.index(name), model.encode(pictures.to(place))
        far = (value - own[:, i, None]).to(place)
        moved = {code: codes[code] + (far * step[i]).view_as(codes[code]).to(codes[code]) for code, step in steps.items()}
        return model.decode(codes | Codes(**moved)).image

    return edit


def sliders(edit: Edit, test: Trial, attributes: Attributes) -> dict[str, Sheet]:
    """For each attribute a sheet to look at: pictures, and the slider from -0.5 to 1.5 (of a choice, its first classes)."""
    x, own = to_float(test.pictures[:SHOWN]), test.values[:SHOWN]
    sheets = {}
    for kind in attributes:
        values = [-0.5, 0.0, 0.5, 1.0, 1.5] if kind.classes <= 2 else [float(k) for k in range(min(kind.classes, 10))]
        columns = [x, *[edit(x, own, kind.name, value).float().cpu() for value in values]]
        sheet = Sheet([list(row) for row in zip(*columns)], top=["picture", *[f"{kind.name} {value:g}" for value in values]])
        sheets[f"Slider {kind.name}: the pictures, then {kind.name} from {values[0]:g} to {values[-1]:g}"] = sheet
    return sheets
