"""The figures of retargeting: on the procedural test grid, on real motions, without the triplet loss, its speed.

    python benchmarks/motion.py OUT [--images 1.2M] [--real MOCAP] [--videos FOLDER FOLDER]      trains what OUT does not hold yet
    python benchmarks/motion.py OUT --step                                                       a step against a plain transcription

OUT/default and OUT/no-triplet are runs (about 28 minutes each for 1.2M clips on one idle core); OUT/figures.json and OUT/report are
written. MOCAP: a folder of BVH and AMC files, of which the trained models have seen nothing. FOLDERs: OpenPose files of two videos, each
put on the other's body.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

import unweave as uw
from unweave import retargeting
from unweave.body import ROOT, height, limbs
from unweave.cli.parsing import count
from unweave.data import clips
from unweave.data.feed import Feed
from unweave.data.motion import BODIES, Clips, MotionSet, bodies, stripped
from unweave.methods.retarget import CORNERS, PRESETS, Retarget
from unweave.metrics import motion

BATCH = 16


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("out", type=Path)
    words.add_argument("--images", default="1.2M")
    words.add_argument("--real", type=Path)
    words.add_argument("--videos", nargs=2)
    words.add_argument("--pairs", type=int, default=500)
    words.add_argument("--step", action="store_true")
    wish = words.parse_args()
    torch.set_num_threads(1)  # small one-dimensional networks lose by more
    if wish.step:
        print(json.dumps(steps(), indent=2))
        return
    figures: dict[str, object] = {}
    for preset in ("default", "no-triplet"):
        folder = wish.out / preset
        if not (folder / "config.json").exists():
            uw.train("retarget", "motion", preset=preset, batch=BATCH, images=count(wish.images, "--images"), precision="fp32", out=folder)
        elif not uw.resume(folder).finished:
            raise SystemExit(f"{folder} was stopped: run this again to go on.")
        report = uw.evaluate(folder, "motion@test", wish.out / "report" / preset, pairs=wish.pairs)
        figures[preset] = report.json()
    model = uw.load(wish.out / "default")
    if wish.real:
        figures["real"] = {name: {k: e.plain() for k, e in found.items()} for name, found in real(model, wish.real, wish.pairs).items()}
    if wish.videos:
        figures["videos"] = videos(model, *wish.videos, wish.out)
    (wish.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(wish.out / "figures.json")


def real(model: Retarget, folder: Path, pairs: int) -> dict[str, dict[str, motion.Estimate]]:
    """The same figures on real motions, put on the test's bodies and seen from the seven angles."""
    import numpy as np

    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".bvh", ".amc"))
    people = bodies(BODIES["test"], np.random.default_rng(7), named=True)
    grid = Clips([stripped(clips.read(path)) for path in paths], people, 64)
    with torch.no_grad():
        return motion.evaluate(model.retarget, model.encode, grid, pairs)


def videos(model: Retarget, first: str, second: str, out: Path) -> dict[str, dict[str, float]]:
    """Two videos, each on the other's body: how much limbs change their length and joints tremble, before and after."""
    found = {}
    for one, other in ((first, second), (second, first)):
        name = f"{Path(one).name}-on-{Path(other).name}"
        for ending in (".gif", ".npz"):
            path, _ = retargeting.retarget(model, one, other, one, out / f"{name}{ending}")
        before, after = retargeting.clip(one).joints, clips.read(path).joints
        found[name] = {
            f"{what}_{when}": value for when, joints in (("before", before), ("after", after)) for what, value in still(joints).items()
        }
    return found


def still(joints: torch.Tensor) -> dict[str, float]:
    """jitter: mean size of the second difference of joints about the hips, heights a frame squared.

    limbs: standard deviation of the lengths of thighs and shins."""
    at = (joints - joints[:, ROOT : ROOT + 1]) / height(joints)
    lengths = torch.linalg.vector_norm(limbs(joints), dim=-1)[:, [9, 10, 12, 13]] / height(joints)
    return {"jitter": torch.linalg.vector_norm(at.diff(n=2, dim=0), dim=-1).mean().item(), "limbs": lengths.std(0).mean().item()}


def steps() -> dict[str, float]:
    """Seconds of a step as it is, and as a plain transcription of the paper has it (see `plain`), medians of five, on one thread."""
    data = uw.data("motion@train", size=64)
    model = Retarget(PRESETS["default"])
    model.prepare(data.batch(0, BATCH, 0))
    feed, optimiser = Feed(data, BATCH), torch.optim.Adam(model.parameters())
    from unweave.method import Progress

    def ours(position: int) -> torch.Tensor:
        return model.recombine_loss(feed(position), Progress(1, 0, 0.0, torch.Generator().manual_seed(0))).total

    found = {}
    for name, loss in {"ours": ours, "plain": lambda position: plain(model, data, position)}.items():
        taken = []
        for position in range(6):
            start = time.process_time()
            optimiser.zero_grad()
            loss(position).backward()
            optimiser.step()
            taken.append(time.process_time() - start)
        found[name] = sorted(taken[1:])[2]
    return found | {"times": found["plain"] / found["ours"]}


def plain(model: Retarget, data: MotionSet, position: int) -> torch.Tensor:
    """Clip by clip and call by call: each sample projected by itself, two passes of three encoders for x_111 and x_222, more
    for the triplets, eight calls of the decoder."""
    from unweave import losses

    rows = data._order("grid", torch.arange(position * BATCH, (position + 1) * BATCH).numpy(), 0)
    samples = []
    for row in rows.tolist():
        w, b, d = data._windows[row], data._bodies[row], data._degrees[row]
        one = [
            data.truth.clips(torch.tensor([w[i]]), torch.tensor([b[j]]), torch.tensor([float(d[k])]))[0]
            for i in range(2)
            for j in range(2)
            for k in range(2)
        ]
        samples.append(torch.stack(one).unflatten(0, (2, 2, 2)))
    grid = torch.stack(samples)
    still = 28

    def code(network: str, corner: tuple[int, int, int]) -> torch.Tensor:
        x = model.standard(grid[:, corner[0], corner[1], corner[2]])
        return getattr(model, network)(x if network == "motion" else x[:, :still])

    names = ("motion", "skeleton", "view")
    first, second = ({name: code(name, CORNERS[side]) for name in names} for side in (0, 1))
    total = torch.zeros(())
    for i, j, k in ((i, j, k) for i in range(2) for j in range(2) for k in range(2)):
        three = ((first, second)[i]["motion"], (first, second)[j]["skeleton"], (first, second)[k]["view"])
        made = model.draw(*three)
        true = model.standard(grid[:, i, j, k])
        total = total + losses.squared(made, true) + 0.1 * losses.squared(model._feet(model.joints(made)), model._feet(model.joints(true)))
    for k, name in enumerate(names):
        for anchor, near, far in ((2 + k, 0, 1), (5 + k, 1, 0)):
            a, p, n = (code(name, CORNERS[at]).flatten(1) for at in (anchor, near, far))
            total = total + losses.triplet(a, p, n)
    return total


if __name__ == "__main__":
    main()
