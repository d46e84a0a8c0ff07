"""Runs as processes: killed at any moment and resumed, and two processes that are one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
SCRIPT = str(HERE / "tiny_run.py")
FILES = ("weights.safetensors", "last.safetensors")


def start(folder: Path, *arguments: object, processes: int = 1, **environment: str) -> subprocess.Popen:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *launcher, SCRIPT, str(folder), *map(str, arguments)]
    own = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=os.environ | own, start_new_session=True, **pipes)


def finish(process: subprocess.Popen) -> str:
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    return said


def test_killed_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Three SIGKILLs, at random moments after the run's folder is there; states are written all the time."""
    moments = random.Random(0)
    whole = start(tmp_path / "whole", 120, 4)
    for _ in range(3):
        process = start(tmp_path / "killed", 120, 4, 0.005)
        while not (tmp_path / "killed" / "log.jsonl").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.005)
        time.sleep(moments.uniform(0.05, 0.6))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "done 120" in finish(start(tmp_path / "killed", 120, 4))
    assert "done 120" in finish(whole)
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_sigterm_finishes_the_step_and_saves(tmp_path: Path) -> None:
    process = start(tmp_path / "run", 100_000, 4)
    while not (tmp_path / "run" / "state" / "state.safetensors").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert "stopped" in finish(process)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no process groups")
def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    """No random draws and no batch statistics: equal up to the order of sums. The script itself compares the replicas' checksums."""
    two = start(tmp_path / "two", 20, 4, processes=2, TINY_QUIET="1")
    one = start(tmp_path / "one", 20, 8, TINY_QUIET="1")
    assert "done 20" in finish(one)
    assert finish(two).count("done 20") == 2
    for name in FILES:
        mine, other = load_file(tmp_path / "two" / name), load_file(tmp_path / "one" / name)
        for key in mine:
            torch.testing.assert_close(mine[key], other[key], rtol=1e-4, atol=1e-5)
