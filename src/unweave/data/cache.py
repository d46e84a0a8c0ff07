"""Arrays kept on disk: opened memory-mapped, or made anew when they are missing, damaged or of another version."""

import contextlib
import errno
import hashlib
import json
import logging
import os
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


def array(key: str, name: str, shape: tuple[int, ...], fill: Callable[[Path], Any], what: str = "pictures") -> tuple[NDArray[Any], Any]:
    """The uint8 array `name` of `key`, read-only and memory-mapped, and what `fill` said about it.

    When there is none yet, `fill(path)` writes the pictures into an array file of zeros and may return notes, as JSON can hold them;
    the file gets its name when it is whole. Several processes may ask at once: one makes it, the others wait.
    Raises UserError when the disk has no room for it."""
    place = folder() / key
    path, sums = place / f"{name}.npy", place / f"{name}.json"
    with _one_at_a_time(place, name):
        found = _open(path, sums, shape)
        if found is not None:
            return found
        log.info("preparing %s %s (once; kept in %s)", f"{shape[0]:,}", what, place)
        working = place / f"{name}.{os.getpid()}.npy"
        try:
            _reserve(working, shape)
            notes = fill(working)
            sums.write_text(json.dumps({"shape": shape, "sum": _sum(np.load(working, mmap_mode="r")), "notes": notes}))
            os.replace(working, path)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise UserError(
                f"{shape[0]:,} {what} need {int(np.prod(shape)) / 1e6:,.0f} MB in {place.parent}, and the disk is full; "
                "make room, or set UNWEAVE_CACHE to a folder on another disk."
            ) from error
        finally:
            working.unlink(missing_ok=True)
    found = _open(path, sums, shape)
    assert found is not None, path
    return found


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """An array file of zeros whose room on the disk is really taken: writing to a mapped file on a full disk would kill the process."""
    np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise  # else the file system cannot reserve


def _open(path: Path, sums: Path, shape: tuple[int, ...]) -> tuple[NDArray[Any], Any] | None:
    try:
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
        known = json.loads(sums.read_text())
        if pictures.shape == shape and known["shape"] == list(shape) and known["sum"] == _sum(pictures):
            return pictures, known["notes"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


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
        raise UserError(
            f"cannot write to the cache folder {place.parent} ({error.strerror}); set UNWEAVE_CACHE to a folder that can be written."
        ) from error
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the process ends, however it ends
        except ImportError:  # Windows: two processes may both make it; the result is the same
            pass
        yield
