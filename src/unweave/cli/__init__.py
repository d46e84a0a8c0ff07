"""The command line: which command, and how mistakes are answered. Each command's options and work stand in a module beside this one.

Nothing heavy is imported before the command is known, so that `unweave --help` is instant.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from unweave.errors import UserError, did_you_mean

# command: (module:function, arguments, what it does). The order is that of the help.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo:command", "[--minutes 2 | --no-train]", "the main job, from nothing to pictures, on built-in faces"),
    "train": ("training:train", "METHOD DATA", "learn a model from two folders of pictures, a table or a built-in set"),
    "resume": ("training:resume", "RUN", "go on with a run that was stopped"),
    "transfer": ("editing:transfer", "MODEL --from HER --onto IMAGE...", "put her part (glasses, beard ...) on other pictures"),
    "remove": ("editing:remove", "MODEL IMAGE...", "take the part off"),
    "union": ("editing:union", "MODEL A B", "both pictures with both parts, of a model of two"),
    "intersection": ("editing:intersection", "MODEL A B", "both pictures with neither part"),
    "segment": ("editing:segment", "MODEL IMAGE...", "mark where the part is"),
    "slide": ("sliding:slide", "MODEL IMAGE... --attribute NAME", "move an attribute (smile, glasses ...) from little to much"),
    "set": ("sliding:assign", "MODEL IMAGE... --NAME X ...", "set attributes: --smile 0.8 --glasses 0"),
    "translate": ("translating:translate", "MODEL IMAGE... --examples DIR", "draw pictures in a class shown by a few examples"),
    "alphabet": ("translating:alphabet", "MODEL --examples DIR", "a whole alphabet in the style of a few letters"),
    "interpolate": ("editing:interpolate", "MODEL A B --code NAME", "walk from one picture's (or clip's) code to another's; past seeds"),
    "sample": ("sampling:sample", "MODEL --seeds 0-15", "draw pictures out of noise"),
    "mix": ("sampling:mix", "MODEL --sources 0-4 --onto 5-9", "the shapes of some pictures with the colours of others"),
    "project": ("sampling:project", "MODEL IMAGE...", "find a picture among those that a model can draw"),
    "directions": ("sampling:directions", "MODEL [--examples A B]", "ways in which a model's pictures change, for slide and set"),
    "retarget": ("moving:retarget", "MODEL --motion F --skeleton F --view F|DEGREES", "the motion of one clip, the body of another"),
    "evaluate": ("measuring:evaluate", "MODEL DATA", "measure a model on pictures it has never seen"),
    "compare": ("measuring:compare", "MODEL... --data SPEC", "measure several models, and train some first, side by side"),
    "data": ("showing:data", "SPEC|FILE.bvh", "write a built-in set as files, with its truth; or a motion as it is seen"),
    "models": ("showing:models", "", "the models that ship with unweave"),
    "methods": ("showing:methods", "", "the methods, their papers and presets"),
    "measures": ("showing:measures", "", "what evaluate measures"),
    "doctor": ("showing:doctor", "", "what this machine can do"),
}

EXAMPLES = """\
Start here
  unweave demo
  unweave transfer mask-glasses --from her.png --onto him.png -o out
  unweave train mask --data.a without/ --data.b with/ --batch 16 --minutes 60 --out runs/mine"""


def overview() -> str:
    """The text of `unweave --help`."""
    width = max(len(f"{name} {arguments}") for name, (_, arguments, _) in COMMANDS.items())
    lines = [f"  {f'{name} {arguments}'.ljust(width)}  {what}" for name, (_, arguments, what) in COMMANDS.items()]
    return "\n".join(
        [
            "unweave: put that person's glasses on this face, take them off, mark where they are.",
            "",
            "Usage: unweave COMMAND ...        (unweave COMMAND --help explains one; --debug anywhere shows tracebacks)",
            "",
            *lines,
            "",
            EXAMPLES,
        ]
    )


class UsageError(UserError):
    """The command line itself cannot be understood: exit status 2."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 all done, 1 not all could be done, 2 the command line is not understood."""
    status = run(list(sys.argv[1:] if argv is None else argv))
    if "torch" in sys.modules:
        from unweave import machine

        machine.leave(status)  # the processes of a torchrun end together
    sys.exit(status)


def say(text: str) -> None:
    """A remark for people, on standard error: standard output is for results. Of several processes, the first speaks."""
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr, flush=True)


def result(path: object) -> None:
    """The path to look at, last on standard output."""
    if os.environ.get("RANK", "0") == "0":
        print(path, flush=True)


def run(words: list[str]) -> int:
    """Run one command line; -> the exit status. Mistakes become one sentence on standard error."""
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except UserError as error:
        if debug:
            raise
        print(f"unweave: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        if debug:
            raise
        print("unweave: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `unweave methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        what = str(error).strip().splitlines()
        print(f"unweave: {type(error).__name__}: {what[0] if what else 'no message'} (--debug shows where).", file=sys.stderr)
        return 1


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        from unweave import __version__

        print(__version__)
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise UsageError(f'There is no command "{name}": {did_you_mean(name, COMMANDS)}.')
    logging.basicConfig(format="%(message)s")
    logging.getLogger("unweave").setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING)
    module, _, function = COMMANDS[name][0].partition(":")
    command: Callable[[list[str]], int] = getattr(importlib.import_module(_home(module)), function)
    return command(rest)


def _home(module: str) -> str:
    return "unweave.demo" if module == "demo" else f"unweave.cli.{module}"
