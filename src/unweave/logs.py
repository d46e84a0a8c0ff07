"""What a training says while it runs: lines of JSON, TensorBoard where it is installed, and one live line in the terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live as RichLive
from rich.text import Text

if TYPE_CHECKING:
    from unweave.runs import Run


@dataclass(frozen=True)
class Tick:
    """What `on_progress` hears after each step. total: steps of the whole run, None until known. losses: raw terms, "phase/term"."""

    step: int
    total: int | None
    images: int
    images_per_second: float
    seconds_left: float
    losses: dict[str, float]
    score: float | None = None


class Log:
    """The log of a run: raw terms, averaged since the last line. TensorBoard shows the same numbers."""

    def __init__(self, run: Run, images: int):
        self.run = run
        self.sums: dict[str, tuple[float, int]] = {}
        run.cut_log(images)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.board: Any = None
        else:
            self.board = SummaryWriter(str(run.path / "tensorboard"), purge_step=images + 1)

    def every(self, total: int | None) -> int:
        """Steps from line to line: by the step, not by the clock, and about a thousand lines for a long run."""
        return max(10, (total or 0) // 1000)

    def add(self, terms: dict[str, float]) -> None:
        """The terms of one step."""
        for name, number in terms.items():
            total, n = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + number, n + 1

    def write(self, step: int, images: int, seconds: float, speed: float, waiting: float, lr: dict[str, float]) -> None:
        """A line. speed: images a second; waiting: share of the time spent on waiting for data; lr: by group."""
        terms = {name: total / n for name, (total, n) in self.sums.items()}
        self.sums.clear()
        line = {"step": step, "images": images, "seconds": round(seconds, 2), "images_per_second": round(speed, 1)}
        self.run.log({**line, "waiting": round(waiting, 4), "lr": lr, "terms": terms})
        self._board(images, {**terms, **{f"lr/{k}": v for k, v in lr.items()}, "speed/images_per_second": speed})

    def snapshot(self, step: int, images: int, figures: dict[str, float], best: bool) -> None:
        """A line for a validation."""
        self.run.log({"step": step, "images": images, "figures": figures, "best": best})
        self._board(images, {f"validation/{k}": v for k, v in figures.items()})

    def _board(self, images: int, numbers: dict[str, float]) -> None:
        if self.board:
            for name, number in numbers.items():
                self.board.add_scalar(name, number, images)

    def close(self) -> None:
        """Writes what TensorBoard still holds."""
        if self.board:
            self.board.close()


def shows(step: int) -> bool:
    """Steps with a sample sheet beside those of the snapshots: soon at first, then ever rarer."""
    hundreds = step // 100 if step % 100 == 0 else 0
    return step in (20, 50) or (hundreds > 0 and hundreds & (hundreds - 1) == 0)


def duration(seconds: float) -> str:
    """A time as people say it: 42 s, 3:07, 1:02:30."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def describe(tick: Tick) -> str:
    """One line: how far, how fast, how long yet, and the losses."""
    done = f"{100 * tick.step / tick.total:3.0f} %" if tick.total else "measuring"
    losses: dict[str, list[str]] = {}
    for name, number in tick.losses.items():
        phase, _, term = name.partition("/")
        if term != "gradient":
            losses.setdefault(phase, []).append(f"{term} {number:.3g}")
    said = " · ".join(", ".join(terms) for terms in losses.values())
    score = f" · best {tick.score:.3f}" if tick.score is not None else ""
    return f"{done} · {tick.images:,} images · {tick.images_per_second:.0f}/s · {duration(tick.seconds_left)} left{score} · {said}"


class Live:
    """The progress of a training for people: one line that changes in a terminal, a line every ten seconds without one.

    Give it to `train` as `on_progress`, inside a `with`.
    """

    def __init__(self, console: Console | None = None, seconds: float = 10.0):
        self.console = console or Console(stderr=True)
        self.seconds = seconds
        self.said = -float("inf")
        self.live: RichLive | None = None

    def __enter__(self) -> Live:
        if self.console.is_terminal:
            self.live = RichLive(console=self.console, auto_refresh=False)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, tick: Tick) -> None:
        now = time.monotonic()
        last = tick.step == tick.total
        if now - self.said < (0.25 if self.live else self.seconds) and not last:
            return
        self.said = now
        line = Text(describe(tick), no_wrap=True, overflow="ellipsis")
        if self.live:
            self.live.update(line, refresh=True)
        else:
            self.console.print(line, soft_wrap=True)
