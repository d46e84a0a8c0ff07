"""Measures of steering a generator: one direction of w for each attribute, and pictures of one's own as codes.

A direction is found by the plane between samples in which a first judge sees the attribute and those in which it does not, and turned along
that judge's gradient, in each layer apart; how far to go is chosen on other samples by that judge too. A second judge, taught from another
start, says how well it does on samples that neither choice has seen.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unweave import sampled
from unweave.attributes import Attributes
from unweave.codes import Codes
from unweave.data.feed import to_float
from unweave.errors import UserError
from unweave.machine import pick_precision
from unweave.metrics import intervals, spaces
from unweave.metrics.images import Extractor
from unweave.pictures import Sheet

if TYPE_CHECKING:
    from unweave.metrics.samples import Found, Points

log = logging.getLogger("unweave.metrics")
Judge = Callable[[Tensor], Tensor]  # pictures (N, C, S, S) in [-1, 1] -> (N, A) in [0, 1], what it reads of each attribute
# How far from the middle a sample is brought, in standard deviations along the direction.
REACHES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
SHARES = (0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0)  # of a turned direction, of what it started from
TURNS, TURNED, POOL = 200, 32, 512  # steps in which a direction is turned, samples in each, and from how many these are drawn
TRIED = 256  # samples that a choice is made on; on 64, chance chose ways that turn less, and more besides
RATE = 0.12  # a step's size, as an angle
# Weights beside the cross-entropy of what is asked: of the squared change of what is read of the others, and of the mean change of colours
# outside of the part, without which skin and background change with every attribute. Both are tried: an attribute may be a colour.
WEIGHTS = ((30.0, 10.0), (30.0, 30.0))
EVEN = 0.02
CELLS = 8  # a side; smaller than most parts, larger than most edges
PART = 12  # of the 64 cells, those that change most: a part may take as many, else beards come in the colour of the skin
STEPS = 300  # of a projection
SHOWN = 8


@dataclass(frozen=True)
class Way:
    """A direction (W,) of w, and how far from `middle` it brings a style, on either side.

    moves: what is added to the styles on the way, (W,) or one for each layer, (L, W); the direction itself where None.
    """

    direction: Tensor
    middle: Tensor
    reach: float | Tensor  # one for all, or one for each (N,)
    moves: Tensor | None = None

    @property
    def vector(self) -> Tensor:
        """What a step of one standard deviation adds, (W,) or (L, W)."""
        return self.direction if self.moves is None else self.moves

    def to(self, model: Any, style: Tensor, on: Tensor) -> Tensor:
        """Styles (N, L, W) with the attribute where `on` (N,) is true, without it elsewhere."""
        place = ((style[:, 0] - self.middle.to(style)) @ self.direction.to(style)) / self.direction.to(style).square().sum()
        goal = torch.where(on.to(style.device), self.reach, -self.reach)
        return model.along(style, self.vector, goal - place)


def find(model: Any, kinds: Attributes, w: Tensor, found: Tensor, finder: Judge) -> list[Way | None]:
    """For each attribute the way that turns it most often and others least; None where all samples are alike.

    That is the product over attributes of the share that comes out as asked; of those within `EVEN` of the largest, the one that changes
    colours least outside of the part. w: (N, W) of samples, found: what the judge `finder` reads in them, (N, A).
    """
    raw: list[Tensor | None] = []
    for column in found.T:
        try:
            raw.append(model.labelled_direction(w, column > 0.5))
        except UserError:
            raw.append(None)
    codes = _fresh(model, 1, TRIED)
    style = model.map(codes["z"])
    with _quick(model):
        before, plain = _read(model, codes, style, finder)

    def best(which: int, tries: list[Way]) -> tuple[float, float, Way]:
        """How much comes out as asked, how much colours change, and the way of which that is so."""
        tried = []
        for way in tries:
            with _quick(model):
                after, colours = _read(model, codes, way.to(model, style, before[:, which] <= 0.5), finder)
            changed, kept = spaces.turned(kinds, which, before, after)
            right = float(changed.float().mean() * kept.mean() ** (len(kinds) - 1))
            tried.append((right, float(_change(colours, plain)), way))
        return max(tried, key=lambda one: one[0])

    ways: list[Way | None] = []
    for i, column in enumerate(found.T):
        own, middle = raw[i], w.mean(0)
        if own is None:
            ways.append(None)
            continue
        apart, candidates = [other for j, other in enumerate(raw) if j != i and other is not None], [own]
        with contextlib.suppress(UserError):  # of two attributes that are one nothing is left
            candidates.append(model.labelled_direction(w, column > 0.5, apart=apart))
        log.info("turning the direction of %s until nothing else changes", kinds[i].name)
        chosen = []
        for plane in candidates:
            first = best(i, [Way(plane, middle, reach) for reach in REACHES])
            turned = [replace(first[2], moves=refined(model, i, first[2], finder, *weights)) for weights in WEIGHTS]
            chosen += [first, *(best(i, [replace(way, reach=share * way.reach) for share in SHARES]) for way in turned)]
        least = max(right for right, _, _ in chosen) - EVEN
        ways.append(min((one for one in chosen if one[0] >= least), key=lambda one: one[1])[2])
    return ways


def refined(model: Any, which: int, way: Way, judge: Judge, keep: float, still: float, steps: int = TURNS) -> Tensor:
    """A way's moves, one for each layer, (L, W), turned until the judge sees the attribute `which` come and go and all others stay.

    A plane between samples says in what they differ, not what to do to one of them. So the judge's gradient is followed through the
    generator: samples are brought to the other side, nearly as far as the way brings them. Each layer may turn to another side,
    and grow or shrink: with the length kept, a plane that lies badly leaves too little for what is asked. keep: weight of the others.
    still: weight of colours; a mean of absolute changes lets a part change all it needs, where a mean of squares would fade it.
    """
    generator = torch.Generator().manual_seed(3)
    layers = next(code.shape[0] for code in model.codes if code.name == "style")
    start = way.vector.detach().float().cpu().expand(layers, -1)
    free = start.clone()
    codes = model.sample(POOL, generator)
    with torch.no_grad(), _quick(model):
        style = model.map(codes["z"])
        before, plain = _read(model, codes, style, judge)

    with torch.enable_grad():
        free.requires_grad_()
        optimiser = torch.optim.Adam([free])
        for step in range(steps):
            angle = RATE * float(free.detach().norm()) / free.numel() ** 0.5
            optimiser.param_groups[0]["lr"] = angle * min(1.0, 2 - 2 * step / steps)
            rows = torch.randint(POOL, (TURNED,), generator=generator)
            was, on = before[rows], before[rows, which] <= 0.5
            reach = way.reach * (0.6 + 0.8 * torch.rand(TURNED, generator=generator)).to(style)
            moved = replace(way, reach=reach, moves=free).to(model, style[rows], on)
            with _quick(model):
                picture = model.decode(codes.take(rows) | Codes(style=moved)).image.float()
                after = judge(picture).float().cpu()
            asked = F.binary_cross_entropy(after[:, which].clamp(1e-4, 1 - 1e-4), on.float())
            others = [j for j in range(after.shape[1]) if j != which]
            loss = asked + still * _change(_colours(picture).cpu(), plain[rows])
            loss = loss + (keep * (after[:, others] - was[:, others]).square().mean() if others else 0.0)
            (free.grad,) = torch.autograd.grad(loss, free)
            optimiser.step()
    return free.detach()


def measure(
    model: Any,
    kinds: Attributes,
    points: Points,
    finder: Judge,
    judge: Judge,
    accuracies: list[float],
    count: int,
    found: Found,
) -> None:
    """`NAME_direction_success`, `_others_kept` and `_colour_change` of `count` fresh samples, and a sheet of the first."""
    ways = find(model, kinds, points.w, points.found, finder)
    codes = _fresh(model, 4, count)  # those of parts 2 and 3 were seen when WEIGHTS were chosen
    style = model.map(codes["z"])
    before, plain = _read(model, codes, style, judge)
    shown = codes.take(slice(0, SHOWN))
    rows, left, words = [list(_draw(model, shown, style[:SHOWN]))], ["samples"], []
    for i, (kind, way) in enumerate(zip(kinds, ways, strict=True)):
        if way is None:
            found.notes.append(f"Not measured: a direction for {kind.name}, because the judge sees it in all samples or in none.")
            continue
        on = before[:, i] <= 0.5
        moved = way.to(model, style, on)
        after, colours = _read(model, codes, moved, judge)
        changed, kept = spaces.turned(kinds, i, before, after)
        found.figures[f"{kind.name}_direction_success"] = intervals.mean(changed).judged(accuracies[i])
        if len(kinds) > 1:
            least = min(accuracy for j, accuracy in enumerate(accuracies) if j != i)
            found.figures[f"{kind.name}_direction_others_kept"] = intervals.mean(kept).judged(least)
        change = (colours - plain).abs().flatten(1).mean(1) * 127.5
        found.figures[f"{kind.name}_direction_colour_change"] = intervals.mean(change)
        rows.append(list(_draw(model, shown, moved[:SHOWN])))
        left.append(f"{kind.name} turned")
        words.append(f"{kind.name} {way.reach:g} standard deviations from the middle")
    if words:
        found.notes.append(f"Directions, found among {len(points.w):,} judged samples: {'; '.join(words)}.")
        found.sheets["Directions: samples, and each attribute turned round"] = Sheet(rows, left=left)


def projections(model: Any, test: Any, look: Extractor, count: int, found: Found, steps: int = STEPS) -> None:
    """How near held-out pictures come in w and in w+: `projection_psnr_w`, `projection_psnr_w_plus`, decibels."""
    pictures = to_float(test.take("image", range(min(count, test.lengths["image"])))).to(next(model.parameters()).device)
    rows, left, plain = [list(pictures[:SHOWN])], ["picture"], []
    for space, name in (("w", "w"), ("w+", "w_plus")):
        with torch.enable_grad():
            made = model.project(pictures, steps, space=space)
        found.figures[f"projection_psnr_{name}"] = intervals.mean(made.psnr.cpu())
        with torch.no_grad():
            apart = (look.local(made.images) - look.local(pictures)).square().sum(1)
            bare = (sampled.drawn(model, made.codes.only("style")) - pictures).square().flatten(1).mean(1)
        plain.append(f"{float(sampled.psnr(bare).mean()):.1f} dB in {space}")
        found.figures[f"projection_distance_{name}"] = intervals.mean(apart.cpu())
        rows.append(list(made.images[:SHOWN]))
        left.append(space)
    found.notes.append(
        f"Projections: {len(pictures)} test pictures, {steps} steps each. Drawn without noise maps they are at {' and '.join(plain)}: "
        "the rest is what noise paints, not what styles say."
    )
    found.sheets["Projections: test pictures, and what the model draws of them"] = Sheet(rows, left=left)


def mixing(model: Any) -> dict[str, Sheet]:
    """Sheets of style mixing: seeds 0-3 across, seeds 4-7 down, whose coarse, middle and fine styles are taken."""
    across, down = range(4), range(4, 8)
    heads, firsts, found = sampled.sample(model, across), sampled.sample(model, down), {}
    for name in model.layers:
        cells = sampled.mix(model, down, across, name)
        found[f"Mixing {name}: below the first row, the {name} styles of the first column"] = Sheet(
            [[None, *heads], *[[first, *row] for first, row in zip(firsts, cells, strict=True)]]
        )
    return found


def _fresh(model: Any, part: int, count: int) -> Codes:
    """z and noise of samples that nothing else has seen: other seeds for each part."""
    return model.sample(count, torch.Generator().manual_seed(2**40 + part))


def _quick(model: Any) -> torch.autocast:
    """Half precision where the machine is good at it, for the search; figures are measured without."""
    kind = next(model.parameters()).device
    return torch.autocast(kind.type, torch.bfloat16, enabled=pick_precision(kind) == "bf16")


@torch.no_grad()
def _draw(model: Any, codes: Codes, style: Tensor) -> Tensor:
    return sampled.drawn(model, codes | Codes(style=style))


@torch.no_grad()
def _read(model: Any, codes: Codes, style: Tensor, judge: Judge) -> tuple[Tensor, Tensor]:
    """What a judge reads in pictures of these styles, (N, A), and their colours, (N, C, CELLS, CELLS), on the CPU."""
    whole, read, colours = codes | Codes(style=style), [], []
    for at in range(0, whole.batch, sampled.CHUNK):
        picture = model.decode(whole.take(slice(at, at + sampled.CHUNK))).image.float()
        read.append(judge(picture).float().cpu())
        colours.append(_colours(picture).cpu())
    return torch.cat(read), torch.cat(colours)


def _change(colours: Tensor, plain: Tensor) -> Tensor:
    """Mean change of colours, (N, C, CELLS, CELLS) twice, in all cells of a picture but the `PART` that change most."""
    return (colours - plain).abs().mean(1).flatten(1).sort(1).values[:, :-PART].mean()


def _colours(pictures: Tensor) -> Tensor:
    """(N, C, S, S) -> means of cells, (N, C, CELLS, CELLS)."""
    return F.adaptive_avg_pool2d(pictures, CELLS)
