"""What benchmarks that train on pictures let their user choose about the method: a preset, a model to begin with, and settings."""

from __future__ import annotations

import argparse
from typing import Any


def offer(options: argparse.ArgumentParser) -> None:
    """Add --preset NAME, --start MODEL and --set NAME=NUMBER."""
    options.add_argument("--preset", help="a preset of the method")
    options.add_argument("--start", help="a model to begin with")
    options.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="a setting of the method, as often as needed")


def chosen(wish: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, as `unweave.train` takes it."""
    pairs = (pair.split("=") for pair in wish.set)
    settings = {name: int(value) if value.isdigit() else float(value) for name, value in pairs}
    return {"preset": wish.preset, "start": wish.start, "overrides": settings}
