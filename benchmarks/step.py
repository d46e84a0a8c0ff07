"""Cost of one training step on random pictures: time, images a second and peak memory, for each preset of a method.

    python benchmarks/step.py --method mask [--preset NAME] [--size S] [--batch 32] [--steps 10] [--out results.jsonl]

Steps are those of the middle of a run, when everything that a method does is under way; the first three are not counted, and the median of
the others is given. Each preset is measured in a process of its own, so that the peak memory is its own: of the whole process on a CPU, of
torch's tensors on a GPU.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from record import record

from unweave.machine import place
from unweave.method import Batch
from unweave.methods import get
from unweave.recipe import configure
from unweave.train import Settings, Training

WARM = 3
RUN = 1000  # steps of the run in whose middle this happens


def measure(method: str, preset: str, wish: argparse.Namespace) -> dict[str, Any]:
    here = place(wish.device)
    torch.manual_seed(wish.seed)
    model = get(method)(configure(method, preset, size=wish.size))
    pictures = sum(need.pictures for need in model.needs.values())
    settings = Settings(images=RUN * wish.batch * max(1, pictures), batch=wish.batch, seed=wish.seed, precision=wish.precision)

    def feed(position: int) -> Batch:
        draw = torch.Generator().manual_seed(position)
        return {name: (torch.rand(wish.batch, *need.shape, generator=draw) * 2 - 1).to(here.device) for name, need in model.needs.items()}

    job = Training(model, feed, settings, here)
    model.prepare(feed(0))
    job.step = RUN // 2
    took = []
    for _ in range(WARM + wish.steps):
        start = time.perf_counter()
        job.advance(False, 0.0)  # it ends with numbers read back, so a GPU has finished
        took.append(time.perf_counter() - start)
    seconds = statistics.median(took[WARM:])
    if here.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(here.device) / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "method": method,
        "preset": preset,
        "size": model.size,
        "batch": wish.batch,
        "device": here.device.type,
        "precision": "bf16" if job.bf16 else "fp32",
        "parameters": sum(p.numel() for p in model.parameters()),
        "milliseconds_a_step": round(1000 * seconds, 1),
        "images_a_second": round(job.per_step / seconds, 1),
        "peak_megabytes": round(peak),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--method", default="mask")
    options.add_argument("--preset", help="one of its presets; all of them if none is named")
    options.add_argument("--size", type=int, help="side of the pictures; each preset's own if not given")
    options.add_argument("--batch", type=int, default=32, help="pictures of each set in a step")
    options.add_argument("--steps", type=int, default=10)
    options.add_argument("--device", default="auto")
    options.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    wish = options.parse_args()
    presets = [wish.preset] if wish.preset else list(get(wish.method).PRESETS)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for preset in presets:
            record(wish.out, wish.seed, **pool.submit(measure, wish.method, preset, wish).result())


if __name__ == "__main__":
    main()
