"""The trainer: runs the phases of any method. It knows no method, no data set and no measure.

One step, in this order: for each due phase, zero the gradients of its group, compute its terms under autocast, go back to the group's
parameters only, average the gradients over the processes, clip, and move. Then the running average of the weights, then `method.after`.

Randomness is seeded anew in every step from (seed, step, rank), and the feed is a function of one integer: so the state of a run is its
tensors and its step, and a run that was killed ends with the same bytes as one left alone.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from unweave.errors import UserError
from unweave.logs import Log, Tick, shows
from unweave.machine import Place, memory, pick_precision, place, signals
from unweave.method import Batch, Group, Method, Phase, Progress
from unweave.pictures import Sheet, draw
from unweave.runs import Run
from unweave.schedules import half_life, value

EMA_RAMP = 0.05  # an average's half-life is at most this share of the images so far (Karras et al. 2020): it must not keep the random start
MEASURED = 50  # steps after which a run given in minutes fixes its number of images


@dataclass(frozen=True)
class Settings:
    """How long, on what and how a run trains.

    images: pictures to read, all sets together; None with `minutes`, which measures first. batch: pictures of each set, for each process
    and micro batch. accumulate: micro batches a step. save_seconds: time between states on disk. snapshots: validations over the run.
    device: "auto", "cpu", "cuda", "cuda:1", "mps". precision: "bf16" computes the losses under autocast; "auto": where that is fast.
    """

    images: int | None = None
    minutes: float | None = None
    batch: int = 32
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    accumulate: int = 1
    save_seconds: float = 60.0
    snapshots: int = 20

    def __post_init__(self) -> None:
        if (self.images is None) == (self.minutes is None):
            raise UserError("Say how long to train: either a number of images or a number of minutes.")
        for name in ("images", "minutes", "batch", "accumulate", "snapshots"):
            number = getattr(self, name)
            if number is not None and not number > 0:
                raise UserError(f"{name} must be more than 0, not {number}.")


@dataclass(frozen=True)
class Result:
    """How a training ended. score: the best snapshot's; None without a score. stopped: interrupted (and saved) before its end."""

    step: int
    images: int
    seconds: float
    score: float | None
    stopped: bool


def _seed(*numbers: int) -> int:
    """One seed out of several numbers, without the near-collisions of sums."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1


# -- one step ------------------------------------------------------------------------------------------------------------------


class Training:
    """A method in training: its optimisers, the average of its weights (`average`, which edits use), and the step it stands at."""

    def __init__(self, method: Method, feed: Callable[[int], Batch], settings: Settings, here: Place):
        self.method, self.feed, self.settings, self.here = method.to(here.device), feed, settings, here
        self.step, self.seconds, self.waited = 0, 0.0, 0.0
        self.warm = (0, 0.0)  # step and seconds when the first, slower steps were over
        pictures = sum(need.pictures for need in method.needs.values())
        self.per_step = settings.batch * settings.accumulate * here.world * max(1, pictures)
        self.total = math.ceil(settings.images / self.per_step) if settings.images else None
        self.bf16 = (pick_precision(here.device) if settings.precision == "auto" else settings.precision) == "bf16"
        self.parameters = {
            name: [p for network in group.networks for p in getattr(method, network).parameters() if p.requires_grad]
            for name, group in method.groups.items()
        }
        self.optimisers = {name: group.optimiser.build(self.parameters[name]) for name, group in method.groups.items()}
        self.averaged: list[Group] = [group for group in method.groups.values() if group.ema]
        self.average = copy.deepcopy(method) if self.averaged else method
        self.fresh = [phase for phase in method.phases if phase.fresh]

    @property
    def images(self) -> int:
        """Pictures read by the main phase so far, all sets, all processes."""
        return self.step * self.per_step

    @property
    def fraction(self) -> float:
        """How much of the run is done; by the clock as long as a run given in minutes has not fixed its length."""
        if self.total:
            return self.step / self.total
        return min(1.0, self.seconds / (60 * (self.settings.minutes or math.inf)))

    def advance(self, stop: bool, seconds: float) -> tuple[dict[str, float], bool]:
        """One step. -> the raw terms ("phase/term", averaged over micro batches and processes), and whether any process wants to stop."""
        seeds = (self.settings.seed, self.step, self.here.rank)
        torch.manual_seed(_seed(*seeds))  # for dropout and the like
        progress = Progress(self.step, self.images, self.fraction, torch.Generator().manual_seed(_seed(*seeds, 1)))
        position = self.step * self.settings.accumulate * (1 + len(self.fresh))
        main = self._read(position)
        values: dict[str, Tensor] = {}
        for phase in self.method.phases:
            if phase.due(progress):
                batches = self._read(position + self.settings.accumulate * (1 + self.fresh.index(phase))) if phase.fresh else main
                values |= {f"{phase.name}/{term}": number for term, number in self._phase(phase, batches, progress).items()}
        self.step += 1
        self.reduce([b for b in self.method.buffers() if b.is_floating_point()])  # statistics of BatchNorm

        facts = torch.stack([*values.values(), *torch.tensor([float(stop), seconds], device=self.here.device)])
        self.reduce([facts])
        *numbers, stops, self.seconds = facts.tolist()
        logged = dict(zip(values, numbers, strict=True))
        for name, number in logged.items():
            if not math.isfinite(number):
                phase_name, _, term = name.partition("/")
                raise UserError(
                    f'The training broke down in step {self.step}: "{term}" of phase "{phase_name}" is {number}; '
                    "the last good state is kept: train anew with a lower learning rate or with --precision fp32."
                )
        self._follow()
        self.method.after(self.step, logged)
        return logged, stops > 0

    def _read(self, position: int) -> list[Batch]:
        started = time.perf_counter()
        batches = [dict(self.feed(position + i)) for i in range(self.settings.accumulate)]  # phases may add to their batch
        self.waited += time.perf_counter() - started
        return batches

    def _phase(self, phase: Phase, batches: list[Batch], progress: Progress) -> dict[str, Tensor]:
        group, parameters, optimiser = self.method.groups[phase.group], self.parameters[phase.group], self.optimisers[phase.group]
        self.method.train(phase.others == "train")
        for network in group.networks:
            getattr(self.method, network).train()
        optimiser.zero_grad()
        values: dict[str, Tensor] = {}
        for batch in batches:
            with torch.autocast(self.here.device.type, torch.bfloat16, enabled=self.bf16 and phase.precision == "auto"):
                terms = phase.loss(batch, progress)
                total = terms.total
            (total * (phase.gain / len(batches))).backward(inputs=parameters)
            for term, number in terms.values.items():
                values[term] = values.get(term, 0.0) + number.detach().float() / len(batches)
        for p in parameters:  # reached or not: every process moves the same ones
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        self.reduce([p.grad for p in parameters if p.grad is not None])
        values["gradient"] = torch.nn.utils.clip_grad_norm_(parameters, group.clip or math.inf).float()
        for options in optimiser.param_groups:
            options["lr"] = value(group.optimiser.lr, progress.fraction)
        optimiser.step()
        return values

    def reduce(self, tensors: list[Tensor]) -> None:
        """Average tensors over the processes, in place, in one flat all-reduce."""
        if self.here.world == 1 or not tensors:
            return
        flat = torch.cat([t.flatten() for t in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, (flat / self.here.world).split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    @torch.no_grad()
    def _follow(self) -> None:
        """The average goes its way towards the weights."""
        for group in self.averaged:
            decay = half_life(min(group.ema or 0.0, EMA_RAMP * self.images), self.per_step)
            for network in group.networks:
                far, near = (dict(getattr(m, network).named_buffers()) for m in (self.average, self.method))
                moving = list(zip(getattr(self.average, network).parameters(), getattr(self.method, network).parameters(), strict=True))
                for name, buffer in near.items():
                    if group.buffers == "average" and buffer.is_floating_point():
                        moving.append((far[name], buffer))
                    else:
                        far[name].copy_(buffer)
                for slow, fast in moving:
                    slow.lerp_(fast, 1 - decay)

    @torch.no_grad()
    def settled(self) -> Method:
        """The model as edits use it, in eval mode: the average, with everything that is not averaged as it is now."""
        if self.averaged:
            moving = tuple(f"{network}." for group in self.averaged for network in group.networks)
            here = self.average.state_dict()
            for key, tensor in self.method.state_dict().items():
                if not key.startswith(moving):
                    here[key].copy_(tensor)
        return self.average.eval()

    # -- its state -------------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Everything that an exact resume needs beside the step."""
        state = {f"method/{k}": v for k, v in self.method.state_dict().items()}
        if self.averaged:
            state |= {f"average/{k}": v for k, v in self.average.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for i, entries in optimiser.state_dict()["state"].items():
                state |= {f"optimiser/{name}/{i}/{k}": v for k, v in entries.items()}
        return state

    def restore(self, tensors: dict[str, Tensor], step: int, seconds: float) -> None:
        """The inverse of `tensors`."""
        parts: dict[str, dict[str, Tensor]] = {"method": {}, "average": {}, "optimiser": {}}
        for key, tensor in tensors.items():
            parts[key.partition("/")[0]][key.partition("/")[2]] = tensor
        self.method.load_state_dict(parts["method"])
        if self.averaged:
            self.average.load_state_dict(parts["average"])
        for name, optimiser in self.optimisers.items():
            entries: dict[int, dict[str, Tensor]] = {}
            for key, tensor in parts["optimiser"].items():
                group, i, field = key.split("/")
                if group == name:
                    entries.setdefault(int(i), {})[field] = tensor
            optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
        self.step, self.seconds = step, seconds


# -- the run -------------------------------------------------------------------------------------------------------------------


def _fit(job: Training, cost: float) -> tuple[int, int]:
    """Steps and snapshots of a run given in minutes, when a snapshot costs `cost` seconds: validation may take a tenth of the time."""
    whole, (step, seconds) = 60 * (job.settings.minutes or 0), job.warm if job.warm[0] < job.step else (0, 0.0)
    pace = job.method.dearer * (job.seconds - seconds) / (job.step - step)
    snapshots = max(1, min(job.settings.snapshots, int(0.1 * whole / max(cost, 1e-9))))
    left = whole - job.seconds - cost * (snapshots + 1)
    return job.step + max(1, int(left / pace)), snapshots


def _marks(total: int, snapshots: int) -> set[int]:
    """The steps after which a run is validated."""
    return {round(total * (i + 1) / snapshots) for i in range(snapshots)}


def train(
    method: Method,
    feed: Callable[[int], Batch],
    run: Run,
    settings: Settings,
    score: Callable[[Method], dict[str, float]] | None = None,
    preview: Callable[[Method], Sheet] | None = None,
    on_progress: Callable[[Tick], None] | None = None,
) -> Result:
    """Train a method into a run folder, from where the folder stands. Ctrl-C finishes the step in hand and saves.

    feed: position -> batch of this process, float on the device. score: figures of a snapshot on held-out data; that with the highest
    "score" since all phases began is kept as the run's weights (until then and without a score, the latest). preview: a sheet of samples.
    Both see the averaged weights in eval mode, without gradients, and only in the first process. Raises UserError when a loss is not a
    number, when memory or disk run out, or when the number of processes has changed.
    """
    here = place(settings.device)
    job = Training(method, feed, settings, here)
    best: float | None = None
    if state := run.read_state():
        tensors, facts = state
        try:
            if (world := facts["world"]) != here.world:
                raise UserError(f"This run is of {world} processes at once, not of {here.world}: resume it with as many as before.")
            job.restore(tensors, facts["images"] // job.per_step, facts["seconds"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(f"The state of {run.path} is of another version of this method: train anew.") from error
        best = facts["best"] if facts["per_step"] == job.per_step else None  # changed settings read other pictures and score otherwise
    log = Log(run, job.images) if here.rank == 0 else None
    clock, saved = time.monotonic() - job.seconds, time.monotonic()
    begun, before, pace, stop = job.step, job.seconds, 0.0, False

    def figures() -> dict[str, float]:
        torch.manual_seed(_seed(settings.seed, -1))  # the next step seeds its own
        with torch.no_grad():
            return score(job.settled()) if score and log else {}

    def save() -> None:
        run.write_weights("last", job.settled())
        facts = {"step": job.step, "images": job.images, "seconds": job.seconds, "best": best}
        facts |= {"per_step": job.per_step, "world": here.world}
        run.write_state(job.tensors(), facts)

    with signals() as heard, memory(settings.batch):
        while not stop and (job.total is None or job.step < job.total):
            started = time.monotonic()
            logged, stop = job.advance(bool(heard), started - clock)
            took = time.monotonic() - started
            pace = took if pace == 0 else 0.9 * pace + 0.1 * took
            if job.step <= begun + MEASURED // 5:
                job.warm = (job.step, job.seconds)
            if job.total is None and (job.step >= MEASURED or job.seconds > 15 * (settings.minutes or 0)):
                started = time.monotonic()
                figures()
                cost = torch.tensor([time.monotonic() - started if log else 0.0], device=here.device)
                job.reduce([cost])
                job.total, snapshots = _fit(job, cost.item() * here.world)
                settings = replace(settings, images=job.total * job.per_step, minutes=None, snapshots=snapshots)
                if log:
                    run.settle(images=settings.images, minutes=None, snapshots=snapshots)
            if log is None:
                continue
            last, spent = job.step == job.total, time.monotonic() - clock - before
            snapshot = job.total is not None and job.step in _marks(job.total, settings.snapshots)
            log.add(logged)
            if last or job.step % log.every(job.total) == 0:
                rates = {name: optimiser.param_groups[0]["lr"] for name, optimiser in job.optimisers.items()}
                log.write(job.step, job.images, job.seconds, job.per_step / pace, job.waited / spent, rates)
            if preview and (snapshot or shows(job.step)):
                with torch.no_grad():
                    run.write_sample(job.images, draw(preview(job.settled())))
            if snapshot:
                found = figures()
                number = found.get("score")
                number = -math.inf if number is not None and math.isnan(number) else number
                better = number is None or best is None or number > best
                if better:
                    best = number if job.fraction > max(p.start for p in method.phases) else None  # it lacks the last phase
                    run.write_weights("weights", job.settled())
                log.snapshot(job.step, job.images, found, better)
            if snapshot or last or stop or time.monotonic() - saved > settings.save_seconds:
                save()
                saved = time.monotonic()
            if on_progress:
                done = method.work(begun / (job.total or 1), job.fraction)
                left = spent * method.work(job.fraction, 1) / done if job.total else 60 * (settings.minutes or 0) - job.seconds
                on_progress(Tick(job.step, job.total, job.images, job.per_step / pace, max(0.0, left), logged, best))
    if log:
        log.close()
        run.write_card()
    if here.world > 1:
        dist.barrier()  # nobody goes on before the first process has written all
    return Result(job.step, job.images, job.seconds, best, stopped=job.total is None or job.step < job.total)
