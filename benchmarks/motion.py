"""The figures of retargeting: on the procedural test grid, on real motions, without the triplet loss, its speed.

    python benchmarks/motion.py OUT [--images 2.4M] [--real MOCAP] [--videos FOLDER FOLDER]      trains what OUT does not hold yet
    python benchmarks/motion.py OUT --step                                                       a step against a plain transcription

OUT/default, OUT/no-triplet and OUT/no-cross are runs (about 20 minutes each for 2.4M clips on one idle core); OUT/figures.json and
OUT/report are written. MOCAP: a folder of BVH and AMC files, of which the trained models have seen nothing. FOLDERs: OpenPose files of two
videos, each put on the other's body.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import nn

import unweave as uw
from unweave import retargeting
from unweave.body import FEET, OTHERS, ROOT, Clip, height, limbs
from unweave.cli.parsing import count
from unweave.data import clips
from unweave.data.feed import Feed
from unweave.data.motion import BODIES, Clips, MotionSet, bodies, stripped
from unweave.method import Adam, Progress
from unweave.methods.retarget import CORNERS, PRESETS, Retarget
from unweave.metrics import motion

BATCH = 16
PUBLISHED = 64  # grids in a step of the paper


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("out", type=Path)
    words.add_argument("--images", default="2.4M")
    words.add_argument("--real", type=Path)
    words.add_argument("--videos", nargs=2)
    words.add_argument("--pairs", type=int, default=500)
    words.add_argument("--presets", default="default,no-triplet,no-cross")
    words.add_argument("--step", action="store_true")
    wish = words.parse_args()
    torch.set_num_threads(1)  # small one-dimensional networks lose by more
    if wish.step:
        print(json.dumps({f"{batch} grids": steps(batch) for batch in (BATCH, PUBLISHED)}, indent=2))
        return
    figures: dict[str, object] = {}
    for preset in wish.presets.split(","):
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
    """Two videos, each on the other's body: how much joints tremble, limbs change their length and feet slide, before and after."""
    found = {}
    for one, other in ((first, second), (second, first)):
        name = f"{Path(one).name}-on-{Path(other).name}"
        for ending in (".gif", ".npz"):
            path, _ = retargeting.retarget(model, one, other, one, out / f"{name}{ending}")
        both: dict[str, Clip] = {"before": retargeting.clip(one), "after": clips.read(path)}
        found[name] = {f"{what}_{when}": value for when, clip in both.items() for what, value in still(clip.joints, clip.fps).items()}
    return found


def still(joints: torch.Tensor, fps: float) -> dict[str, float]:
    """jitter: mean size of the second difference of joints about the hips, heights a frame squared.

    limbs: standard deviation of the lengths of thighs and shins, heights. feet: mean speed of the slower foot, which stands, heights a
    second."""
    tall = height(joints)
    at = (joints - joints[:, ROOT : ROOT + 1]) / tall
    lengths = torch.linalg.vector_norm(limbs(joints), dim=-1)[:, [9, 10, 12, 13]] / tall
    feet = torch.linalg.vector_norm(joints[:, list(FEET)].diff(dim=0), dim=-1).amin(1) * fps / tall
    return {
        "jitter": torch.linalg.vector_norm(at.diff(n=2, dim=0), dim=-1).mean().item(),
        "limbs": lengths.std(0).mean().item(),
        "feet": feet.mean().item(),
    }


def steps(batch: int) -> dict[str, float]:
    """Seconds of a step as it is, of the paper's networks as they are here, and of a plain transcription of these (see `plain`).

    Medians of nine, on one thread, in turn, so that all share what else the machine does."""
    data = uw.data("motion@train", size=64)
    feed = Feed(data, batch)
    taken: dict[str, list[float]] = {"ours": [], "paper": [], "plain": []}
    models: dict[str, Retarget | Plain] = {"ours": Retarget(PRESETS["default"]), "paper": Retarget(PRESETS["paper"]), "plain": Plain()}
    optimisers = {}
    for name, model in models.items():
        if isinstance(model, Retarget):
            model.prepare(data.batch(0, batch, 0))
        optimiser = model.groups["networks"].optimiser if isinstance(model, Retarget) else Adam(1e-3)
        optimisers[name] = optimiser.build(list(model.parameters()))
    for position in range(10):
        for name, model in models.items():
            start = time.process_time()
            optimisers[name].zero_grad()
            if isinstance(model, Retarget):
                loss = model.recombine_loss(feed(position), Progress(1, 0, 0.0, torch.Generator().manual_seed(0))).total
            else:
                loss = plain(model, data, position, batch)
            loss.backward()
            optimisers[name].step()
            taken[name].append(time.process_time() - start)
    found = {name: sorted(seconds[1:])[4] for name, seconds in taken.items()}
    return found | {"times": found["plain"] / found["ours"]}


class Plain(nn.Module):
    """The paper's networks as anybody writes them down: clips (N, channels, T), `nn.Conv1d` with reflection, layer by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.motion = nn.Sequential()
        for before, after in ((30, 64), (64, 96), (96, 128)):
            self.motion.extend([nn.Conv1d(before, after, 8, 2, 3, padding_mode="reflect"), nn.LeakyReLU(0.2)])
        self.skeleton, self.view, self.decoder = nn.Sequential(), nn.Sequential(), nn.Sequential()
        for network, halve, end, numbers in (
            (self.skeleton, nn.MaxPool1d, nn.AdaptiveMaxPool1d, 16),
            (self.view, nn.AvgPool1d, nn.AdaptiveAvgPool1d, 8),
        ):
            for before, after in ((28, 32), (32, 48), (48, 64)):
                network.extend([nn.Conv1d(before, after, 7, 1, 3, padding_mode="reflect"), nn.LeakyReLU(0.2), halve(2)])
            network.extend([end(1), nn.Conv1d(64, numbers, 1), nn.Flatten()])
        for before, after in ((152, 128), (128, 64), (64, 30)):
            self.decoder.extend([nn.Upsample(scale_factor=2), nn.Conv1d(before, after, 7, 1, 3, padding_mode="reflect")])
            if after != 30:
                self.decoder.extend([nn.LeakyReLU(0.2), nn.Dropout(0.2)])
        self.mean, self.deviation = torch.zeros(30), torch.ones(30)

    def standard(self, clips: torch.Tensor) -> torch.Tensor:
        """Clips (N, T, 15, 2) -> standardised channels (N, 30, T)."""
        hips = clips[:, :, ROOT : ROOT + 1]
        velocity = torch.cat([torch.zeros_like(hips[:, :1]), hips.diff(dim=1)], 1)
        channels = torch.cat([clips[:, :, list(OTHERS)] - hips, velocity], 2).flatten(2).transpose(1, 2)
        return (channels - self.mean[:, None]) / self.deviation[:, None]

    def draw(self, motion: torch.Tensor, skeleton: torch.Tensor, view: torch.Tensor) -> torch.Tensor:
        still = torch.cat([skeleton, view], 1)[:, :, None].expand(-1, -1, motion.shape[2])
        return self.decoder(torch.cat([motion, still], 1))


def plain(model: Plain, data: MotionSet, position: int, batch: int) -> torch.Tensor:
    """Sample by sample and call by call, as a transcription of the paper goes.

    Each clip is projected by itself; each of three encoders is called for x_111, for x_222 and for its two anchors of triplets; each
    recombination is a call of the decoder."""
    from unweave import losses

    rows = data._order("grid", torch.arange(position * batch, (position + 1) * batch).numpy(), 0)
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
    still, names = 28, ("motion", "skeleton", "view")
    feet = [10, 13]  # of the 14 joints that are not the hips

    def code(network: str, corner: tuple[int, int, int]) -> torch.Tensor:
        x = model.standard(grid[:, corner[0], corner[1], corner[2]])
        return getattr(model, network)(x if network == "motion" else x[:, :still])

    first, second = ({name: code(name, CORNERS[side]) for name in names} for side in (0, 1))
    total = torch.zeros(())
    for i, j, k in ((i, j, k) for i in range(2) for j in range(2) for k in range(2)):
        made = model.draw((first, second)[i]["motion"], (first, second)[j]["skeleton"], (first, second)[k]["view"])
        true = model.standard(grid[:, i, j, k])
        gap = ((made - true) * model.deviation[:, None]).unflatten(1, (-1, 2))
        velocity = (gap[:, feet].diff(dim=3) + gap[:, -1:, :, 1:]) / model.deviation[still:].mean()
        total = total + losses.squared(made, true) + 0.1 * velocity.square().mean()
    for k, name in enumerate(names):
        for anchor, near, far in ((2 + 2 * k, first[name], second[name]), (3 + 2 * k, second[name], first[name])):
            a, p, n = (x.transpose(1, 2).flatten(0, 1) if x.dim() == 3 else x for x in (code(name, CORNERS[anchor]), near, far))
            total = total + losses.triplet(a, p, n)
    return total


if __name__ == "__main__":
    main()
