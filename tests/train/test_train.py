"""The trainer: each rule of a step against a plain computation, and what it leaves behind when something goes wrong."""

from __future__ import annotations

import errno
import io
import itertools
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tiny import Config, Tiny, pictures
from torch import nn

from unweave.errors import UserError
from unweave.logs import Live, Tick, describe, duration
from unweave.machine import pick_precision, place
from unweave.runs import Run
from unweave.schedules import Ramp, half_life
from unweave.train import EMA_RAMP, Settings, Training, train

BATCH = 4
PLAIN = Config(noise=0.0)


def make(config: Config = PLAIN, **kwargs) -> Tiny:
    torch.manual_seed(0)
    return Tiny(config, **kwargs)


def settings(steps: int, **changes) -> Settings:
    batch = changes.setdefault("batch", BATCH) * changes.get("accumulate", 1)
    return Settings(images=steps * batch * 2, device="cpu", **{"precision": "fp32", "snapshots": 1, **changes})


def new_run(folder: Path, method: Tiny) -> Run:
    return Run.create(folder, {"method": "tiny", "config": method.settings(), "settings": {"images": None}})


def go(method: Tiny, folder: Path, steps: int, feed=pictures, **changes):
    run = Run(folder) if (folder / "config.json").exists() else new_run(folder, method)
    extra = {k: changes.pop(k) for k in ("score", "preview", "on_progress") if k in changes}
    return run, train(method, feed, run, settings(steps, **changes), **extra)


def weights(method: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in method.state_dict().items()}


def same(first: dict, second: dict, tolerance: float = 0.0) -> bool:
    return first.keys() == second.keys() and all(torch.allclose(first[k], second[k], rtol=tolerance, atol=tolerance) for k in first)


# -- one step ------------------------------------------------------------------------------------------------------------------


def test_equals_a_plain_loop(tmp_path: Path) -> None:
    steps, lr = 12, Ramp(1e-2, 1e-3)
    trained = make(lr=lr)
    job_run, _ = go(trained, tmp_path / "run", steps)

    plain = make()
    body = [*plain.common.parameters(), *plain.separate.parameters(), *plain.decoder.parameters()]
    one, two = torch.optim.Adam(body, fused=True), torch.optim.Adam(plain.critic.parameters(), lr=1e-2, fused=True)
    average = [p.detach().clone() for p in body]
    for step in range(steps):
        a, b = pictures(step).values()
        common = plain.common(torch.cat([a, b]))
        code = torch.cat([common, torch.cat([torch.zeros(BATCH, 4, 4, 4), plain.separate(torch.cat([a, b]))[BATCH:]])], 1)
        loss = (plain.decoder(code) - torch.cat([a, b])).square().mean() + 0.1 * plain.critic(common).square().mean()
        gradients = torch.autograd.grad(loss, body)
        norm = torch.stack([g.norm() for g in gradients]).norm()
        for p, g in zip(body, gradients, strict=True):
            p.grad = g * min(1.0, 1.0 / (norm.item() + 1e-6))
        one.param_groups[0]["lr"] = lr(step / steps)
        one.step()
        on_a, on_b = plain.critic(common.detach()).chunk(2)
        two.zero_grad()
        (nn.functional.softplus(on_a).mean() + nn.functional.softplus(-on_b).mean()).backward()
        two.step()
        decay = 0.5 ** (2 * BATCH / min(64.0, EMA_RAMP * (step + 1) * 2 * BATCH))
        average = [decay * slow + (1 - decay) * fast.detach() for slow, fast in zip(average, body, strict=True)]
    ours = [p for n in ("common", "separate", "decoder") for p in getattr(trained, n).parameters()]
    for mine, other in zip(ours, body, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
    for mine, other in zip(trained.critic.parameters(), plain.critic.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
    kept = job_run.read_state()[0]
    names = [n for n, _ in plain.named_parameters() if not n.startswith("critic")]
    for name, other in zip(names, average, strict=True):
        torch.testing.assert_close(kept[f"average/{name}"], other, rtol=1e-4, atol=1e-6)


def phased(phases_of, config: Config = PLAIN, calls: list | None = None) -> Tiny:
    """A tiny method whose phases are changed; `calls` receives (step, phase, facts) of each loss."""
    method = make(config)
    losses = {"transfer": method.transfer_loss, "critic": method.critic_loss}

    def noted(name: str):
        def loss(batch, progress):
            if calls is not None:
                facts = {n: getattr(method, n).training for n in ("common", "critic")}
                facts |= {"bf16": torch.is_autocast_enabled("cpu"), "first": batch["a"][0, 0, 0, 0].item()}
                calls.append((progress.step, name, facts))
            return losses[name](batch, progress)

        loss.__name__ = f"{name}_loss"
        return loss

    method.phases = tuple(replace(phase, loss=noted(phase.name), **phases_of.get(phase.name, {})) for phase in method.phases)
    return method


@pytest.mark.parametrize(
    ("knobs", "due"),
    [
        ({}, range(10)),
        ({"every": 3}, [0, 3, 6, 9]),
        ({"start": 0.5}, [5, 6, 7, 8, 9]),
        ({"start": 0.2, "stop": 0.5}, [2, 3, 4]),
    ],
)
def test_when_a_phase_is_due(tmp_path: Path, knobs: dict, due) -> None:
    calls: list = []
    go(phased({"critic": knobs}, calls=calls), tmp_path / "run", 10)
    assert [step for step, name, _ in calls if name == "critic"] == list(due)
    assert [step for step, name, _ in calls if name == "transfer"] == list(range(10))


def test_gain_multiplies_the_gradient(tmp_path: Path) -> None:
    norms = []
    for gain in (1.0, 8.0):
        run, _ = go(phased({"critic": {"gain": gain}}), tmp_path / str(gain), 1)
        norms.append(run.lines()[0]["terms"])
    assert norms[1]["critic/gradient"] == pytest.approx(8 * norms[0]["critic/gradient"], rel=1e-5)
    assert norms[1]["critic/domains"] == norms[0]["critic/domains"]  # terms are logged raw


def test_modes_of_the_moving_and_the_frozen_side(tmp_path: Path) -> None:
    calls: list = []
    go(phased({"transfer": {"others": "eval"}}, calls=calls), tmp_path / "run", 2)
    for _, name, facts in calls:
        assert (facts["common"], facts["critic"]) == ((True, False) if name == "transfer" else (True, True))


def test_fresh_reads_a_batch_of_its_own(tmp_path: Path) -> None:
    calls: list = []
    method = phased({"critic": {"fresh": True, "every": 2}}, calls=calls)
    critic = method.phases[1].loss

    def own(batch, progress):
        batch["common"] = method.common(torch.cat([batch["a"], batch["b"]])).detach()
        return critic(batch, progress)

    own.__name__ = "critic_loss"
    method.phases = (method.phases[0], replace(method.phases[1], loss=own))
    go(method, tmp_path / "run", 4)
    seen = [(step, name, facts["first"]) for step, name, facts in calls]
    first = [pictures(i)["a"][0, 0, 0, 0].item() for i in range(8)]
    # two positions a step, whether the fresh phase is due or not
    assert seen == [
        (0, "transfer", first[0]), (0, "critic", first[1]), (1, "transfer", first[2]),
        (2, "transfer", first[4]), (2, "critic", first[5]), (3, "transfer", first[6]),
    ]  # fmt: skip


def test_autocast_only_where_asked(tmp_path: Path) -> None:
    calls: list = []
    method = phased({"critic": {"precision": "fp32"}}, calls=calls)
    losses = method.phases[1].loss

    def exact(batch, progress):
        batch["common"] = batch["common"].float()
        return losses(batch, progress)

    exact.__name__ = "critic_loss"
    method.phases = (method.phases[0], replace(method.phases[1], loss=exact))
    go(method, tmp_path / "run", 2, precision="bf16")
    assert [(name, facts["bf16"]) for _, name, facts in calls] == [("transfer", True), ("critic", False)] * 2


def test_nothing_leaks_to_the_frozen_side(tmp_path: Path) -> None:
    method = phased({"critic": {"start": 2.0}})  # never due, though its networks are in the other's loss
    before = weights(method.critic)
    go(method, tmp_path / "run", 3)
    assert same(before, weights(method.critic))
    assert all(p.grad is None for p in method.critic.parameters())


def test_accumulation_equals_the_large_batch(tmp_path: Path) -> None:
    large, small = make(), make()
    go(large, tmp_path / "large", 6, feed=lambda position: pictures(position, 4), batch=4)
    run, result = go(small, tmp_path / "small", 6, feed=lambda position: pictures(position, 2), batch=2, accumulate=2)
    assert result.images == 6 * 8
    assert same(weights(large), weights(small), 1e-5)


@pytest.mark.parametrize("buffers", ["copy", "average"])
def test_average_of_buffers(tmp_path: Path, buffers: str) -> None:
    method = make(replace(PLAIN, batch_norm=True))
    method.groups["autoencoder"] = replace(method.groups["autoencoder"], buffers=buffers)
    job = Training(method, pictures, settings(400), place("cpu"))
    mean = method.common[1].running_mean.clone()
    for _ in range(30):
        job.advance(False, 0.0)
        decay = half_life(min(64.0, EMA_RAMP * job.images), job.per_step)
        mean = decay * mean + (1 - decay) * method.common[1].running_mean
    averaged = job.average.common[1]
    torch.testing.assert_close(averaged.running_mean, mean if buffers == "average" else method.common[1].running_mean)
    assert averaged.num_batches_tracked == method.common[1].num_batches_tracked > 0
    assert not torch.equal(averaged.running_mean, mean if buffers == "copy" else method.common[1].running_mean)


def test_random_numbers_depend_on_the_step_alone() -> None:
    config = Config(dropout=0.5)
    whole = Training(make(config), pictures, settings(8), place("cpu"))
    for _ in range(8):
        whole.advance(False, 0.0)
    first = Training(make(config), pictures, settings(8), place("cpu"))
    for _ in range(5):
        first.advance(False, 0.0)
    torch.rand(17)
    second = Training(make(config), pictures, settings(8), place("cpu"))
    second.restore({k: v.clone() for k, v in first.tensors().items()}, 5, 0.0)
    for _ in range(3):
        second.advance(False, 0.0)
    assert same(whole.tensors(), second.tensors())


# -- a run ---------------------------------------------------------------------------------------------------------------------


def test_keeps_the_best_snapshot_and_the_last(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    scores, seen = iter([0.1, math.nan, 0.7, 0.3]), []

    def score(model: Tiny) -> dict[str, float]:
        assert not model.training and not torch.is_grad_enabled()
        seen.append(weights(model))
        return {"score": next(scores)}

    run, result = go(make(), tmp_path / "run", 8, score=score, snapshots=4)
    assert result.score == 0.7 and not result.stopped and (result.step, result.images) == (8, 64)
    kept = {k for k in seen[0] if not k.startswith("critic")}
    for name, at in (("weights", 2), ("last", 3)):
        assert same(load_file(run.path / f"{name}.safetensors"), {k: seen[at][k] for k in kept})
    found = [(line["images"], line["best"]) for line in run.lines() if "figures" in line]
    assert found == [(16, True), (32, False), (48, True), (64, False)]
    assert "score: 0.7" in (run.path / "card.md").read_text()


def test_what_has_not_begun_its_last_phase_is_not_the_best(tmp_path: Path) -> None:
    scores = iter([0.9, 0.8, 0.3, 0.2])
    method = phased({"critic": {"start": 0.5}})
    run, result = go(method, tmp_path / "run", 8, score=lambda model: {"score": next(scores)}, snapshots=4)
    assert result.score == 0.3
    assert [line["best"] for line in run.lines() if "figures" in line] == [True, True, True, False]


def test_without_a_score_the_latest_snapshot_is_kept(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    run, result = go(make(), tmp_path / "run", 8, score=lambda model: {"distance": 0.5}, snapshots=4)
    assert result.score is None
    assert same(load_file(run.path / "weights.safetensors"), load_file(run.path / "last.safetensors"))
    assert [line["best"] for line in run.lines() if "figures" in line] == [True] * 4


def test_samples_come_early_then_rarely(tmp_path: Path) -> None:
    held = pictures(0)
    go(make(), tmp_path / "run", 410, preview=lambda model: model.preview(held), batch=1, feed=lambda p: pictures(p, 1))
    assert sorted(int(p.stem) // 2 for p in (tmp_path / "run" / "samples").glob("*.png")) == [20, 50, 100, 200, 400, 410]


def test_progress_and_log(tmp_path: Path) -> None:
    ticks: list[Tick] = []
    run, _ = go(make(), tmp_path / "run", 25, on_progress=ticks.append)
    assert [t.step for t in ticks] == list(range(1, 26)) and ticks[-1].seconds_left == 0
    lines = [line for line in run.lines() if "terms" in line]
    assert [line["step"] for line in lines] == [10, 20, 25]
    raw = [t.losses["transfer/reconstruct"] for t in ticks]
    assert lines[1]["terms"]["transfer/reconstruct"] == pytest.approx(sum(raw[10:20]) / 10)
    assert lines[0]["lr"] == {"autoencoder": 1e-2, "critic": 1e-2}


def test_the_time_left_knows_that_later_steps_cost_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def left(name: str, *, cost: float) -> float:
        """Seconds left after half of a run whose second half costs `cost` times as much, by a clock that ticks when it is read."""
        ticks: list[Tick] = []
        method, clock = make(), itertools.count()
        monkeypatch.setattr("unweave.train.time.monotonic", lambda: float(next(clock)))
        first = method.phases[0]
        method.phases = replace(first, stop=0.5), replace(first, start=0.5, cost=cost * first.cost)
        go(method, tmp_path / name, 20, on_progress=ticks.append)
        return ticks[9].seconds_left

    assert left("dear", cost=9.0) == pytest.approx(9 * left("even", cost=1.0))


def test_minutes_become_images(tmp_path: Path) -> None:
    method = make()
    run = new_run(tmp_path / "run", method)
    held = pictures(0)
    asked = Settings(minutes=0.05, batch=BATCH, device="cpu", precision="fp32", snapshots=4)
    result = train(method, pictures, run, asked, score=lambda m: m.validate(held))
    written = Run(run.path).config["settings"]
    assert written["minutes"] is None and written["images"] == result.images and Run(run.path).finished
    assert 1.0 < result.seconds < 30.0  # three seconds are asked for; a busy machine takes longer
    seen = [line["step"] for line in run.lines() if "figures" in line]
    assert seen[-1] == result.step and 1 <= len(seen) <= written["snapshots"]  # those due before the pace was known are left out


def test_ctrl_c_saves_and_the_rest_gives_the_same_bytes(tmp_path: Path) -> None:
    held = pictures(0, seed=1)
    score = lambda model: model.validate(held)  # noqa: E731

    def interrupted(position: int):
        if position == 13:
            signal.raise_signal(signal.SIGINT)
        return pictures(position)

    handler = signal.getsignal(signal.SIGINT)
    run, result = go(make(Config()), tmp_path / "cut", 30, feed=interrupted, score=score, snapshots=3)
    assert result.stopped and result.step == run.facts["step"] < 16
    assert signal.getsignal(signal.SIGINT) is handler
    _, result = go(make(Config()), tmp_path / "cut", 30, score=score, snapshots=3)
    assert not result.stopped and result.step == 30
    go(make(Config()), tmp_path / "whole", 30, score=score, snapshots=3)
    for name in ("weights.safetensors", "last.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    steps = [line["step"] for line in run.lines() if "terms" in line]
    assert steps == [10, 20, 30]


def test_a_longer_run_goes_on(tmp_path: Path) -> None:
    go(make(), tmp_path / "run", 10)
    run, result = go(make(), tmp_path / "run", 16)
    assert (result.step, run.images) == (16, 16 * 8)


def test_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    run, _ = go(make(), tmp_path / "run", 4)
    tensors, facts = run.read_state()
    run.write_state(tensors, facts | {"world": 2})
    with pytest.raises(UserError, match="of 2 processes at once, not of 1: resume it with as many"):
        go(make(), tmp_path / "run", 8)


def test_a_run_that_now_reads_other_pictures_goes_on_at_its_images(tmp_path: Path) -> None:
    """Half as many a step, as where other settings need other pictures: where the run stands is a number of images, not of steps."""
    run, first = go(make(), tmp_path / "run", 20, score=lambda _: {"score": 5.0})
    heard: list[Tick] = []
    _, result = go(make(), tmp_path / "run", 60, batch=BATCH // 2, score=lambda _: {"score": 1.0}, on_progress=heard.append)
    assert first.images == 160 and heard[0].images == 160 + BATCH and heard[0].step == 41
    assert (result.images, result.step, result.score) == (240, 60, 1.0), "scores of other pictures say nothing about these"
    images = [line["images"] for line in run.lines()]
    assert images == sorted(images) and images[0] == 80 and images[-1] == 240


def test_a_state_of_other_networks_is_refused(tmp_path: Path) -> None:
    go(make(), tmp_path / "run", 4)
    with pytest.raises(UserError, match="another version of this method"):
        go(make(replace(PLAIN, width=5)), tmp_path / "run", 8)


# -- trouble -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_a_number_stops_and_names_the_place(tmp_path: Path, bad: float) -> None:
    def feed(position: int):
        batch = pictures(position)
        if position == 7:
            batch["b"][0, 0, 0, 0] = bad
        return batch

    with pytest.raises(UserError, match=r'step 8: "reconstruct" of phase "transfer" is (nan|inf)'):
        go(make(), tmp_path / "run", 20, feed=feed, save_seconds=0.0)
    tensors, facts = Run(tmp_path / "run").read_state()
    assert facts["step"] == 7 and all(t.isfinite().all() for t in tensors.values())


def test_disk_full_keeps_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room, sync = [9], os.fsync

    def fsync(file: int) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UserError, match="The disk is full: .*intact"):
        go(make(), tmp_path / "run", 20, save_seconds=0.0)
    monkeypatch.undo()
    run = Run(tmp_path / "run")
    assert 0 < run.facts["step"] < 20 and not list(run.path.rglob("*.part"))
    _, result = go(make(), tmp_path / "run", 20)
    assert result.step == 20


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_out_of_memory_names_a_batch_size(tmp_path: Path, error: Exception) -> None:
    def feed(position: int):
        raise error

    with pytest.raises(UserError, match="not enough memory for batches of 4: try --batch 2"):
        go(make(), tmp_path / "run", 4, feed=feed)


def test_other_errors_are_not_disguised(tmp_path: Path) -> None:
    def feed(position: int):
        raise RuntimeError("a mistake in a loss")

    with pytest.raises(RuntimeError, match="a mistake in a loss"):
        go(make(), tmp_path / "run", 4, feed=feed)


@pytest.mark.parametrize("wrong", [{}, {"images": 10, "minutes": 1.0}, {"images": 0}, {"minutes": -1.0}, {"images": 8, "batch": 0}])
def test_settings_that_make_no_sense(wrong: dict) -> None:
    with pytest.raises(UserError):
        Settings(**wrong)


def test_device_that_is_not_there() -> None:
    with pytest.raises(UserError, match='no device "tpu".*cpu'):
        place("tpu")
    assert place("cpu").device == torch.device("cpu")
    assert pick_precision(torch.device("cpu")) in ("fp32", "bf16")
    assert pick_precision(torch.device("mps")) == "fp32"


# -- what it says --------------------------------------------------------------------------------------------------------------


def test_the_line_without_a_terminal() -> None:
    out = io.StringIO()
    tick = Tick(50, 200, 3200, 123.4, 187.0, {"transfer/reconstruct": 0.1234, "transfer/gradient": 3.0, "critic/domains": 0.69}, 0.5)
    with Live(Console(file=out, width=200), seconds=1000.0) as live:
        live(tick)
        live(tick)  # too soon
        live(replace(tick, step=200, seconds_left=0.0))
    lines = out.getvalue().strip().split("\n")
    assert lines[0].strip() == "25 % · 3,200 images · 123/s · 3:07 left · best 0.500 · reconstruct 0.123 · domains 0.69"
    assert len(lines) == 2 and lines[1].startswith("100 %")
    assert describe(replace(tick, total=None, score=None)).startswith("measuring · 3,200 images")


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 59, 60, 3750)] == ["0 s", "59 s", "1:00", "1:02:30"]


def test_log_is_json(tmp_path: Path) -> None:
    run, _ = go(make(), tmp_path / "run", 3)
    assert [json.loads(line)["step"] for line in (run.path / "log.jsonl").read_text().splitlines()] == [3, 3]
