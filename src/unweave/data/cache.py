"""Arrays kept on disk: opened memory-mapped, or made anew when they are missing, damaged or of another version."""
import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave.errors import UserError

log = logging.getLogger("unweave.data")


def folder() -> Path:
    """Where unweave keeps what it can make again: UNWEAVE_CACHE, else `unweave` in the user's cache folder."""
    if own := os.environ.get("UNWEAVE_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "unweave" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "unweave"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unweave"


def key(**parts: Any) -> str:
    """A short name for a content: equal parts, equal key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def array(key: str, name: str, shape: tuple[int, ...], fill: Callable[[Path], None], what: str = "pictures") -> NDArray[Any]:
    """The uint8 array `name` of `key`, read-only and memory-mapped.

    When there is none yet, `fill(path)` writes the pictures into an array file of zeros; that file gets its name when it is whole.
    Several processes may ask at once: one makes it, the others wait. Raises UserError when the disk has no room for it."""
    place = folder() / key
    path, sums = place / f"{name}.npy", place / f"{name}.json"
    with _one_at_a_time(place, name):
        found = _open(path, sums, shape)
        if found is not None:
            return found
        size = int(np.prod(shape))
        free = shutil.disk_usage(place).free
        if size > free:
            raise UserError(f"{shape[0]:,} {what} need {size / 1e6:,.0f} MB in {place.parent} and only {free / 1e6:,.0f} MB are free; "
                            "make room, or set UNWEAVE_CACHE to a folder on another disk.")
        log.info("preparing %s %s (once; kept in %s)", f"{shape[0]:,}", what, place)
        working = place / f"{name}.{os.getpid()}.npy"
        try:
            made = np.lib.format.open_memmap(working, "w+", np.uint8, shape)
            made.flush()
            fill(working)
            sums.write_text(json.dumps({"shape": shape, "sum": _sum(np.load(working, mmap_mode="r"))}))
            os.replace(working, path)
        finally:
            working.unlink(missing_ok=True)
    found = _open(path, sums, shape)
    assert found is not None, path
    return found


def _open(path: Path, sums: Path, shape: tuple[int, ...]) -> NDArray[Any] | None:
    try:
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
        right = json.loads(sums.read_text()) == {"shape": list(shape), "sum": _sum(pictures)} and pictures.shape == shape
    except (OSError, ValueError, KeyError):
        return None
    return pictures if right else None


def _sum(pictures: NDArray[Any]) -> int:
    """A checksum of up to 256 pictures from all over the file: reading all of a large set would take longer than it is worth."""
    total = 0
    for i in np.unique(np.linspace(0, len(pictures) - 1, 256).astype(int)):
        total = zlib.crc32(pictures[i].tobytes(), total)
    return total


@contextlib.contextmanager
def _one_at_a_time(place: Path, name: str) -> Iterator[None]:
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / f"{name}.lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write to the cache folder {place.parent} ({error.strerror}); "
                        "set UNWEAVE_CACHE to a folder that can be written.") from error
    with lock:
        try:
            import fcntl
            fcntl.flock(lock, fcntl.LOCK_EX)                     # given back when the process ends, however it ends
        except ImportError:                                      # Windows: two processes may both make it; the result is the same
            pass
        yield
