"""Mistakes that a user can put right."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user asked for cannot be done.

    The message is one sentence that says what to do; the command line prints it without a traceback."""


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest option, and all of them if they are few.

    >>> did_you_mean("glases", ["glasses", "beard"])
    'did you mean "glasses"? (there is: glasses, beard)'
    """
    options = list(options)
    lower = {option.lower(): option for option in options}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    listed = ", ".join(options[:40]) + (", ..." if len(options) > 40 else "") if options else "nothing"
    return f'did you mean "{lower[near[0]]}"? (there is: {listed})' if near else f"there is: {listed}"
