"""How long one waits: for help, for the import, for a model, for one transfer, and for a thousand pictures to be marked.

    python benchmarks/latency.py RUN [-n 1000] [--out results.jsonl]

MODEL is what `unweave transfer` takes. Help and import: the median of ten new processes. A transfer: one picture at the model's size, the
model loaded, the median of fifty after three. Marking: n built-in faces as PNG files, read, marked and written, without loading the model.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from record import record

from unweave import edits
from unweave.data import load
from unweave.data.feed import to_float
from unweave.data.files import save
from unweave.models import load as load_model

IMPORT = """
import sys, time
start = time.perf_counter()
import unweave
print(time.perf_counter() - start)
assert "torch" not in sys.modules, "importing unweave loads torch"
"""


def median(act: Callable[[], object], times: int, warm: int = 0) -> float:
    """Milliseconds."""
    took = []
    for _ in range(warm + times):
        start = time.perf_counter()
        act()
        took.append(time.perf_counter() - start)
    return round(1000 * statistics.median(took[warm:]), 2)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model")
    options.add_argument("-n", type=int, default=1000, help="pictures to mark")
    options.add_argument("--seed", type=int, default=0, help="of the faces")
    options.add_argument("--out", type=Path)
    wish = options.parse_args()

    program = Path(sys.executable).with_name("unweave")
    shown = median(lambda: subprocess.run([program, "--help"], check=True, capture_output=True), 10, warm=1)
    imports = [float(subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True).stdout) for _ in range(10)]

    start = time.perf_counter()
    model = load_model(wish.model)
    loaded = time.perf_counter() - start
    faces = load("faces:glasses@test", size=model.size, seed=wish.seed, n=wish.n)
    donor, target = (to_float(faces.take(name, [0])) for name in ("b", "a"))
    figures: dict[str, float] = {
        "help_milliseconds": shown,
        "import_milliseconds": round(1000 * statistics.median(imports), 2),
        "load_milliseconds": round(1000 * loaded, 1),
    }
    if "transfer" in model.verbs:
        figures["transfer_milliseconds"] = median(lambda: model.transfer(donor, onto=target), 50, warm=3)
    if "segment" in model.verbs:
        count = faces.lengths["b"]
        with tempfile.TemporaryDirectory() as place:
            save(Path(place) / "faces", range(count), faces.take("b", range(count)))
            start = time.perf_counter()
            done = edits.segment(model, edits.pictures([Path(place) / "faces"]), Path(place) / "masks")
            figures["segment_seconds"] = round(time.perf_counter() - start, 2)
            assert len(done.written) == count and not done.broken
            figures["segment_pictures"] = count
    record(wish.out, wish.seed, model=Path(wish.model).name, size=model.size, **figures)


if __name__ == "__main__":
    main()
