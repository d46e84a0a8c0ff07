"""A run of the tiny method, as a process: tiny_run.py FOLDER STEPS BATCH [SLEEP]. Creates the folder, or goes on in it."""

import os
import sys
import time
from pathlib import Path

import torch
from tiny import Config, Tiny, pictures

from unweave.machine import leave, place
from unweave.runs import Run
from unweave.train import Settings, train

if __name__ == "__main__":
    folder, steps, batch = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    sleep = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    torch.set_num_threads(1)
    here = place("cpu")
    noise = 0.0 if os.environ.get("TINY_QUIET") else 0.1
    settings = Settings(images=steps * batch * 2 * here.world, batch=batch, device="cpu", precision="fp32", save_seconds=0.05, snapshots=5)

    def feed(position: int) -> dict[str, torch.Tensor]:
        time.sleep(sleep)
        return pictures(position * here.world + here.rank, batch)

    torch.manual_seed(0)
    method = Tiny(Config(noise=noise, dropout=0.0 if os.environ.get("TINY_QUIET") else 0.1))
    if here.rank == 0 and not (folder / "config.json").exists():
        Run.create(folder, {"method": "tiny", "config": method.settings(), "settings": {"images": settings.images}})
    if here.world > 1:
        torch.distributed.barrier()
    held = pictures(0, 8, seed=1)
    result = train(method, feed, Run(folder), settings, lambda m: m.validate(held, None), lambda m: m.preview(held))
    if here.world > 1:
        sums = torch.stack([t.double().sum() for t in method.state_dict().values()])
        both = [torch.zeros_like(sums) for _ in range(here.world)]
        torch.distributed.all_gather(both, sums)
        assert all(torch.equal(both[0], other) for other in both), "the replicas have drifted apart"
    # In one write: two processes share the output, and words written apart get mixed.
    print(f"{'stopped' if result.stopped else 'done'} {result.step}\n", end="", flush=True)
    leave(0)
