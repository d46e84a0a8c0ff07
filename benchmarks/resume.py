"""Exact resume: a short run killed with SIGKILL at random moments and resumed ends with the bytes of one left alone.

    python benchmarks/resume.py [--out results.jsonl]     ten kills, one process
    python benchmarks/resume.py --processes 2             ten kills, two processes (gloo)

Prints one line a kill, and the count at the end; exit 0 only if all files are equal.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import record

FILES = ("weights.safetensors", "last.safetensors")


def unweave(*words: object, processes: int) -> subprocess.Popen[str]:
    """A command line of unweave, in one process or under torchrun."""
    many = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"] if processes > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        [sys.executable, "-m", *many, "unweave", *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def family(pid: int) -> list[int]:
    """A process and all that descend from it: torchrun's workers are in sessions of their own."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for child, parent in (map(int, line.split()) for line in listed.splitlines()):
        children.setdefault(parent, []).append(child)
    found, at = [pid], 0
    while at < len(found):
        found += children.get(found[at], [])
        at += 1
    return found


def kill(process: subprocess.Popen[str]) -> None:
    for pid in family(process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.communicate()


def finish(process: subprocess.Popen[str]) -> None:
    said = process.communicate()[0]
    if process.returncode != 0:
        sys.exit(f"The command failed with exit status {process.returncode}:\n{said}")


def begun(process: subprocess.Popen[str], folder: Path) -> float:
    """Waits until the run's folder is there. -> the time."""
    while not (folder / "config.json").exists():
        if process.poll() is not None:
            finish(process)
        time.sleep(0.01)
    return time.monotonic()


def sums(folder: Path) -> list[str]:
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest()[:16] for name in FILES]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--method", default="mask")
    options.add_argument("--data", default="faces:glasses")
    options.add_argument("--size", type=int, default=32)
    options.add_argument("--batch", type=int, default=4)
    options.add_argument("--images", type=int, default=800)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    wish = options.parse_args()
    how = ["train", wish.method, wish.data, "--size", wish.size, "--batch", wish.batch, "--images", wish.images]
    moments = random.Random(wish.seed)

    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        process = unweave(*how, "--out", whole, processes=wish.processes)
        start = begun(process, whole)
        finish(process)
        duration = time.monotonic() - start
        print(f"undisturbed: {duration:.1f} s, {' '.join(sums(whole))}", flush=True)
        equal = kills = tries = 0
        while kills < wish.kills:
            tries += 1
            folder = Path(place) / f"killed-{tries}"
            process = unweave(*how, "--out", folder, processes=wish.processes)
            start = begun(process, folder)
            moment = moments.uniform(0, duration)
            while process.poll() is None and time.monotonic() - start < moment:
                time.sleep(0.01)
            if process.poll() is not None:
                finish(process)
                duration *= 0.9  # it was quicker than the first: no kill
                continue
            kill(process)
            kills += 1
            state = (folder / "state" / "state.safetensors").exists()
            finish(unweave("resume", folder, processes=wish.processes))
            same = sums(folder) == sums(whole)
            equal += same
            where = "with a state" if state else "before its first state"
            print(f"kill {kills} after {moment:.1f} s, {where}: {'equal' if same else 'DIFFERENT'}", flush=True)
        asked = {"method": wish.method, "data": wish.data, "size": wish.size, "processes": wish.processes}
        record(wish.out, wish.seed, **asked, kills=kills, equal=equal)
        print(f"{equal} of {wish.kills} equal, {wish.processes} process{'es' if wish.processes > 1 else ''}")
    sys.exit(0 if equal == wish.kills else 1)


if __name__ == "__main__":
    main()
