"""Cost of one training step on random pictures, in three parts; all of them, or those named by --parts.

    python benchmarks/step.py [--method mask] [--parts presets,published,growth] [--preset NAME] [--steps 10] [--out results.jsonl]

presets     time, images a second and peak memory of each preset, at --size (its own if not given) with batches of --batch
published   the preset `paper`: ours against a plain transcription of the published step (published_step.py, published_funit_step.py), in
            fp32 (of mask in bf16, too), with the size and the batch of PUBLISHED, in turn on the same data in memory, on one thread of
            the processor, whose own seconds count, so that other programs disturb little; and the share of the convolution rate that
            ours reaches, which is measured in between, forward and backward, on the fastest of LAYERS
growth      each preset at 32, 64 and 128 px with batches of 8 to 128; what a preset cannot take, or memory may not hold, is left out

Steps are those of the middle of a run, when everything that a method does is under way; the first are not counted, and the median of the
others is given. A row of `presets` and of `growth` is measured in a process of its own, so that the peak memory is its own: of the whole
process on a CPU, of torch's tensors on a GPU.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from published_funit_step import PublishedFunit
from published_step import PublishedContent, PublishedDifference, PublishedFader, PublishedMask
from record import record
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from unweave.errors import UserError
from unweave.machine import Place, keep_memory, place
from unweave.method import Batch, Method
from unweave.methods import get
from unweave.recipe import configure
from unweave.train import Settings, Training

PARTS = ("presets", "published", "growth")
WARM = 3
RUN = 1000  # steps of the run in whose middle this happens
SIZES, BATCHES = (32, 64, 128), (8, 16, 32, 64, 128)
LAYERS = ((32, 64, 4, 2, 32), (64, 128, 4, 2, 16), (128, 128, 3, 1, 32), (256, 256, 3, 1, 16))  # channels in, out, kernel, stride, side


@dataclass(frozen=True)
class Published:
    """A method's published step. plain: a transcription for each precision. aim: how many times as fast as each ours should be. reads: two
    batches of ours -> what a step of the transcription reads. every: steps after which ours begins anew. settings: what data would give."""

    plain: dict[str, Callable[[], Any]]
    aim: dict[str, float]
    reads: Callable[[Batch, Batch], tuple[Tensor, ...]]
    size: int
    batch: int
    every: int = 1
    settings: dict[str, int] = field(default_factory=dict)


def two_sets(batch: Batch, _: Batch) -> tuple[Tensor, ...]:
    return batch["a"], batch["b"]


def labelled(batch: Batch, own: Batch) -> tuple[Tensor, ...]:
    """Pictures and an attribute, and the same again for the critic's turn."""
    return tuple(tensor for some in (batch, own) for tensor in (some["image"], some["attributes"][:, 0].long()))


def classes(batch: Batch, _: Batch) -> tuple[Tensor, ...]:
    return batch["content"], batch["content_class"].long(), batch["examples"][:, 0], batch["class_"].long()


PUBLISHED = {
    "mask": Published({"fp32": PublishedMask, "bf16": lambda: PublishedMask(bf16=True)}, {"fp32": 3, "bf16": 2}, two_sets, 64, 32),
    "content": Published({"fp32": PublishedContent}, {"fp32": 3}, two_sets, 128, 32),
    "difference": Published({"fp32": PublishedDifference}, {"fp32": 3}, two_sets, 128, 32),
    "fader": Published({"fp32": PublishedFader}, {"fp32": 2.5}, labelled, 64, 32, every=2),
    "funit": Published({"fp32": PublishedFunit}, {"fp32": 3}, classes, 64, 8, settings={"seen": 119}),
}


def training(model: Method, batch: int, wish: argparse.Namespace, here: Place) -> Training:
    """A run in its middle, on random pictures that lie in memory."""
    pictures = sum(need.pictures for need in model.needs.values())
    settings = Settings(images=RUN * batch * max(1, pictures), batch=batch, seed=wish.seed, precision=wish.precision)
    draw = torch.Generator().manual_seed(wish.seed)

    def drawn() -> Batch:
        found = {name: torch.rand(batch, *need.shape, generator=draw).to(here.device) for name, need in model.needs.items()}
        told = {name for name, need in model.needs.items() if need.kind in ("label", "attributes")}
        return {name: x.round() if name in told else x * 2 - 1 for name, x in found.items()}

    kept = [drawn() for _ in range(2)]
    job = Training(model, lambda position: dict(kept[position % len(kept)]), settings, here)
    model.prepare(kept[0])
    job.step = RUN // 2
    return job


def seconds(work: Callable[[], Any], here: Place, clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call, to its end."""
    start = clock()
    work()
    if here.device.type == "cuda":
        torch.cuda.synchronize(here.device)
    return clock() - start


# -- presets and growth --------------------------------------------------------------------------------------------------------


def measure(preset: str, size: int | None, batch: int, warm: int, steps: int, wish: argparse.Namespace) -> dict[str, Any] | str:
    """One row, or the reason why there is none."""
    here = place(wish.device)
    keep_memory()
    torch.manual_seed(wish.seed)
    try:
        model = get(wish.method)(configure(wish.method, preset, size=size))
    except UserError as error:
        return str(error)
    job = training(model, batch, wish, here)
    took = [seconds(lambda: job.advance(False, 0.0), here) for _ in range(warm + steps)]
    median = statistics.median(took[warm:])
    if here.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(here.device) / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "method": wish.method,
        "preset": preset,
        "size": model.size,
        "batch": batch,
        "device": here.device.type,
        "precision": "bf16" if job.bf16 else "fp32",
        "parameters": sum(p.numel() for p in model.parameters()),
        "milliseconds_a_step": round(1000 * median, 1),
        "images_a_second": round(job.per_step / median, 1),
        "peak_megabytes": round(peak),
    }


def growth(preset: str, pool: ProcessPoolExecutor, wish: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of all sizes and batches that fit."""
    rows: list[dict[str, Any]] = []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    for size in SIZES:
        peak = 0
        for batch in BATCHES:
            if 2 * peak > 0.7 * memory:
                print(f"{preset}, {size} px, batches of {batch}: left out, they may need {2 * peak:,} MB", flush=True)
                break
            row = pool.submit(measure, preset, size, batch, 1, min(3, wish.steps), wish).result()
            if isinstance(row, str):
                print(f"{preset}: {row}", flush=True)
                break
            rows.append(row)
            peak = row["peak_megabytes"] if row["device"] == "cpu" else 0
            print(f"{preset}, {size} px, batches of {batch}: {row['milliseconds_a_step']:,} ms, {row['peak_megabytes']:,} MB", flush=True)
    return rows


# -- ours and the published step -----------------------------------------------------------------------------------------------


def layer(shape: tuple[int, ...], batch: int, bf16: bool, here: Place) -> tuple[int, Callable[[], Any]]:
    """A convolution forward and backward: its operations in one call, and the call."""
    inputs, outputs, kernel, stride, side = shape
    kind = torch.bfloat16 if bf16 else torch.float32
    conv = torch.nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=False).to(here.device, kind)
    x = torch.randn(batch, inputs, side, side, device=here.device, dtype=kind, requires_grad=True)
    back = torch.ones_like(conv(x))

    def call() -> tuple[Tensor, ...]:
        return torch.autograd.grad(conv(x), (x, conv.weight), back)

    return 3 * 2 * back.numel() * inputs * kernel**2, call


class Operations(TorchDispatchMode):
    """Counts those of convolutions and matrix products. (FlopCounterMode breaks off at a gradient of a gradient.)"""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if counts := flop_registry.get(func._overloadpacket):
            self.total += counts(*args, **(kwargs or {}), out_val=out)
        return out


def published(wish: argparse.Namespace) -> dict[str, Any]:
    """Ours, the transcriptions and single convolutions, in turn."""
    here, how = place(wish.device), PUBLISHED[wish.method]
    clock = time.perf_counter
    if here.device.type == "cpu":
        torch.set_num_threads(1)
        clock = time.process_time
    keep_memory()
    torch.manual_seed(wish.seed)
    model = get(wish.method)(configure(wish.method, "paper", how.settings, how.size))
    job = training(model, how.batch, wish, here)
    plain = {name: build().to(here.device) for name, build in how.plain.items()}
    layers = [layer(shape, how.batch, job.bf16, here) for shape in LAYERS]
    data = how.reads(job.feed(0), job.feed(1))

    def ours() -> None:
        for _ in range(how.every):
            job.advance(False, 0.0)

    work: dict[str, Callable[[], Any]] = {"ours": ours}
    work |= {name: (lambda step=one.step: step(*data)) for name, one in plain.items()}
    work |= {f"layer {i}": call for i, (_, call) in enumerate(layers)}
    took: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(WARM + wish.steps):
        for name, call in work.items():
            took[name].append(seconds(call, here, clock) / (how.every if name == "ours" else 1))
    median = {name: statistics.median(all_[WARM:]) for name, all_ in took.items()}
    with Operations() as counted:
        ours()
    flops = counted.total / how.every
    rate = max(operations / median[f"layer {i}"] for i, (operations, _) in enumerate(layers))

    found: dict[str, Any] = {"method": wish.method, "preset": "paper", "size": how.size, "batch": how.batch, "device": here.device.type}
    found["precision"] = "bf16" if job.bf16 else "fp32"
    found |= {f"milliseconds_of_{name}": round(1000 * median[name], 1) for name in ("ours", *plain)}
    for name in plain:
        ratios = sorted(other / own for other, own in zip(took[name][WARM:], took["ours"][WARM:]))
        found[f"times_as_fast_as_{name}"] = round(median[name] / median["ours"], 2)
        found[f"range_against_{name}"] = [round(ratios[0], 2), round(ratios[-1], 2)]
        found[f"aim_against_{name}"] = how.aim[name]
    found |= {"gigaflops_a_step": round(flops / 1e9, 1), "gigaflops_a_second": round(flops / median["ours"] / 1e9)}
    share = flops / median["ours"] / rate
    return found | {"convolution_gigaflops_a_second": round(rate / 1e9), "share_of_convolution_rate": round(share, 3)}


# -- as tables -----------------------------------------------------------------------------------------------------------------


def grown(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for each preset and size, a column for each batch; milliseconds (and megabytes)."""
    lines = [f"| preset | size | {' | '.join(f'batch {batch}' for batch in BATCHES)} |", "|" + "---|" * (2 + len(BATCHES))]
    found = {(row["preset"], row["size"], row["batch"]): row for row in rows}
    for preset, size in dict.fromkeys((row["preset"], row["size"]) for row in rows):
        cells = [found.get((preset, size, batch)) for batch in BATCHES]
        words = ["" if c is None else f"{c['milliseconds_a_step']:,.0f} ms ({c['peak_megabytes']:,} MB)" for c in cells]
        lines.append(f"| {preset} | {size} | {' | '.join(words)} |")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--parts", default=",".join(PARTS), help="some of the three, with commas between")
    options.add_argument("--method", default="mask")
    options.add_argument("--preset", help="one of its presets; all of them if none is named")
    options.add_argument("--size", type=int, help="side of the pictures in `presets`; each preset's own if not given")
    options.add_argument("--batch", type=int, default=32, help="pictures of each set in a step of `presets`")
    options.add_argument("--steps", type=int, default=10)
    options.add_argument("--device", default="auto")
    options.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    wish = options.parse_args()
    parts = wish.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        sys.exit(f"There is no part {unknown[0]}; there is: {', '.join(PARTS)}.")
    presets = [wish.preset] if wish.preset else list(get(wish.method).PRESETS)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        if "presets" in parts:
            for preset in presets:
                row = pool.submit(measure, preset, wish.size, wish.batch, WARM, wish.steps, wish).result()
                if isinstance(row, str):
                    sys.exit(row)
                record(wish.out, wish.seed, part="presets", **row)
        if "published" in parts and wish.method in PUBLISHED:
            record(wish.out, wish.seed, part="published", **pool.submit(published, wish).result())
        if "growth" in parts:
            rows = [row for preset in presets for row in growth(preset, pool, wish)]
            print(grown(rows))
            record(wish.out, wish.seed, part="growth", method=wish.method, report=rows)


if __name__ == "__main__":
    main()
