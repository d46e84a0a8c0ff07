"""Figures of the style-based generator: distance of samples, over images seen, entanglement of z and w, directions, projections, cost.

    python benchmarks/style.py OUT [--data faces] [--n 30k] [--images 600k] [--features FILE.npz] [--out-rows results.jsonl]
    python benchmarks/style.py OUT --run RUN ...      the same of a run that is there: no curve
    python benchmarks/style.py OUT --step             a step against a plain fp32 transcription (published_style_step.py), one thread

OUT/run is trained; its latest weights are kept at shares of the run, each twice the one before, and measured: the curve. It can be stopped,
and given again. Then comes everything that `unweave evaluate` measures of it on the test split, into OUT/report, and more
pictures are projected, with more steps. OUT/figures.json has it all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from published_style_step import PublishedStyleStep
from record import record

import unweave as uw
from unweave import recipe
from unweave.cli.parsing import count
from unweave.data import BuiltIn, Table
from unweave.data.feed import to_float
from unweave.logs import Live, Tick
from unweave.machine import place
from unweave.method import Method
from unweave.methods.stylegan import Stylegan
from unweave.metrics import images, samples, steering
from unweave.metrics.images import Extractor
from unweave.runs import Run
from unweave.train import Settings, Training

STAGES = 6


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("out", type=Path)
    words.add_argument("--run", type=Path, help="a run that is trained already")
    words.add_argument("--data", default="faces", help="a built-in set; or images/ and attributes.csv of a folder of that name")
    words.add_argument("--n", help="pictures to learn from, of a built-in set")
    words.add_argument("--group", help="of a folder: a regular expression that keeps a person in one split")
    words.add_argument("--images", default="600k")
    words.add_argument("--size", type=int, default=64)
    words.add_argument("--batch", type=int, default=32)
    words.add_argument("--preset")
    words.add_argument("--features", help="FILE.npz of AlexNet, random or inception; UNWEAVE_FEATURES if not given")
    words.add_argument("--pairs", type=int, default=500)
    words.add_argument("--projected", type=int, default=64, help="test pictures that are projected")
    words.add_argument("--steps", type=int, default=1000, help="of their projection")
    words.add_argument("--step", action="store_true")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--out-rows", dest="rows", type=Path, help="a file of JSON lines to add the row to")
    wish = words.parse_args()
    if wish.step:
        torch.set_num_threads(1)
        record(wish.rows, wish.seed, **steps(wish.size, wish.batch, wish.preset or "laptop"))
        return
    folder = Path(wish.data)
    data = Table(str(folder / "images"), str(folder / "attributes.csv"), group=wish.group) if folder.is_dir() else wish.data
    if wish.n:
        data = BuiltIn(wish.data, count(wish.n, "--n"))
    look = images.find_features(wish.features) or images.RandomFeatures()
    wish.out.mkdir(parents=True, exist_ok=True)
    file = wish.out / "figures.json"
    figures: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"curve": []}
    if wish.run is None:
        trained(wish, data)
        for kept in sorted((wish.out / "stages").iterdir())[len(figures["curve"]) :]:
            figures["curve"].append(
                at(uw.load(kept), uw.data(data, size=wish.size, split="test"), look, 4 * wish.pairs) | {"images": int(kept.stem)}
            )
            file.write_text(json.dumps(figures, indent=2) + "\n")
            print(figures["curve"][-1])
    run = wish.run or wish.out / "run"
    report = uw.evaluate(run, data, wish.out / "report", pairs=wish.pairs, features=wish.features)
    figures["report"] = report.json()
    model, test, found = uw.load(run), uw.data(data, size=wish.size, split="test"), samples.Found()
    steering.projections(model, test, look, wish.projected, found, wish.steps)
    figures["projection"] = {name: e.plain() for name, e in found.figures.items()} | {"steps": wish.steps}
    figures["samples_a_second_on_one_thread"] = speed(model)
    facts = Run(run).facts
    figures["training"] = {"images": facts["images"], "minutes": round(facts["seconds"] / 60, 1)}
    file.write_text(json.dumps(figures, indent=2) + "\n")
    record(wish.rows, wish.seed, data=wish.data, features=look.name, **figures)
    print(report)
    print(file)


def trained(wish: argparse.Namespace, data: Any) -> None:
    """OUT/run; its latest weights at each stage are OUT/stages/IMAGES.safetensors."""
    folder, kept, total = wish.out / "run", wish.out / "stages", count(wish.images, "--images")
    kept.mkdir(exist_ok=True)
    marks, latest = {total // 2**stage for stage in range(1, STAGES)}, folder / "last.safetensors"
    before = total

    def keep(tick: Tick) -> None:
        nonlocal before
        live(tick)
        if latest.exists() and any(before < mark <= tick.images for mark in marks):
            shutil.copy(latest, kept / f"{tick.images:08}.safetensors")
        before = tick.images

    with Live() as live:
        if (folder / "config.json").exists():
            run = recipe.resume(folder, total if Run(folder).facts["images"] < total else None, on_progress=keep)
        else:
            how = {"preset": wish.preset, "size": wish.size, "batch": wish.batch, "images": total, "seed": wish.seed}
            run = recipe.train("stylegan", data, **how, out=folder, on_progress=keep)
    if not run.finished:
        raise SystemExit(f"{folder} was stopped: run this again to go on.")
    shutil.copy(latest, kept / f"{run.images:08}.safetensors")


@torch.no_grad()
def at(model: Method, test: Any, look: Extractor, n: int) -> dict[str, float]:
    """Distance of n samples to the test pictures, and over that of the same pictures blurred; precision and recall."""
    held = to_float(test.take("image", range(min(test.lengths["image"], n))))
    seen, made = look(held), look(to_float(samples.drawn(model, 0, n)))
    kid, blurred = images.distance(made, seen).value, images.distance(look(images.blurred(held, samples.SIGMA)), seen).value
    like = {name: share.value for name, share in samples.alike(seen, made).items()}
    return {f"{look.name}_kid": kid, "of_blurred": kid / blurred, **like}


def speed(model: Method) -> float:
    """Samples a second, 64 at a time, the best of three, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        samples.drawn(model, 0, 256)
        best = max(best, 256 / (time.perf_counter() - start))
    torch.set_num_threads(threads)
    return round(best, 1)


def steps(size: int, batch: int, preset: str) -> dict[str, Any]:
    """Seconds of the processor for 16 steps (one whole turn of the lazy ones), ours and a plain transcription of as wide networks: medians
    of three turns, taken in turn."""
    config = recipe.configure("stylegan", preset, size=size)
    torch.manual_seed(0)
    model = Stylegan(config)
    here = place("cpu")
    job = Training(model, lambda position: {"image": pictures(position)}, Settings(images=1_000_000, batch=batch), here)

    def pictures(position: int) -> torch.Tensor:
        return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(position)) * 2 - 1

    model.prepare({"image": pictures(0)})
    wide = [first.weight.shape[0] for first in [model.synthesis.convs[0], *list(model.synthesis.convs)[2::2]]]  # type: ignore[union-attr]
    plain, position = PublishedStyleStep(wide, config.z, config.style, config.depth), iter(range(10**6))
    turns = {"ours": lambda: job.advance(False, 0.0), "plain": lambda: plain.step(pictures(next(position)))}
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(4):
        for name, advance in turns.items():
            start = time.process_time()
            for _ in range(16):
                advance()
            taken[name].append((time.process_time() - start) / 16)
    found = {name: statistics.median(times[1:]) for name, times in taken.items()}
    return {
        "method": "stylegan",
        "preset": preset,
        "size": size,
        "batch": batch,
        "precision": "bf16" if job.bf16 else "fp32",
        "widths": wide,
        "milliseconds_a_step": {name: round(1000 * seconds, 1) for name, seconds in found.items()},
        "times": round(found["plain"] / found["ours"], 2),
    }


if __name__ == "__main__":
    main()
