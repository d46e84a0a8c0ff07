"""From names to a running training: the method, its data, the judge that chooses its snapshot, and a run folder.

run = train("mask", "faces:glasses", size=64, images=200_000)
run = resume("runs/mask-faces-glasses", images=400_000)
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import logging
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unweave import models, runs
from unweave.data import BuiltIn, ClassFolders, Folders, Motions, Source, Table
from unweave.data import load as open_data
from unweave.data.dataset import Dataset
from unweave.data.feed import Feed, match, to_float
from unweave.errors import UserError, did_you_mean
from unweave.logs import Live, Tick
from unweave.machine import keep_memory, place
from unweave.method import Batch, Method
from unweave.methods import get
from unweave.pictures import Sheet
from unweave.runs import Run
from unweave.train import Settings
from unweave.train import train as run_phases

VALIDATION = 256  # held-out pictures of each set that choose the best snapshot
PATHS = ("a", "b", "images", "attributes", "classes", "motion")  # fields of a source of data that name a place
SHOWN = 6  # held-out pictures of each set on a sheet
TRUSTED = 0.75  # held-out pictures of the two sets that a judge must tell right (chance: .5) to choose among snapshots

logger = logging.getLogger("unweave")

Data = Source


# -- a method and its data, from names and back --------------------------------------------------------------------------------


def configure(
    method: str,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    size: int | None = None,
    start: str | Path | Method | None = None,
) -> Any:
    """A method's config: the preset named, else that of the model to start from, else its first preset, at this size, with these fields
    changed. Of a model to start from the size stays, unless another is asked.

    Raises UserError for unknown names, and for a model of another method."""
    kind, begun = get(method), models.load(start) if isinstance(start, str | Path) else start
    if begun is not None and begun.name != method:
        raise UserError(f"{start} is a model of {begun.name}: start from one of {method}, or train {begun.name}.")
    if preset is not None and preset not in kind.PRESETS:
        raise UserError(f'{method} has no preset "{preset}"; {did_you_mean(preset, kind.PRESETS)}.')
    base = begun.config if begun is not None and not preset else kind.PRESETS[preset or next(iter(kind.PRESETS))]
    fields = {field.name for field in dataclasses.fields(kind.Config)}
    size = size or (begun.config.size if begun is not None and "size" in fields else None)
    changes = dict(overrides or {}) | ({"size": size} if size else {})
    for name in changes:
        if name not in fields:
            raise UserError(f'{method} has no setting "{name}"; {did_you_mean(name, sorted(fields))}.')
    return dataclasses.replace(base, **changes)


def describe(data: Data) -> dict[str, Any]:
    """A description of data as plain JSON values; paths become absolute, so that a run can be resumed from anywhere."""
    if isinstance(data, str):
        return {"spec": data.partition("@")[0]}
    if isinstance(data, BuiltIn):
        return {"spec": data.built_in.partition("@")[0], "n": data.n}
    values = dataclasses.asdict(data)
    values |= {name: str(Path(values[name]).absolute()) for name in PATHS if name in values}
    return {
        "spec": " + ".join(Path(values[name]).name for name in PATHS if name in values and name != "attributes"),
        type(data).__name__: values,
    }


def described(values: Mapping[str, Any]) -> Data:
    """The inverse of `describe`."""
    for kind in (Folders, Table, ClassFolders, Motions):
        if kind.__name__ in values:
            return kind(**values[kind.__name__])
    return BuiltIn(values["spec"], values["n"]) if "n" in values else str(values["spec"])


# -- training ------------------------------------------------------------------------------------------------------------------


def train(
    method: str,
    data: Data | Dataset,
    *,
    preset: str | None = None,
    start: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    size: int | None = None,
    batch: int = 32,
    images: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    accumulate: int = 1,
    snapshots: int = 20,
    save_seconds: float = 60.0,
    on_progress: Callable[[Tick], None] | None = None,
) -> Run:
    """Train a method on data, into a new run folder.

    method, preset: names in the tables. start: a model of this method (a shipped name, a run, a file) whose weights are the first ones, in
    place of random ones, and its settings too unless a preset is named; critics, which models do not keep, start anew. data: a spec such as
    "faces:glasses", Folders, Table, or a loaded set (then its size counts). overrides: fields of the method's config. images: pictures to
    read, all sets together; or minutes, which measures first; 200,000 images without either. out: the folder, by default
    runs/METHOD-DATA. on_progress: hears of each step; by default a line in the terminal does.
    The rest is as in `Settings`. -> the run; `run.finished` is False if it was interrupted. Raises UserError for whatever does not fit.
    """
    if isinstance(data, Dataset):
        if size not in (None, data.size):
            raise UserError(f"The data is open at {data.size} px and cannot be trained at {size}: leave the size out.")
        size = data.size
    named: Data = data.source if isinstance(data, Dataset) else data
    if images is None and minutes is None:
        images = 200_000
    asked = Settings(images, minutes, batch, seed, device, precision, accumulate, save_seconds, snapshots)
    here = place(device)
    begun = None if start is None else models.load(start)
    kind, config = get(method), configure(method, preset, overrides, size, begun)
    about = describe(named)
    folder = Path(out) if out is not None else _new_folder(method, about["spec"])
    if here.rank == 0:
        Run.vacant(folder)
    config = kind.suited(config, open_data(named, size=config.size, split="train"))
    torch.manual_seed(seed)  # the same first weights in every process
    model = kind(config)
    summary = " ".join((inspect.getdoc(inspect.getmodule(kind)) or "").strip().split("\n\n")[0].split())
    versions = {name: importlib.metadata.version(name) for name in ("unweave", "torch", "safetensors")}
    values = {
        "method": method,
        "preset": preset or (next(iter(kind.PRESETS)) if start is None else None),
        "start": None if start is None else str(start),
        "config": model.settings(),
        "about": summary,
        "verbs": list(model.verbs),
        "settles": model.settles,
        "data": about,
        "settings": dataclasses.asdict(asked),
        "asked": {"images": images, "minutes": minutes},
        "versions": versions | {"python": platform.python_version()},
    }
    if begun is not None:
        fits(begun, model)
    material = _Material(model, named, asked)  # before the folder is made: most mistakes show here
    if here.rank == 0:
        Run.create(folder, values)
    _wait(here.world)
    return _go(model, Run(folder), asked, material, on_progress, begun)


def resume(
    run: str | Path | Run,
    images: int | None = None,
    on_progress: Callable[[Tick], None] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Run:
    """Train on from where a run's folder stands, critics and all; a finished run is returned as it is.

    images: a new, larger length. overrides: settings of the method that are others from here on, such as weights of losses or `lr`; the
    log says when they changed. Raises UserError for a length that has been read already, and for settings that ask for other networks.
    """
    run = run if isinstance(run, Run) else Run(run)
    known = {field.name for field in dataclasses.fields(Settings)}
    values = {name: value for name, value in run.config["settings"].items() if name in known}
    if images is not None:
        if images < run.images:
            raise UserError(f"{run.path} has read {run.images:,} images already: give more than that, not {images:,}.")
        values |= {"images": images, "minutes": None}
    asked = Settings(**values)
    if images is None and run.finished:
        if overrides:
            raise UserError(f"{run.path} has finished: say how many images it shall read in all with its new settings.")
        return run
    here = place(asked.device)
    torch.manual_seed(asked.seed)
    kind, changes = get(run.config["method"]), dict(overrides or {})
    model = runs.build(kind, run.config["config"] | changes)
    if changes:
        fits(runs.build(kind, run.config["config"]), model, critics=True)
    material = _Material(model, described(run.config["data"]), asked)
    if here.rank == 0:
        if images is not None or changes:
            run.settle({name: model.settings()[name] for name in changes}, images=asked.images, minutes=asked.minutes)
        if changes:
            run.log({"step": run.facts["step"], "images": run.images, "changed": changes})
    _wait(here.world)
    return _go(model, run, asked, material, on_progress)


class _Material:
    """What a training reads: its feed, and held-out pictures with the judge of snapshots."""

    def __init__(self, model: Method, data: Data, asked: Settings):
        here = place(asked.device)
        learned, held = (match(model.needs, open_data(data, size=model.size, split=split)) for split in ("train", "val"))
        self.feed = Feed(learned, asked.batch, asked.seed, here.rank, here.world, here.device)
        self.sample = self.feed(0)
        self.validation = _fixed(held, model, VALIDATION, here.device)
        self.shown = _fixed(held, model, SHOWN, here.device)
        self.judge: Callable[[Tensor], Tensor] | None = None
        self.chooses = True
        if model.judged and here.rank == 0:
            from unweave.metrics import judges

            logger.info("teaching the judge that chooses the best snapshot (once; kept)")
            self.judge = judges.attribute_judge(learned, model.attributes) if model.attributes else judges.set_judge(learned)
            if not model.attributes and (right := judges.accuracy(self.judge, held, VALIDATION)) < TRUSTED:
                self.chooses = False
                logger.warning(f"it is right for {right:.0%} of held-out pictures only: the latest snapshot is kept, not the best")

    def score(self, model: Method) -> dict[str, float]:
        figures = model.validate(dict(self.validation), self.judge)
        return figures if self.chooses else {name: value for name, value in figures.items() if name != "score"}

    def preview(self, model: Method) -> Sheet:
        return model.preview(dict(self.shown))


def fits(begun: Method, model: Method, critics: bool = False) -> None:
    """Raises UserError unless the weights that `begun` has are weights of `model` too; of critics as well, where they are to be kept."""
    have, wanted = (one.state_dict() if critics else one.kept() for one in (begun, model))
    for name in have | wanted if critics else wanted:
        if name not in have or name not in wanted or have[name].shape != wanted[name].shape:
            changed = [k for k, v in model.settings().items() if v != begun.settings()[k]]
            raise UserError(
                f"{'The run' if critics else 'The model to start from'} has other networks ({name.split('.')[0]}): "
                f"leave its {', '.join(changed) or 'settings'} as they are."
            )


def _go(
    model: Method,
    run: Run,
    asked: Settings,
    material: _Material,
    on_progress: Callable[[Tick], None] | None,
    begun: Method | None = None,
) -> Run:
    here = place(asked.device)
    keep_memory()
    model.to(here.device).prepare(material.sample)
    if begun is not None:  # after `prepare`, whose statistics of a first batch are in the model already
        model.load_state_dict(begun.kept(), strict=False)
    try:
        if on_progress is None and here.rank == 0:
            with Live() as live:
                result = run_phases(model, material.feed, run, asked, material.score, material.preview, live)
        else:
            result = run_phases(model, material.feed, run, asked, material.score, material.preview, on_progress)
        if model.settles and here.rank == 0 and not result.stopped:
            _settle(run, min(model.settles, result.images), material.feed)
    finally:
        material.feed.close()
    return Run(run.path)


@torch.no_grad()
def _settle(run: Run, samples: int, feed: Feed) -> None:
    """Lets both weights of a finished run measure anew what they keep of training pictures. Critics, which they lack, play no part."""
    logger.info("measuring what the weights keep of training pictures")
    for name in ("weights", "last"):
        model = runs.load(run.path / f"{name}.safetensors", get, feed.device)
        model.settle(feed(i) for i in range(max(1, samples // feed.batch)))
        run.write_weights(name, model)
    run.log({"step": run.facts["step"], "images": run.images, "settled": samples})


def _fixed(held: Dataset, model: Method, count: int, device: torch.device) -> Batch:
    """The first held-out samples, always the same: at most `count` pictures of each stream (of grids at least one)."""
    count //= max(1, *(need.pictures for need in model.needs.values() if need.kind != "examples"))
    count = min(max(1, count), *(held.lengths[name] for name in model.needs))
    samples = held.batch(0, count, seed=0)
    return {n: (to_float(s) if s.dtype == torch.uint8 else s).to(device) for n, s in samples.items()}


def _new_folder(method: str, spec: str) -> Path:
    """runs/METHOD-DATA, or the same with the first free number."""
    name = method + "-" + re.sub(r"\W+", "-", spec).strip("-")
    taken = [Path("runs") / (name if n == 1 else f"{name}-{n}") for n in range(1, 10_000)]
    return next(path for path in taken if not path.exists())


def _wait(world: int) -> None:
    if world > 1:
        torch.distributed.barrier()
