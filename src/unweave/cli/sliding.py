"""Commands that edit by attributes: slide, set."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from unweave.cli import UsageError
from unweave.cli.editing import Edit, model_of, report, some
from unweave.cli.parsing import option, options_of, parse, words
from unweave.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from unweave.method import Method


@dataclass(kw_only=True)
class Slide(Edit):
    """Move one attribute: OUT/<picture>-<i>.png for each value, OUT/<picture>-strip.png and OUT/<picture>.gif.

    Of a model that draws out of noise: along a direction that `unweave directions` has saved; pictures are projected first."""

    images: Annotated[Positional[list[str]], words("IMAGE...")]
    """Pictures or folders; with --directions also files of codes that `unweave project` wrote, and seeds."""
    attribute: Annotated[str, option("NAME")]
    """Which attribute: one that the model has learned, or a direction of the file."""
    values: Annotated[str | None, option("FROM:TO:COUNT|X,Y,...")] = None
    """0 is without, 1 is with, beyond is more than the model has seen; write --values=-1:2:7 where the first is negative. Of a direction
    standard deviations, 0 being the picture as it is. -0.5:1.5:9 if not given, or -3:3:7."""
    directions: Annotated[str | None, option("FILE")] = None
    """What `unweave directions` wrote."""
    steps: Annotated[int, option("N")] = 500
    """Of the projection."""


@dataclass(kw_only=True)
class Assign(Edit):
    """Set attributes of pictures: each attribute that the model has learned is an option of its name, 0 without and 1 with. Without any,
    the error lists them."""

    images: Annotated[Positional[list[str]], words("IMAGE...")]
    """Pictures or folders; with --directions also files of codes that `unweave project` wrote, and seeds."""
    directions: Annotated[str | None, option("FILE")] = None
    """What `unweave directions` wrote: each direction in it is an option of its name, in standard deviations from the picture as it is."""
    steps: Annotated[int, option("N")] = 500
    """Of the projection of pictures before that."""


def slide(argv: list[str]) -> int:
    """unweave slide MODEL IMAGE... --attribute NAME --values=-1:2:7 -o OUT"""
    wish = parse(Slide, argv, "slide")
    values = numbers(wish.values or ("-0.5:1.5:9" if wish.directions is None else "-3:3:7"))
    from unweave import edits, sampling

    out, model = Path(wish.out), model_of(wish.model, wish.device)
    if file := _directions(wish, model):
        return report(sampling.slide(model, some(wish.images), file, wish.attribute, values, out, wish.fit, wish.steps))
    return report(edits.slide(model, edits.pictures(some(wish.images)), wish.attribute, values, out, wish.fit))


def assign(argv: list[str]) -> int:
    """unweave set MODEL IMAGE... --smile 0.8 --glasses 0 -o OUT"""
    rest, named = _assignments(argv, options_of(Assign))
    wish = parse(Assign, rest, "set")
    from unweave import edits, sampling

    model = model_of(wish.model, wish.device)
    if file := _directions(wish, model):
        ways = {_plain(name): name for name in sampling.load_directions(file, model)}
        amounts = {ways.get(_plain(word), word): value for word, value in named}
        if not amounts:
            raise UsageError(f"Say what to set: {file} knows {', '.join(f'--{name}' for name in ways.values())}.")
        return report(sampling.assign(model, some(wish.images), file, amounts, Path(wish.out), wish.fit, wish.steps))
    images = edits.pictures(some(wish.images))
    if "set" not in model.verbs:
        raise UserError(f"A {model.name} model cannot set attributes: it offers {', '.join(model.verbs)}.")
    known = {_plain(attribute.name): attribute.name for attribute in model.attributes}
    values = {}
    for word, value in named:
        if _plain(word) not in known:
            raise UsageError(f'This model knows no attribute "{word}": {did_you_mean(word, known.values())}.')
        values[known[_plain(word)]] = value
    if not values:
        raise UsageError(f"Say what to set: this model knows {', '.join(f'--{name}' for name in known.values())}.")
    return report(edits.set_attributes(model, images, values, Path(wish.out), wish.fit))


def _directions(wish: Slide | Assign, model: Method) -> Path | None:
    """The file of directions, of a model that has any."""
    if "directions" in model.verbs and wish.directions is None:
        raise UserError(f"A {model.name} model has no attributes of its own: give --directions FILE, which unweave directions writes.")
    if "directions" not in model.verbs and wish.directions is not None:
        raise UserError(f"A {model.name} model has no directions: leave --directions out. It offers {', '.join(model.verbs)}.")
    return None if wish.directions is None else Path(wish.directions)


def numbers(text: str) -> list[float]:
    """FROM:TO:COUNT, evenly spaced, or numbers with commas between them. Raises UsageError for anything else."""
    try:
        if ":" in text:
            first, last, count = text.split(":")
            n = int(count)
            if n < 2:
                raise ValueError
            found = [float(first) + (float(last) - float(first)) * i / (n - 1) for i in range(n)]
        else:
            found = [float(part) for part in text.split(",")]
        if not all(map(math.isfinite, found)):
            raise ValueError
    except ValueError:
        raise UsageError(f'--values takes FROM:TO:COUNT or numbers, such as -1:2:7 or 0,0.5,1, not "{text}".') from None
    return found


def _assignments(argv: list[str], own: list[str]) -> tuple[list[str], list[tuple[str, float]]]:
    """The words without `--NAME X` and `--NAME=X` that are no options of the command; and these as names and numbers."""
    rest: list[str] = []
    named: list[tuple[str, float]] = []
    words_left = iter(argv)
    for word in words_left:
        flag, equals, value = word.partition("=")
        if not flag.startswith("--") or flag in own or flag in ("--help", "--"):
            rest.append(word)
            continue
        value = value if equals else next(words_left, "")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise UsageError(f'{flag} takes a number, such as {flag} 1, not "{value}".')
        named.append((flag[2:], number))
    return rest, named


def _plain(name: str) -> str:
    """A name as it may be written: 5_o_Clock_Shadow, 5-o-clock-shadow."""
    return re.sub(r"[\W_]+", "-", name).strip("-").lower()
