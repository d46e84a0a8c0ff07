"""What benchmarks that train on pictures let their user choose about the method: a model to begin with, and settings."""

from __future__ import annotations

import argparse
from typing import Any


def offer(options: argparse.ArgumentParser) -> None:
    """Add --start MODEL and --set NAME=NUMBER."""
    options.add_argument("--start", help="a model to begin with")
    options.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="a setting of the method, as often as needed")


def chosen(wish: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, as `unweave.train` takes it."""
    pairs = (pair.split("=") for pair in wish.set)
    return {"start": wish.start, "overrides": {name: int(value) if value.isdigit() else float(value) for name, value in pairs}}
