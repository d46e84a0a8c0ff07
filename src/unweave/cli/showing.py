"""Commands that show what there is: data, models, methods, measures, doctor."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from unweave.cli import UsageError, result
from unweave.cli.parsing import count, joined, option, parse, words

# What an extra of the package brings, and what for.
EXTRAS = {"logs": ("tensorboard", "curves of a run in TensorBoard"), "video": ("av", "clips as MP4")}


@dataclass(kw_only=True)
class Write:
    """Write a built-in set as files: pictures, with their truth (attributes.csv, masks/, clean/, wear/). Without SPEC: list the sets.

    Or a motion in space (.bvh, .amc, .npz) as it is seen from --view DEGREES, into -o FILE.npz, .gif, .mp4 or .json."""

    spec: Annotated[Positional[str | None], words("SPEC")] = None
    """name[:part[,part]][@train|val|test], such as faces:glasses@test; train if no split is named."""
    out: Annotated[str | None, option("DIR", "-o")] = None
    """A new or empty folder; for a motion, the file."""
    n: Annotated[str | None, option("N", "-n")] = None
    """Pictures of each set; all of the split if not given."""
    size: Annotated[int, option("S")] = 64
    """Side of the pictures in pixels; 64 if not given."""
    seed: Annotated[int, option("S")] = 0
    """Another seed draws other pictures."""
    view: Annotated[str | None, option("DEGREES")] = None
    """Of a motion in space: from where it is seen, 0 from the front, 90 looking to the right of the picture; 0 if not given."""


@dataclass
class Nothing:
    """Show what there is."""


def data(argv: list[str]) -> int:
    """unweave data SPEC -o DIR [-n N] [--size S] [--seed S], or unweave data FILE.bvh --view DEGREES -o FILE.npz"""
    from unweave.data import NAMES, load

    wish = parse(Write, joined(argv), "data")
    if wish.spec is not None and Path(wish.spec).suffix.lower() in (".bvh", ".amc", ".npz"):
        return _seen(wish, wish.spec)
    if wish.spec is None:
        for name, (parts, what) in NAMES.items():
            print(f"{name:<12} {what}\n{'':<12} {name}:PART with {parts}")
        return 0
    if wish.out is None:
        raise UsageError("--out DIR is missing: a new folder to write the pictures into.")
    from unweave.data.files import write

    result(write(load(wish.spec, wish.size, seed=wish.seed, n=None if wish.n is None else count(wish.n, "-n")), wish.out))
    return 0


def _seen(wish: Write, path: str) -> int:
    from unweave import retargeting

    if wish.out is None:
        raise UsageError("--out FILE.npz is missing: what to write the clip into.")
    result(retargeting.project(path, retargeting.angle(wish.view or "0"), Path(wish.out)))
    return 0


def models(argv: list[str]) -> int:
    """unweave models"""
    parse(Nothing, argv, "models")
    from unweave.models import card, shipped

    for name, path in shipped().items():
        print(f"{name}  ({path.stat().st_size / 1e6:.1f} MB)\n{_indented(card(name).strip())}\n")
    if not shipped():
        print("No models ship with this version; unweave train makes one.")
    print("A model is also a run folder, a weights file (.safetensors), or OWNER/NAME on the Hugging Face hub.")
    return 0


def methods(argv: list[str]) -> int:
    """unweave methods"""
    parse(Nothing, argv, "methods")
    from unweave.methods import METHODS, get

    for name in METHODS:
        kind = get(name)
        about = (inspect.getdoc(sys.modules[kind.__module__]) or "").split("\n\n")[0]
        print(f"{name}\n{_indented(about)}")
        first = next(iter(kind.PRESETS))
        presets = [f"{preset} (the default)" if preset == first else preset for preset in kind.PRESETS]
        print(_indented(f"presets: {', '.join(presets)}; unweave train {name} --help lists the options") + "\n")
    return 0


def measures(argv: list[str]) -> int:
    """unweave measures"""
    parse(Nothing, argv, "measures")
    from unweave.metrics.table import MEASURES

    width = max(map(len, MEASURES))
    for name, what in MEASURES.items():
        print(f"{name:<{width}}  {what}")
    return 0


def doctor(argv: list[str]) -> int:
    """unweave doctor"""
    parse(Nothing, argv, "doctor")
    import torch

    from unweave import __version__
    from unweave.data.cache import folder
    from unweave.machine import pick_precision, place

    device = place("auto").device
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    precision = pick_precision(device)
    why = {
        "bf16": "this processor multiplies bf16 numbers faster, so losses are computed in it",
        "fp32": "this processor does not gain from bf16, so everything is computed in fp32",
    }[precision]
    cache = folder()
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) if cache.exists() else 0
    print(f"unweave    {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"device     {device} ({kind}), {os.cpu_count()} processors, {torch.get_num_threads()} threads")
    print(f"precision  {precision}: {why}")
    print(
        f"cache      {cache} ({size / 1e6:.0f} MB{'' if _writable(cache) else '; cannot be written: set UNWEAVE_CACHE to another folder'})"
    )
    for extra, (module, purpose) in EXTRAS.items():
        state = "installed" if importlib.util.find_spec(module) else f"not installed: pip install 'unweave[{extra}]'"
        print(f"extra      {extra} ({purpose}): {state}")
    if importlib.util.find_spec("torchvision"):
        print("warning    torchvision is installed; beside a CPU torch it breaks other packages: pip uninstall torchvision")
    return 0


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def _writable(path: Path) -> bool:
    while not path.exists():
        path = path.parent
    return os.access(path, os.W_OK)
