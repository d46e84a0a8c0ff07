"""One row of results: what was measured, when, on which machine, with which versions; printed, and kept as a line of JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch


def processor() -> str:
    """The processor's own name, where the system tells it."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def record(out: Path | None, seed: int, **figures: Any) -> dict[str, Any]:
    """Print a row and append it to the file `out` (JSON lines), if one is given. -> the row.

    A figure called `report` is kept in the file only: it is printed as a table by those who have one.
    """
    row = {
        "benchmark": Path(sys.argv[0]).stem,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "seed": seed,
        "versions": {name: importlib.metadata.version(name) for name in ("unweave", "torch")} | {"python": platform.python_version()},
        **figures,
    }
    if torch.cuda.is_available():
        row["machine"]["gpu"] = torch.cuda.get_device_name()
    print(json.dumps({name: figure for name, figure in row.items() if name != "report"}, indent=2))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return row
