"""Words of the command line into dataclasses (by tyro), with mistakes as one sentence each."""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import os
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import tyro

from unweave.cli import UsageError
from unweave.errors import did_you_mean

T = TypeVar("T")


def option(metavar: str, *aliases: str, name: str | None = None) -> Any:
    """How an option is written: the placeholder of its value, other spellings, and its name where Python's would not do."""
    return tyro.conf.arg(metavar=metavar, aliases=aliases or None, name=name, help_behavior_hint="")


def words(metavar: str) -> Any:
    """A positional argument, under this placeholder in the help."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


Flag = tyro.conf.FlagCreatePairsOff[Annotated[bool, tyro.conf.arg(help_behavior_hint="")]]  # a switch that is off unless it is named


def parse(cls: type[T], argv: Sequence[str], command: str, default: T | None = None) -> T:
    """The command's options as an instance of the dataclass `cls`, whose docstring and field docstrings are the help.

    Raises UsageError for anything that cannot be understood; exits with 0 after printing the help.
    """
    said = io.StringIO()
    settings: dict[str, Any] = {} if default is None else {"default": default}
    # The box that tyro prints around a mistake must not be wrapped: its first paragraph becomes the sentence.
    columns = os.environ.get("COLUMNS")
    if not {"-h", "--help"} & set(argv):
        os.environ["COLUMNS"] = "1000"
    try:
        with contextlib.redirect_stderr(said):
            found, unknown = tyro.cli(
                cls,
                args=list(argv),
                prog=f"unweave {command}",
                return_unknown_args=True,
                **settings,
            )
    except SystemExit as end:
        if not end.code:
            raise
        known = options_of(cls, default)
        unknown = [word for word in argv if re.match("--[a-z]", word) and not _known(word, known)]
        raise UsageError(_unknown(unknown, known, command) if unknown else _sentence(said.getvalue(), command)) from None
    finally:
        if columns is None:
            os.environ.pop("COLUMNS", None)
        else:
            os.environ["COLUMNS"] = columns
    if unknown:
        raise UsageError(_unknown(unknown, options_of(cls, default), command))
    return found


def _known(word: str, known: Sequence[str]) -> bool:
    name = word.partition("=")[0].replace("_", "-")
    return name in {option.replace("_", "-") for option in known} | {"--help"}


def _sentence(box: str, command: str) -> str:
    """The first paragraph of tyro's box, in our words where it has a common form."""
    inside = [line.strip()[1:-1].rstrip() for line in box.splitlines() if line.strip().startswith("│")]
    first = list(itertools.takewhile(lambda line: not line.lstrip().startswith("──"), inside))
    text = " ".join(" ".join(first).split()) or " ".join(box.split())
    if bad := re.search(r"Error parsing (\S+): invalid literal for int\(\) with base 10: '?(.*?)'?$", text):
        return f"{bad[1]} takes a whole number, not {bad[2]!r}."
    if bad := re.search(r"Error parsing (\S+): could not convert string to float: '?(.*?)'?$", text):
        return f"{bad[1]} takes a number, not {bad[2]!r}."
    if bad := re.search(r"invalid choice '(.*?)' for argument '(.*?)'\. Expected one of \((.*?),?\)", text):
        choices = [choice.strip(" '") for choice in bad[3].split(",")]
        return f'{bad[2].split("/")[-1]} cannot be "{bad[1]}": {did_you_mean(bad[1], choices)}.'
    if bad := re.search(r"Missing value for argument '(.*?)'", text):
        return f"{bad[1].split('/')[-1]} needs a value."
    if "equired" in box:
        # Names stand four columns in, their help eight.
        names = [line.split(",")[-1].split()[0] for line in first if re.match(r" {5}\S", line)]
        verb = "is" if len(set(names)) == 1 else "are"
        return f"{' and '.join(dict.fromkeys(names))} {verb} missing: unweave {command} --help shows how it is used."
    return f"{text.rstrip('.')} (unweave {command} --help explains)."


def _unknown(unknown: Sequence[str], known: Sequence[str], command: str) -> str:
    flags = [word for word in unknown if word.startswith("-")]
    if not flags:
        return f'What is "{unknown[0]}" for? unweave {command} --help shows how it is used.'
    flag = flags[0].partition("=")[0]
    near = difflib.get_close_matches(flag, known, n=1)
    return f"{command} has no option {flag}{f': did you mean {near[0]}?' if near else ''} (unweave {command} --help lists all)"


def options_of(cls: type, default: Any = None) -> list[str]:
    """The options that a command understands, as written: --size, -o ..."""
    text = io.StringIO()
    settings: dict[str, Any] = {} if default is None else {"default": default}
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(cls, args=["--help"], prog="x", **settings)
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", text.getvalue())) - {"--help"})


def count(text: str, what: str) -> int:
    """A number of things, as people write it: 200000, 200_000, 200k, 1.5M."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text.replace("_", "").replace(",", ""))
    number = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6}[match[2].lower()] if match else 0.0
    if number < 1 or number != int(number):
        raise UsageError(f"{what} takes a number such as 200000, 200k or 1.5M, not {text!r}.")
    return int(number)


def joined(argv: list[str], flag: str = "--view") -> list[str]:
    """`--view -30` as `--view=-30`: a negative angle is no option."""
    found: list[str] = []
    for word in argv:
        if found and found[-1] == flag and not word.startswith("--"):
            found[-1] = f"{flag}={word}"
        else:
            found.append(word)
    return found
