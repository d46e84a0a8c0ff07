"""Ten minutes on two folders of another art: what a user gets who brings two folders and a little time.

    python benchmarks/two_folders.py runs/two-folders --minutes 10 [--preset NAME] [--start mask-glasses] [--set alone=0.3] \\
        [--out results.jsonl]

FOLDER/pictures is drawn by other_art.py unless it is there already, FOLDER/run is trained on its a/ and b/ alone, and FOLDER/report is
measured on the test split, with the truth that lies beside them. The minutes are those of the training's steps and validations; the judges
learn before and after.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from choices import chosen, offer
from record import record

from unweave.data import Folders
from unweave.evaluate import evaluate
from unweave.recipe import train


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--method", default="mask")
    offer(options)
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("-n", type=int, default=2500, help="pictures of each set to draw")
    options.add_argument("--pairs", type=int, default=500, help="test pairs of the evaluation")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    wish = options.parse_args()

    art = wish.folder / "pictures"
    if not (art / "truth.json").exists():  # which is written last
        script = Path(__file__).with_name("other_art.py")
        drawing = [sys.executable, script, art, "-n", wish.n, "--size", wish.size, "--seed", wish.seed]
        subprocess.run([str(word) for word in drawing], check=True)
    data = Folders(str(art / "a"), str(art / "b"))
    start = time.perf_counter()
    how = {"size": wish.size, "batch": wish.batch, "minutes": wish.minutes, **chosen(wish)}
    run = train(wish.method, data, **how, seed=wish.seed, out=wish.folder / "run")
    waited = time.perf_counter() - start
    if not run.finished:
        sys.exit(f"Interrupted; go on with: unweave resume {run.path}")
    report = evaluate(run, data, out=wish.folder / "report", pairs=wish.pairs)
    print(report)
    took = {"images": run.images, "training_seconds": round(run.facts["seconds"]), "waited_seconds": round(waited)}
    record(wish.out, wish.seed, method=wish.method, **how, **took, report=report.json())


if __name__ == "__main__":
    main()
