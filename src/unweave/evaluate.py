"""Model and data in, report out.

Which figures there are depends on what the model can do and on what is known about the data, by the table `PARTS` at the end; a method is
never asked what it is. Truth (masks, true edits) is looked at here and nowhere else.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unweave import masks
from unweave.attributes import Attribute, detect
from unweave.data import BuiltIn, ClassFolders, Folders, Motions, Table, load
from unweave.data.classes import Classed
from unweave.data.feed import match, to_float, to_uint8
from unweave.data.labelled import IN_B, labelled
from unweave.data.motion import Clips
from unweave.errors import UserError
from unweave.metrics import (
    attributes,
    edits,
    factors,
    generators,
    identity,
    images,
    intervals,
    judges,
    motion,
    samples,
    transfer,
    translation,
    two_parts,
)
from unweave.metrics.edits import Editor, Made, Pairs
from unweave.metrics.images import Extractor
from unweave.metrics.intervals import Estimate
from unweave.metrics.probes import TRAIN, leakage, zero_residual
from unweave.metrics.table import CLEAN, MASKS, WORN
from unweave.pictures import Sheet, draw, overlay
from unweave.report import Report

SHOWN = 8  # pictures on a sheet
ENCODED = 100  # pictures in one call of an encoder
HELD = 1000  # test pictures of each set that probes and judges are tried on
MOVED = 200  # test pictures whose codes are moved, to see what a generator does with them


def evaluate(model: Any, data: Any, out: str | Path | None = None, pairs: int = 500, features: str | Path | None = None) -> Report:
    """Measure a model on pictures that it has never seen.

    model: a model, a run, or the name of one (shipped, folder, file, hub). data: a data set, or what `unweave.data` takes; a name without a
    split means its test split. out: folder for the report and its sheets. pairs: how many pairs (a_i, b_j) are edited. features: an .npz of
    AlexNet's weights for AlexNet-KID (else UNWEAVE_FEATURES); for samples also "random" or "inception". Raises UserError when the data is
    not what the model needs.
    """
    started, name, model = time.perf_counter(), _name(model), _model(model)
    data = _data(data, model)
    if isinstance(model, torch.nn.Module):
        model.eval()
    work = _Work(model, data, pairs, images.find_features(features))
    report = Report(name, f"{data.spec}@{data.split}, {data.size} {data.unit}", {})
    with torch.no_grad():
        for part in PARTS:
            if part.applies(work):
                part.add(work, report)
    if not report.measures:
        raise UserError(
            f"Nothing of {name} can be measured on {data.spec}: it needs two sets for edits, or pictures that it can draw again."
        )
    report.cost["minutes_of_evaluation"] = round((time.perf_counter() - started) / 60, 2)
    if out is not None:
        report.write(out)
    return report


def _name(model: Any) -> str:
    if isinstance(model, (str, Path)):
        return Path(model).stem if Path(model).is_file() else Path(model).name
    return Path(model.path).name if hasattr(model, "path") else str(getattr(model, "name", type(model).__name__.lower()))


def _model(model: Any) -> Any:
    if isinstance(model, (str, Path)) or hasattr(model, "path"):
        from unweave.models import load as load_model

        return load_model(getattr(model, "path", model))
    return model


def _data(data: Any, model: Any) -> Any:
    if isinstance(data, (str, BuiltIn, Folders, Table, ClassFolders, Motions)):
        split = None if isinstance(data, str) and "@" in data else "test"
        return load(data, size=getattr(model, "size", 64), split=split)
    return data


class _Work:
    """What several parts need, made once."""

    def __init__(self, model: Any, data: Any, count: int, features: Extractor | None):
        self.model, self.data, self.extractor, self.place, self.count = model, data, features, _place(model), count
        self.features = features if isinstance(features, images.Features) else None  # AlexNet's, for figures that are called after it
        self.seen = match(model.needs, data) if hasattr(model, "needs") else data  # as the model reads it
        self.two_sets = {"a", "b"} <= set(data.offers)
        self.editor = editor(model)
        self.edits = self.two_sets and (self.editor.transfer or self.editor.remove) is not None
        declared = getattr(model, "codes", ())
        self.codes = {code.name for code in declared if code.source == "encoded"}
        self.separate = [code for code in declared if code.name.startswith("separate") and len(code.domains) == 1]
        self.joins = "union" in getattr(model, "verbs", ()) and self.two_sets
        self.vectors = tuple(code.name for code in declared if code.source == "encoded" and code.kind == "vector")
        self.factors = hasattr(data.truth, "points") and bool(self.vectors)  # numbers of a code, beside what is true of its picture
        if self.edits:
            self.judge = judges.part_judge(self.train)
            self.sees = judges.evaluation_judge(self.train, self.features)
            self.accuracy = judges.accuracy(self.sees, data)
            self.made = edits.make(self.editor, self.pairs)

    @cached_property
    def train(self) -> Any:
        return self.data.sibling("train")

    @cached_property
    def pairs(self) -> Pairs:
        return edits.test_pairs(self.data, self.count)

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:
        """Those that the model knows; of a plain autoencoder those that the data has: a step along a mean difference edits them."""
        if known := getattr(self.model, "attributes", ()):
            return known
        if "factors" not in self.codes or "attributes" not in self.data.offers:
            return ()
        train = self.data.sibling("train")
        found: list[Attribute] = []
        for name, column in zip(train.names, train.take("attributes", range(train.lengths["attributes"])).split(1, dim=1)):
            with contextlib.suppress(UserError):  # a column of which nothing can be learned
                found += detect([name], column)
        return tuple(found)

    def encoded(self, code: str, data: Any, stream: str, most: int, domain: str | None) -> np.ndarray:
        """One code of up to `most` pictures of a stream, (N, ...)."""
        pictures = data.take(stream, range(min(most, data.lengths[stream])))
        parts = [self.model.encode(to_float(chunk).to(self.place), domain)[code].float().cpu() for chunk in pictures.split(ENCODED)]
        return torch.cat(parts).numpy()


def editor(model: Any) -> Editor:
    """What a model's verbs can do, as functions of pictures; these are brought to where the model is."""
    offered, there = model.verbs, _place(model)
    if "set" in offered and [attribute.name for attribute in model.attributes] == [IN_B]:  # trained on two sets: it adds *a* part
        return Editor(
            transfer=lambda donor, onto: model.set(onto.to(there), {IN_B: 1}),
            remove=lambda picture: model.set(picture.to(there), {IN_B: 0}),
            segment=lambda picture: masks.changed(*(model.set(picture.to(there), {IN_B: value}) for value in (1, 0))),
        )
    if "union" in offered:  # of two parts: neither of a's and b's pictures lacks what the other shows (see `_add_two_parts`)
        return Editor()

    def marked(picture: Tensor) -> Tensor:  # of a model that draws whole pictures
        x = picture.to(there)
        return masks.changed(model.decode(model.encode(x, domain="b")).image, model.remove(x))

    mark = marked if "remove" in offered and hasattr(model, "decode") else None
    return Editor(
        transfer=(lambda donor, onto: model.transfer(donor.to(there), onto=onto.to(there))) if "transfer" in offered else None,
        remove=(lambda picture: model.remove(picture.to(there))) if "remove" in offered else None,
        segment=(lambda picture: model.segment(picture.to(there))) if "segment" in offered else mark,
    )


def _place(model: Any) -> torch.device:
    weight = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return torch.device("cpu") if weight is None else weight.device


def edit_measures(model: Any, data: Any, pairs: int = 500) -> dict[str, Estimate]:
    """The measures of edits alone, by name: of a model or an `Editor` on the test split of two sets. Quick once the judge is made."""
    able = model if isinstance(model, Editor) else editor(model)
    judge = judges.evaluation_judge(data.sibling("train"))
    return edits.measure(able, edits.test_pairs(data, pairs), judge, judges.accuracy(judge, data))


# -- parts of a report ---------------------------------------------------------------------------------------------------------


def _add_edits(work: _Work, report: Report) -> None:
    report.measures |= edits.measure(work.made, work.pairs, work.sees, work.accuracy)
    others, notes = baselines(work.pairs, work.judge)
    report.baselines = {name: edits.measure(made, work.pairs, work.sees, work.accuracy) for name, made in others.items()}
    report.notes += notes
    known = {WORN: work.pairs.worn, CLEAN: work.pairs.clean, MASKS: work.pairs.mask}
    missing = [what for what, truth in known.items() if truth is None]
    if missing:
        report.notes.append(f"Not measured, because the data has no {' and no '.join(missing)}: every figure that compares with the truth.")
    if work.pairs.worn is not None and work.pairs.others is None:
        report.notes.append(
            "Not measured: part_match and identity_kept, because files hold one true transfer for each face, of one person."
        )
    if work.data.truth is None and work.features is not None:
        report.notes.append("The judge reads AlexNet's features of each place of a picture; cam's reads the pictures alone.")
    if work.features is None:
        report.notes.append("Not measured: AlexNet-KID, for want of a features file (--features FILE.npz or UNWEAVE_FEATURES).")
    else:
        _add_distance(work, report, others)
    report.sheets |= sheets(work.made, work.pairs, work.editor)


def _add_distance(work: _Work, report: Report, others: dict[str, Made]) -> None:
    assert work.features is not None

    def seen(data: Any) -> Tensor:
        rows = np.random.default_rng(0).permutation(data.lengths["b"])[:HELD]
        return work.features(to_float(data.take("b", rows)))  # type: ignore[misc]

    real, distances = seen(work.data), {}
    for row, made in {"": work.made, **others}.items():
        if made.transfers is not None:
            distances[row] = images.distance(work.features(made.transfers), real)
    if "" in distances:
        report.measures["alexnet_kid"] = distances.pop("")
    for row, found in distances.items():
        report.baselines[row]["alexnet_kid"] = found
    floor = images.distance(seen(work.train), real)
    report.notes.append(
        f"Real pictures of b's training split are at AlexNet-KID {floor.value:.3f} from the test split's: no model need be nearer."
    )


def _add_leakage(work: _Work, report: Report) -> None:
    train, test = (
        [work.encoded("common", data, stream, most, stream) for stream in ("a", "b")]
        for data, most in ((work.train, TRAIN), (work.data, HELD))
    )
    labels = [np.repeat([0, 1], [len(codes) for codes in sets]) for sets in (train, test)]
    report.measures |= leakage(np.concatenate(train), labels[0], np.concatenate(test), labels[1])


def _add_attributes(work: _Work, report: Report) -> None:
    kinds = work.attributes
    test = labelled(work.data, [kind.name for kind in kinds])
    train = test.sibling("train")
    judge = judges.attribute_judge(train, kinds, seed=2)
    trial = attributes.trial(test, kinds, work.count)
    edit = _edit(work, train)
    accuracies = judges.attribute_accuracy(judge, test, kinds)
    report.measures |= attributes.measure(edit, trial, kinds, judge, accuracies, test.truth)
    if hasattr(test.truth, "set"):  # what the judge says of the true pictures
        report.baselines["truth"] = attributes.ceiling(trial, kinds, judge, test.truth)
    if trial.strangers is None:
        report.notes.append(identity.UNKNOWN)
    report.sheets |= {caption: draw(sheet) for caption, sheet in attributes.sliders(edit, trial, kinds).items()}
    if "common" in work.codes:
        known, asked = (data.take("attributes", range(data.lengths["image"])) for data in (train, test))
        known, asked = known[: 2 * TRAIN], asked[:HELD]
        codes = [work.encoded("common", data, "image", most, None) for data, most in ((train, 2 * TRAIN), (test, HELD))]
        report.measures |= attributes.leakages(kinds, codes[0], known, codes[1], asked)


def _edit(work: _Work, train: Any) -> attributes.Edit:
    """How the model sets an attribute."""
    model = work.model
    if "set" in model.verbs:
        return lambda x, own, name, value: model.set(x.to(work.place), {name: value})
    return attributes.mean_difference(model, train, [kind.name for kind in work.attributes])


def _add_translations(work: _Work, report: Report) -> None:
    figures, rows, shown = translation.measure(work.model, work.data, work.features)
    report.measures |= figures
    report.baselines |= rows
    report.sheets |= {caption: draw(sheet, scale=1) for caption, sheet in shown.items()}
    report.notes += [translation.NOTES[name] for name in rows]
    if work.features is None:
        report.notes.append("Not measured: class_kid, for want of a features file (--features FILE.npz or UNWEAVE_FEATURES).")


def _add_residual(work: _Work, report: Report) -> None:
    most = min(work.data.lengths["a"], work.data.lengths["b"], HELD)
    for code in work.separate:
        own, name = code.domains[0], code.name.replace("separate", "zero_residual")
        codes = [work.encoded(code.name, work.data, stream, most, None) for stream in ("b" if own == "a" else "a", own)]
        report.measures[name] = zero_residual(*codes)


def _add_two_parts(work: _Work, report: Report) -> None:
    if not two_parts.known(work.data):
        report.notes.append("Not measured: unions and intersections: nothing tells of true pictures of both parts and of neither.")
        return
    model, there, pairs = work.model, work.place, work.pairs
    judge, accuracy = two_parts.judge_of(work.train, work.data, work.features)
    own = two_parts.own_parts(work.data, pairs)
    made = two_parts.make(
        two_parts.Joiner(lambda a, b: model.union(a.to(there), b.to(there)), lambda x, domain: model.intersection(x.to(there), domain)),
        pairs,
    )
    report.measures |= two_parts.measure(made, pairs, own, judge, accuracy)
    others, notes = two_parts.baselines(pairs, own)
    report.baselines = {name: two_parts.measure(other, pairs, own, judge, accuracy) for name, other in others.items()}
    report.notes += notes
    report.sheets |= {caption: draw(sheet) for caption, sheet in two_parts.sheets(made, pairs, own, SHOWN).items()}


def _add_factors(work: _Work, report: Report) -> None:
    test, learn = (_known_points(work, *span) for span in ((0, factors.POINTS_TEST), (factors.POINTS_TEST, factors.POINTS)))
    report.measures |= factors.measure(*learn, *test)
    if len(work.codes) < len(work.model.codes):
        return  # some code is not the picture's own, so what would be drawn is not said
    truth = work.data.truth
    codes = work.model.encode(to_float(truth.points(0, MOVED)[0]).to(work.place))
    moves = generators.generator_matrix(
        lambda c: work.model.decode(c).image, codes, lambda pictures: truth.read(to_uint8(pictures)), truth.names, work.vectors
    )
    report.measures["generator_matrix_n200"] = moves.mean
    report.sheets["Generator: each number of the code moved by a standard deviation, and which factors move in the picture"] = draw(
        moves.sheet(), scale=max(1, 64 // work.data.size)
    )
    still = int((moves.largest == 0).sum())
    report.notes.append(
        f"Generator: {still} of {len(moves.numbers)} numbers of the code move nothing; "
        f"{moves.readable:.1%} of the moved pictures could be read."
    )


def _known_points(work: _Work, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (count, D) of pictures that the model has never seen, and their true factors (count, F)."""
    rows, known = [], []
    for at in range(start, start + count, ENCODED):
        pictures, true = work.data.truth.points(at, min(ENCODED, start + count - at))
        codes = work.model.encode(to_float(pictures).to(work.place))
        rows.append(torch.cat([codes[name].flatten(1).float().cpu() for name in work.vectors], 1).numpy())
        known.append(true)
    return np.concatenate(rows), np.concatenate(known)


def _add_reconstruction(work: _Work, report: Report) -> None:
    errors: list[Tensor] = []
    shown: list[list[Tensor]] = []
    for chunk in work.seen.take("image", range(min(HELD, work.seen.lengths["image"]))).split(ENCODED):
        x = to_float(chunk)
        drawn = work.model.decode(work.model.encode(x.to(work.place))).image.float().cpu()
        errors.append(transfer.difference(drawn, x).mean((1, 2)))
        shown = shown or [list(x[:SHOWN]), list(drawn[:SHOWN])]
    report.measures["reconstruction_error"] = intervals.mean(torch.cat(errors))
    report.sheets["Drawn again: above the pictures, below what the model makes of them"] = draw(Sheet(shown))


def _add_motion(work: _Work, report: Report) -> None:
    model, there = work.model, work.place

    def put(*three: Tensor) -> Tensor:
        return model.retarget(*(clips.to(there) for clips in three)).cpu()

    found = motion.evaluate(put, lambda x: {k: v.cpu() for k, v in model.encode(x.to(there)).items()}, work.data.truth, work.count)
    report.measures |= found[""]
    report.baselines |= {name: found[name] for name in motion.BASELINES}
    report.notes += [f"{name}: {' '.join((act.__doc__ or '').split())}" for name, act in motion.BASELINES.items()]
    report.sheets |= {caption: draw(sheet, scale=1) for caption, sheet in motion.sheets(put, model.encode, work.data.truth).items()}
    long = torch.rand(1, 300, 15, 2)
    report.cost["milliseconds_for_10_s"] = _milliseconds(lambda: put(long, long, long))


def _add_samples(work: _Work, report: Report) -> None:
    found = samples.measure(work.model, work.data, work.extractor, work.count)
    report.measures |= found.figures
    report.baselines |= found.rows
    report.notes += found.notes
    report.cost |= found.cost
    report.sheets |= {caption: draw(sheet) for caption, sheet in found.sheets.items()}


def _add_cost(work: _Work, report: Report) -> None:
    if isinstance(work.model, torch.nn.Module):
        report.cost["parameters"] = sum(p.numel() for p in work.model.parameters())
    if work.edits and work.editor.transfer is not None:
        donor, onto = to_float(work.pairs.b[:1]), to_float(work.pairs.a[:1])
        report.cost["milliseconds_a_transfer"] = _milliseconds(lambda: work.editor.transfer(donor, onto))  # type: ignore[misc]
    try:
        import resource
    except ImportError:  # Windows has none
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report.cost["peak_megabytes"] = round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def _milliseconds(act: Callable[[], Any], times: int = 10) -> float:
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return round(float(np.median(taken[1:])) * 1000, 2)


# -- baselines -----------------------------------------------------------------------------------------------------------------


def baselines(pairs: Pairs, judge: judges.Judge) -> tuple[dict[str, Made], list[str]]:
    """Three simple ways to do the job, and one sentence about each: nothing, copy_paste and cam."""
    a, b = to_float(pairs.a), to_float(pairs.b)
    heat = edits.apply(lambda x: judges.cam(judge, x), pairs.b)
    marked = masks.binary(heat)
    boxes = transfer.box(pairs.mask if pairs.mask is not None else marked[:, 0])[:, None]

    def pasted(where: Tensor, found: Tensor | None) -> Made:
        return Made(torch.where(where, b, a), torch.where(where, a, b), found)

    whose = "true mask (so it is told where the part is)" if pairs.mask is not None else "class-activation map"
    return {"nothing": Made(a, b), "copy_paste": pasted(boxes, None), "cam": pasted(marked, heat)}, [
        "nothing: the picture as it is.",
        f"copy_paste: the box of the donor's {whose} pasted at the same place; removal pastes that box of a face of a.",
        "cam: the judge's class-activation map as the mask; transfer and removal paste what is under it.",
    ]


# -- sheets --------------------------------------------------------------------------------------------------------------------


def sheets(made: Made, pairs: Pairs, able: Editor) -> dict[str, Image.Image]:
    """Pictures to look at, by caption; the word before the colon names the file."""
    found: dict[str, Sheet] = {}
    a, b = to_float(pairs.a), to_float(pairs.b)
    first = list(range(min(SHOWN, len(pairs))))
    if able.transfer is not None and made.transfers is not None:
        put, targets, donors = able.transfer, a[:6], b[:6]
        cells = [list(put(donors, target[None].expand_as(donors)).cpu()) for target in targets]
        found["Grid: donors across, targets down"] = Sheet([[None, *donors], *[[t, *row] for t, row in zip(targets, cells)]])
        worn = None if pairs.worn is None else to_float(pairs.worn)
        columns = {"target": a, "donor": b, "transfer": made.transfers} | ({} if worn is None else {"truth": worn})
        found["Transfers: the first of the test pairs"] = _rows(columns, first)
        if pairs.worn_mask is not None:
            region = transfer.dilate(pairs.worn_mask)
            worst = transfer.worst_block(transfer.difference(made.transfers, a), region).argsort(descending=True)[:SHOWN].tolist()
            found["Worst transfers: those that change most outside the part"] = _rows(columns, worst)
    if made.removals is not None:
        clean = {} if pairs.clean is None else {"truth": to_float(pairs.clean)}
        found["Removals: the first of the test pairs"] = _rows({"picture": b, "removal": made.removals} | clean, first)
        if pairs.clean is not None and pairs.mask is not None:
            error = transfer.inside(transfer.difference(made.removals, clean["truth"]), transfer.dilate(pairs.mask))
            worst = error.argsort(descending=True)[:SHOWN].tolist()
            found["Worst removals: those farthest from the true face"] = _rows({"picture": b, "removal": made.removals} | clean, worst)
    if made.masks is not None:
        hard = masks.binary(made.masks)
        rows = {"picture": b, "soft mask": made.masks, "marked": _overlaid(b, hard)}
        if pairs.mask is not None:
            rows["truth"] = _overlaid(b, pairs.mask[:, None])
            worst = masks.iou(hard[:, 0], pairs.mask).argsort()[:SHOWN].tolist()
            found["Worst masks: the least overlap with the truth"] = _rows(rows, worst)
        found["Masks: the first of the test pairs"] = _rows(rows, first)
    return {caption: draw(sheet) for caption, sheet in found.items()}


def _rows(columns: dict[str, Tensor], which: Sequence[int]) -> Sheet:
    return Sheet([[pictures[i] for i in which] for pictures in columns.values()], left=list(columns))


def _overlaid(pictures: Tensor, where: Tensor) -> Tensor:
    return torch.stack([overlay(picture, mask.float()) for picture, mask in zip(pictures, where)])


@dataclass(frozen=True)
class _Part:
    """applies: whether the model and the data allow it. add: measures it into the report."""

    applies: Callable[[_Work], bool]
    add: Callable[[_Work, Report], None]


PARTS = (
    _Part(lambda w: w.edits, _add_edits),
    _Part(lambda w: w.joins, _add_two_parts),
    _Part(lambda w: w.two_sets and "common" in w.codes, _add_leakage),
    _Part(lambda w: w.two_sets and bool(w.separate), _add_residual),
    _Part(lambda w: bool(w.attributes), _add_attributes),
    _Part(lambda w: "translate" in getattr(w.model, "verbs", ()) and isinstance(w.data, Classed), _add_translations),
    _Part(lambda w: w.factors, _add_factors),
    _Part(lambda w: "retarget" in getattr(w.model, "verbs", ()) and isinstance(w.data.truth, Clips), _add_motion),
    _Part(lambda w: "image" in w.seen.offers and bool(w.codes), _add_reconstruction),
    _Part(lambda w: "mix" in getattr(w.model, "verbs", ()) and "image" in w.data.offers, _add_samples),
    _Part(lambda w: True, _add_cost),
)
