"""Speed of several processes of one thread each (gloo) against one process with as many threads, at the same images a step.

    python benchmarks/processes.py [--processes 2] [--size 64] [--batch 32] [--steps 60] [--out results.jsonl]

Prints images a second of both: the median of the log's lines after the first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from record import record


def speed(wish: argparse.Namespace, processes: int, threads: int, batch: int, folder: Path) -> float:
    many = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"] if processes > 1 else []
    images = wish.steps * 2 * wish.batch
    words = ["train", wish.method, wish.data, "--size", wish.size, "--batch", batch, "--images", images, "--out", folder]
    command = [sys.executable, "-m", *many, "unweave", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "ACCELERATE_USE_CPU": "true"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return statistics.median([line["images_per_second"] for line in lines if "images_per_second" in line][1:])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--method", default="mask")
    options.add_argument("--data", default="faces:glasses")
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--batch", type=int, default=32, help="pictures of each set in a step, all processes together")
    options.add_argument("--steps", type=int, default=60)
    options.add_argument("--out", type=Path)
    wish = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        n = wish.processes
        one = speed(wish, 1, n, wish.batch, Path(place) / "one")
        print(f"1 process with {n} threads: {one:.1f} images/s", flush=True)
        several = speed(wish, n, 1, wish.batch // n, Path(place) / "several")
        print(f"{n} processes with 1 thread: {several:.1f} images/s, {several / one:.2f} times as fast")
        asked = {"method": wish.method, "data": wish.data, "size": wish.size, "batch": wish.batch, "processes": n}
        record(wish.out, 0, **asked, images_a_second_of_one=round(one, 1), images_a_second_of_several=round(several, 1))


if __name__ == "__main__":
    main()
