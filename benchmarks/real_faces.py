"""Real faces with and without glasses, or another attribute, from a folder of photographs and a table of attributes.

    python benchmarks/real_faces.py runs/real-faces --images DIR --attributes TABLE.csv --features ALEXNET.npz --minutes 60 \\
        [--preset photographs] [--start mask-glasses] [--set grafted=0.75] [--out results.jsonl]

Set b has Eyeglasses above .9, set a below .02 (`--part Smiling --below .1`: smiles; `--method difference --part Eyeglasses,Smiling`:
glasses alone in a, smiles alone in b); what is in between is left out, and half of the training pictures are mirrored. A person, the file
name without its number (Ann_Lee_0002.jpg), is in one split only. There is no truth: a
judge that learned from the training people says whether the part is seen in edits of the test people. AlexNet-KID says how far transfers
are from the test people's real pictures with it (`alexnet_kid`), and how far untouched pictures without it are (the baseline `nothing`): a
transfer should be nearer than that.
FOLDER/run is the training, FOLDER/report the report with its sheets. --run RUN: one that is there is judged; then
--set changes what edits read (`sure`), --last takes the last weights in place of the best snapshot, and --split val chooses between them.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from choices import chosen, offer
from record import record

from unweave.data import Table, load
from unweave.evaluate import evaluate
from unweave.models import load as load_model
from unweave.recipe import train
from unweave.runs import Run

PERSON = r"^(.*)_\d+"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--images", required=True, help="a folder of photographs")
    options.add_argument("--attributes", required=True, help="a table with a column of the part, from 0 to 1")
    options.add_argument("--part", default="Eyeglasses", help="that column")
    options.add_argument("--above", type=float, default=0.9)
    options.add_argument("--below", type=float, default=0.02)
    options.add_argument("--features", type=Path, help="AlexNet's weights, for AlexNet-KID")
    options.add_argument("--method", default="mask")
    options.add_argument("--run", type=Path, help="trained already")
    options.add_argument("--last", action="store_true", help="the last weights, not the best snapshot")
    options.add_argument("--split", default="test", choices=("val", "test"))
    offer(options)
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--pairs", type=int, default=500, help="test pairs of the evaluation")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    wish = options.parse_args()

    data = Table(wish.images, wish.attributes, part=wish.part, above=wish.above, below=wish.below, group=PERSON, flip=True)
    counts = {split: {name: load(data, wish.size, split).lengths[name] for name in ("a", "b")} for split in ("train", "val", "test")}
    print(f"pictures: {counts}")
    start = time.perf_counter()
    how = {"size": wish.size, "batch": wish.batch, "minutes": wish.minutes, **chosen(wish)}
    run = Run(wish.run) if wish.run else train(wish.method, data, **how, seed=wish.seed, out=wish.folder / "run")
    waited = time.perf_counter() - start
    if not run.finished:
        sys.exit(f"Interrupted; go on with: unweave resume {run.path}")
    model = load_model(run.path / ("last.safetensors" if wish.last else "weights.safetensors"))
    model.config = replace(model.config, **how["overrides"])
    report = evaluate(model, load(data, wish.size, wish.split), wish.folder / "report", wish.pairs, wish.features)
    print(report)
    asked = {"method": wish.method, "part": [wish.part, wish.above, wish.below], "pictures": counts, "split": wish.split, "last": wish.last}
    asked |= how if wish.run is None else {"run": str(wish.run), "overrides": how["overrides"]}
    took = {"images": run.images, "training_seconds": round(run.facts["seconds"]), "waited_seconds": round(waited)}
    record(wish.out, wish.seed, **asked, **took, report=report.json())


if __name__ == "__main__":
    main()
