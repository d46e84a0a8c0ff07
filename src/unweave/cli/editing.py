"""Commands that edit pictures: transfer, remove, union, intersection, segment, interpolate."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional

from unweave.cli import UsageError, result, say
from unweave.cli.parsing import option, parse, words

if TYPE_CHECKING:
    from unweave.edits import Done
    from unweave.method import Method


@dataclass(kw_only=True)
class Edit:
    """What every edit takes."""

    model: Annotated[Positional[str], words("MODEL")]
    """A shipped name (unweave models), a run folder, a weights file, or OWNER/NAME on the Hugging Face hub."""
    out: Annotated[str, option("OUT", "-o")]
    """Folder for the results, OUT/<name of the edited picture>.png; files of that name are overwritten."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """What the model sees of a picture that is not square: its middle, all of it on a border, or all of it squeezed."""
    device: Annotated[str, option("D")] = "auto"
    """cpu, cuda, cuda:1, mps; auto takes the best."""


@dataclass(kw_only=True)
class Surely(Edit):
    """What edits take that take a part off, or from, a picture that shows it."""

    sure: Annotated[float | None, option("X")] = None
    """How sure the model is to be that the part is there, beyond what it sees: 2 or 3 takes off more, where photographs keep traces."""


@dataclass(kw_only=True)
class Transfer(Surely):
    """Put her part (glasses, beard ...) on other pictures. --then MODEL --from HER2 puts another part on the result, and so on."""

    from_: Annotated[str, option("HER", name="from")]
    """The picture that has the part; of a folder, each picture in turn (OUT/<picture>-<donor>.png)."""
    onto: Annotated[list[str], option("IMAGE...")]
    """The pictures to change: pictures or folders."""
    amount: Annotated[float, option("X")] = 1.0
    """Strength of the part: 0 is none, 1 is as the donor has it (the default)."""
    direction: Annotated[str | None, option("a2b|b2a")] = None
    """Of a model of two parts (difference): a2b puts the part of a picture of set a onto pictures of b, in place of their own; b2a the
    part of b onto a. Other models know one direction."""


@dataclass(kw_only=True)
class Remove(Surely):
    """Take the part off pictures; what is not part of it stays to the pixel."""

    images: Annotated[Positional[list[str]], words("IMAGE...")]
    """Pictures or folders."""


@dataclass(kw_only=True)
class Union(Surely):
    """Both pictures, each with the part of A and that of B: for a model of two sets with a part each."""

    first: Annotated[Positional[str], words("A")]
    """A picture of set a."""
    second: Annotated[Positional[str], words("B")]
    """A picture of set b."""


@dataclass(kw_only=True)
class Intersection(Union):
    """Both pictures, each with neither part: for a model of two sets with a part each."""


@dataclass(kw_only=True)
class Segment(Edit):
    """Mark where the part is: white on black, at the size of the picture. OUT/segments.csv has a line for each picture: the share that is
    marked, the box around it in pixels, and how sure the model is (the mean of its soft mask there)."""

    images: Annotated[Positional[list[str]], words("IMAGE...")]
    """Pictures or folders."""
    threshold: Annotated[str, option("auto|soft|0.4")] = "auto"
    """auto (the default) finds one for each picture; soft keeps the shades; a number from 0 to 1 is one for all."""


@dataclass(kw_only=True)
class Interpolate(Edit):
    """Walk one code in a straight line from A's to B's: OUT/<picture>-<step>.png and OUT/<picture>-strip.png; of clips .npz and .gif.

    Of a model that draws out of noise: A B ... are seeds; past them all and back without a seam, OUT/<seeds>.gif, or -o OUT.gif or OUT.mp4.
    """

    points: Annotated[Positional[list[str]], words("A B")]
    """The pictures (or clips, or seeds) whose code the walk starts from and ends at."""
    code: Annotated[str | None, option("NAME")] = None
    """Which code: separate (the part), common (everything else), motion, skeleton, view ...; not of seeds."""
    across: Annotated[str | None, option("NAME")] = None
    """Of clips: a second code, which walks from row to row of a matrix."""
    onto: Annotated[str | None, option("IMAGE")] = None
    """The picture that all other codes come from; A if it is not given."""
    steps: Annotated[int | None, option("N")] = None
    """Pictures on the way, both ends included, 8 if not given; of seeds, frames from one to the next, 60 if not given."""
    truncation: Annotated[float, option("X")] = 0.7
    """Of seeds, as of `unweave sample`."""


def transfer(argv: list[str]) -> int:
    """unweave transfer MODEL --from HER --onto IMAGE... [--then MODEL --from HER2 ...] -o OUT"""
    head, chain = _chain(argv)
    wish = parse(Transfer, head, "transfer")
    from unweave import edits

    if not wish.onto:
        raise UsageError("Name at least one picture after --onto.")
    onto = edits.pictures(wish.onto)
    steps = [(model_of(name, wish.device, wish.sure), edits.pictures([donor])) for name, donor in [(wish.model, wish.from_), *chain]]
    done = edits.Done()
    with tempfile.TemporaryDirectory() as between:
        for i, (model, donors) in enumerate(steps):
            out = Path(wish.out) if i == len(steps) - 1 else Path(between, str(i))
            way = wish.direction if i == 0 else None  # a chain's further models know one direction
            before, done = done, edits.transfer(model, donors, onto, out, wish.fit, wish.amount, way)
            done.broken, done.notes = before.broken + done.broken, before.notes + done.notes
            onto = done.written
    return report(done)


def remove(argv: list[str]) -> int:
    """unweave remove MODEL IMAGE... -o OUT"""
    wish = parse(Remove, argv, "remove")
    from unweave import edits

    images = edits.pictures(some(wish.images))
    return report(edits.remove(model_of(wish.model, wish.device, wish.sure), images, Path(wish.out), wish.fit))


def union(argv: list[str]) -> int:
    """unweave union MODEL A B -o OUT"""
    wish = parse(Union, argv, "union")
    from unweave import edits

    return report(edits.union(model_of(wish.model, wish.device, wish.sure), _one(wish.first), _one(wish.second), Path(wish.out), wish.fit))


def intersection(argv: list[str]) -> int:
    """unweave intersection MODEL A B -o OUT"""
    wish = parse(Intersection, argv, "intersection")
    from unweave import edits

    return report(
        edits.intersection(model_of(wish.model, wish.device, wish.sure), _one(wish.first), _one(wish.second), Path(wish.out), wish.fit)
    )


def segment(argv: list[str]) -> int:
    """unweave segment MODEL IMAGE... [--threshold auto|soft|0.4] -o OUT"""
    wish = parse(Segment, argv, "segment")
    if wish.threshold not in ("auto", "soft"):
        _fraction(wish.threshold)
    from unweave import edits

    images = edits.pictures(some(wish.images))
    return report(edits.segment(model_of(wish.model, wish.device), images, Path(wish.out), wish.threshold, wish.fit))


def interpolate(argv: list[str]) -> int:
    """unweave interpolate MODEL A B [--onto IMAGE] --code NAME --steps 8 -o OUT"""
    wish = parse(Interpolate, argv, "interpolate")
    from unweave import edits, retargeting, sampling

    model = model_of(wish.model, wish.device)
    if "mix" in model.verbs:
        if wish.code or wish.onto or wish.across:
            raise UsageError("--code, --onto and --across are for models that encode pictures: here only seeds, such as 3 7 9, are needed.")
        seeds = [seed for word in wish.points for seed in sampling.seeds_of(word)]
        result(sampling.loop(model, seeds, Path(wish.out), 60 if wish.steps is None else wish.steps, wish.truncation))
        return 0
    if len(wish.points) != 2:
        raise UsageError(f"A walk goes from A to B: name two, not {len(wish.points)}.")
    if wish.code is None:
        raise UsageError(f"--code is missing: which code walks, of {', '.join(code.name for code in model.codes)}.")
    steps, (a, b) = 8 if wish.steps is None else wish.steps, wish.points
    if "retarget" in model.verbs:
        result(retargeting.interpolate(model, a, b, wish.code, Path(wish.out), steps, wish.onto, wish.across))
        return 0
    if wish.across is not None:
        raise UsageError(f"--across is for models of clips; {wish.model} is one of pictures.")
    first, second = (Path(name) if Path(name).is_dir() else _one(name) for name in (a, b))
    rest = [] if wish.onto is None else [_one(wish.onto)]
    if first.is_dir() and not rest:
        raise UsageError("Where A is a folder of examples, --onto IMAGE says what to draw.")
    done = edits.interpolate(model, first, second, wish.code, Path(wish.out), steps, rest[0] if rest else None, wish.fit)
    result(done.sheet)
    return 0


# -- shared --------------------------------------------------------------------------------------------------------------------


def _chain(argv: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The words before and after are one command; each `--then MODEL --from HER` is one further step."""
    head: list[str] = []
    chain: list[list[str]] = []
    rest = iter(argv)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag == "--then" or (flag == "--from" and chain and len(chain[-1]) == 1):
            given = value if equals else next(rest, "")
            if not given or given.startswith("-"):
                raise UsageError(f"{flag} needs a value: --then MODEL --from HER.")
            if flag == "--then":
                chain.append([given])
            else:
                chain[-1].append(given)
        else:
            head.append(word)
    if any(len(step) < 2 for step in chain):
        raise UsageError("Each --then MODEL needs a --from HER of its own.")
    return head, [(model, donor) for model, donor in chain]


def model_of(name: str, device: str, sure: float | None = None) -> Method:
    from unweave import machine, models

    return models.load(name, machine.place(device).device, sure)


def some(images: list[str]) -> list[str]:
    if not images:
        raise UsageError("Name at least one picture or folder.")
    return images


def _one(name: str) -> Path:
    from unweave import edits

    if Path(name).is_dir():
        raise UsageError(f'"{name}" is a folder: name one picture here.')
    return edits.pictures([name])[0]


def _fraction(text: str) -> None:
    try:
        good = 0 <= float(text) <= 1
    except ValueError:
        good = False
    if not good:
        raise UsageError(f'--threshold takes auto, soft or a number from 0 to 1, not "{text}".')


def report(done: Done) -> int:
    """Say what was written and what could not be read; -> the exit status."""
    for note in done.notes:
        say(note)
    for _, why in done.broken:
        say(f"skipped: {why}")
    if done.broken:
        say(f"{len(done.written)} written, {len(done.broken)} skipped.")
    if done.sheet:
        say(f"overview: {done.sheet}")
    result(done.result)
    return 1 if done.broken else 0
