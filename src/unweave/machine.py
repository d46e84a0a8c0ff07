"""The machine a training runs on: its device and precision, its signals, and the end of its memory."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist

from unweave.errors import UserError


@dataclass(frozen=True)
class Place:
    """This process among `world` of them, and its device."""

    device: torch.device
    rank: int = 0
    world: int = 1


def place(device: str = "auto") -> Place:
    """The device by its name, and this process's number when launched by torchrun. Raises UserError for a device that is not there."""
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    # Without the hint, torchrun on a machine with processors alone would start processes that know nothing of each other.
    state = PartialState(cpu=device == "cpu" or sum(there.values()) == 1 or parse_flag_from_env("ACCELERATE_USE_CPU"))
    if device == "auto" or state.num_processes > 1:
        return Place(state.device, state.process_index, state.num_processes)
    kind = device.split(":")[0]
    if not there.get(kind):
        raise UserError(f'There is no device "{device}" on this machine; there is: {", ".join(k for k, v in there.items() if v)}.')
    return Place(torch.device(device))


def pick_precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """Whether losses gain from bf16 on this device: by what the processor can do, never by timing, so that a resumed run does the same."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type != "cpu":
        return "fp32"
    if platform.system() == "Linux":
        words = set(Path("/proc/cpuinfo").read_text().split())
        return "bf16" if words & {"avx512_bf16", "amx_bf16"} else "fp32"
    return "fp32"


@contextmanager
def signals() -> Iterator[list[float]]:
    """Times at which Ctrl-C or a polite kill arrived: the step in hand is finished first. A second Ctrl-C, a second later, ends at once."""
    heard: list[float] = []

    def note(number: int, _: Any) -> None:
        if heard and number == signal.SIGINT and time.monotonic() - heard[0] > 1:
            raise KeyboardInterrupt
        heard.append(time.monotonic())

    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def memory(batch: int) -> Iterator[None]:
    """Out of memory, in the words of any device, as one sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        words = ("out of memory", "not enough memory", "can't allocate memory")
        if isinstance(error, RuntimeError) and not any(word in str(error).lower() for word in words):
            raise
        smaller = f"--batch {batch // 2}" if batch > 1 else "a smaller --size"
        raise UserError(f"There is not enough memory for batches of {batch}: try {smaller}.") from error


def leave(code: int) -> None:
    """Ends this process if it is one of several; call it last. An ordinary exit lets gloo's threads abort now and then."""
    if not (dist.is_available() and dist.is_initialized()):
        return
    if code == 0:
        dist.barrier()
        dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def keep_memory() -> None:
    """Let this process keep the memory that it frees instead of handing it back to the system after each tensor (glibc only).

    Tensors of one step are those of the next. Giving large blocks back and asking for them again cost a tenth of a step on two cores.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return  # another C library: it works without
    trim_threshold, mmap_threshold, large = -1, -3, 2**30
    mallopt(mmap_threshold, large)
    mallopt(trim_threshold, large)
