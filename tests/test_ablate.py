"""The table of variants: its figures, its place in a page, and the variants that are classes."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unweave.data import Folders
from unweave.errors import UserError
from unweave.method import Method, Progress
from unweave.methods import METHODS, get
from unweave.metrics.intervals import Estimate
from unweave.models import load
from unweave.recipe import configure
from unweave.train import Settings

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
ablate = pytest.importorskip("ablate")


@pytest.fixture(autouse=True)
def table_of_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes entered in one test are gone in the next."""
    monkeypatch.setattr("unweave.methods.METHODS", entered := dict(METHODS))
    monkeypatch.setattr(ablate, "METHODS", entered)


def report(**figures: float) -> dict[str, Any]:
    measures = {name: {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 100} for name, value in figures.items()}
    return {"measures": measures, "cost": {"training_minutes": 2.0}}


# -- the page ------------------------------------------------------------------------------------------------------------------


def test_a_page_keeps_all_but_what_is_between_the_marks() -> None:
    start, end = ablate.MARKS
    page = f"# mask\n\nbefore\n{start}\nold\nold too\n{end}\nafter\n"
    once = ablate.between(page, ["", "new", ""])
    assert once == f"# mask\n\nbefore\n{start}\n\nnew\n\n{end}\nafter\n"
    assert ablate.between(once, ["", "new", ""]) == once


@pytest.mark.parametrize("order", [(), (0,), (1,), (1, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0, 1)])
def test_a_page_without_its_place_is_refused(order: tuple[int, ...]) -> None:
    page = "\n".join(["text", *[ablate.MARKS[i] for i in order], "text"])
    with pytest.raises(UserError, match="has no place for the table"):
        ablate.between(page, ["new"])


def test_the_page_of_mask_has_a_place() -> None:
    page = (ROOT / "docs" / "methods" / "mask.md").read_text()
    assert ablate.between(page, ["here"]).count("\nhere\n") == 1


# -- the figures ---------------------------------------------------------------------------------------------------------------


def seeds(*values: float) -> list[dict[str, float]]:
    return [{"value": value, "low": 0.0, "high": 1.0, "n": 100} for value in values]


def test_intervals_over_pictures_or_over_seeds() -> None:
    one = ablate.over_seeds({"default": [{"value": 0.5, "low": 0.4, "high": 0.7, "n": 100}], "other": seeds(0.3)})
    assert one["default"] == Estimate(0.5, 0.4, 0.7, 100) and one["other"] == Estimate(0.3, 0.0, 1.0, 100)
    three = ablate.over_seeds({"default": seeds(0.4, 0.5, 0.6)})["default"]
    half = 4.302653 * 0.1 / 3**0.5  # Student's t for two degrees of freedom
    assert (three.value, three.low, three.high, three.n) == pytest.approx((0.5, 0.5 - half, 0.5 + half, 3), abs=1e-6)


def test_the_spread_of_seeds_is_pooled_over_variants() -> None:
    pooled = ablate.over_seeds({"default": seeds(0.5, 0.6), "other": seeds(0.1, 0.4), "third": seeds(0.7)})
    spread = ((0.1**2 / 2 + 0.3**2 / 2) / 2) ** 0.5
    half = 4.302653 * spread / 2**0.5
    assert (pooled["default"].low, pooled["other"].high) == pytest.approx((0.55 - half, 0.25 + half), abs=1e-6)
    assert pooled["third"].high == pytest.approx(0.7 + 4.302653 * spread, abs=1e-6)


def test_what_differs_from_the_first() -> None:
    known = [ablate.Variant(name, name) for name in ("default", "worse", "same")]
    found = {
        "default": [report(mask_iou_clear=0.6, outside_change=0.5)],
        "worse": [report(mask_iou_clear=0.5, outside_change=0.4)],
        "same": [report(mask_iou_clear=0.61, outside_change=0.5)],
    }
    lines = ablate.table(found, known)
    assert lines[0] == "| variant | | seeds | mask_iou_clear ↑ | outside_change (1/255) ↓ | minutes |"
    assert lines[2] == "| default | default | 1 | 0.600 [0.590, 0.610] | 0.500 [0.490, 0.510] | 2.0 |"
    assert lines[-2] == "- worse against default: worse on mask_iou_clear; better on outside_change."
    assert lines[-1] == "- same against default: not told apart."


def test_a_folder_is_of_one_kind(tmp_path: Path) -> None:
    ablate.settled(tmp_path, {"images": 100, "size": 64})
    ablate.settled(tmp_path, {"images": 100, "size": 64})
    with pytest.raises(UserError, match="holds runs with images 100, not 200: give another folder"):
        ablate.settled(tmp_path, {"images": 200, "size": 64})


# -- the variants --------------------------------------------------------------------------------------------------------------


def losses(model: Method, loss: str) -> dict[str, float]:
    draw = torch.Generator().manual_seed(1)
    batch = {name: torch.rand(4, *need.shape, generator=draw) * 2 - 1 for name, need in model.needs.items()}
    torch.manual_seed(2)
    terms = getattr(model, loss)(batch, Progress(0, 0, 0.5, torch.Generator().manual_seed(3)))
    return {name: value.item() for name, value in terms.values.items()}


@pytest.mark.parametrize("variant", ablate.VARIANTS["mask"], ids=lambda v: v.name)
def test_each_variant_can_be_built_and_differs(variant: Any) -> None:
    """Nothing in the table is the default under another name: some setting, some term or what the trainer does is another."""

    def build(one: Any) -> Method:
        settings = {**one.settings, "width": 16} if one.preset is None else one.settings
        torch.manual_seed(0)
        model = get(ablate.entered("mask", one))(configure("mask", one.preset, settings, 64 if one.preset else 32))
        for parameter in model.parameters():  # layers that start at zero would hide what they change
            parameter.data += 0.02 * torch.randn_like(parameter)
        return model

    model = build(variant)
    default = build(ablate.VARIANTS["mask"][0])
    loss = "published_loss" if variant.preset == "paper" else "transfer_loss"
    found = losses(model, loss)
    assert all(torch.isfinite(torch.tensor(value)) for value in found.values())
    if variant.name != "default":
        others = (model.settings() == default.settings(), found == losses(default, "transfer_loss"), model.groups == default.groups)
        assert not all(others)


def test_finished_ones_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variants of two seeds in all, a class among them: trained and measured once, then read from their files."""
    trained: list[str] = []

    def train(method: str, data: str, *, out: Path, **asked: Any) -> Any:
        trained.append(f"{method} {asked['seed']} {asked['batch']} {dict(asked['overrides'])}")
        assert get(method).name == "mask" and Settings(asked["images"], batch=asked["batch"])
        return argparse.Namespace(finished=True, path=out, facts={"seconds": 150})

    def evaluate(run: Any, data: str, pairs: int) -> Any:
        assert data == "faces:glasses@test"
        cost: dict[str, float] = {}
        return argparse.Namespace(cost=cost, json=lambda: report(mask_iou_clear=0.5 + 0.1 * len(trained)) | {"cost": cost})

    monkeypatch.setattr(ablate.recipe, "train", train)
    monkeypatch.setattr(ablate, "evaluate", evaluate)

    def once(seeds: int) -> str:
        words = [str(tmp_path), "--seeds", str(seeds), "--only", "default,no-window", "--images", "100"]
        monkeypatch.setattr(sys, "argv", ["ablate.py", *words])
        ablate.main()
        return (tmp_path / "table.md").read_text()

    first = once(1)
    assert trained == ["mask 0 16 {}", "mask:no-window 0 16 {}"] and "| no-window |" in first and "bootstrap" in first
    assert first.splitlines()[6].endswith("| 2.5 |")  # minutes of the run
    assert once(1).splitlines()[4:] == first.splitlines()[4:] and len(trained) == 2
    second = once(2)
    assert trained[2:] == ["mask 1 16 {}", "mask:no-window 1 16 {}"] and "Student" in second
    assert "| default | as it is | 2 | 0.700 [" in second
    with pytest.raises(SystemExit, match="holds runs with images 100"):
        monkeypatch.setattr(sys, "argv", ["ablate.py", str(tmp_path), "--images", "200"])
        ablate.main()


def test_a_class_is_trained_and_loaded_as_itself(folders: Path, tmp_path: Path) -> None:
    """One that stands here only, on two small folders; given again, it is found and not trained again."""
    data = Folders(str(folders / "a"), str(folders / "b"))
    wish = argparse.Namespace(folder=tmp_path, method="mask", data=data, size=32, batch=4, images=16)
    known = {variant.name: variant for variant in ablate.variants("mask")}
    variant = replace(known["no-window"], settings={"width": 16})
    run = ablate.trained(variant, 0, wish)
    assert run.finished and type(load(run.path)) is ablate.NoWindow
    written = (run.path / "log.jsonl").read_bytes()
    assert ablate.trained(variant, 0, wish).path == run.path and (run.path / "log.jsonl").read_bytes() == written


def test_what_cannot_be_had_at_a_size_is_left_out() -> None:
    known = {variant.name: variant for variant in ablate.variants("mask")}
    wish = argparse.Namespace(method="mask", size=32)
    why = ablate.obstacle(known["paper"], wish)
    assert why is not None and "64 or 128 pixels, not 32" in why
    assert ablate.obstacle(known["paper"], argparse.Namespace(method="mask", size=64)) is None
    assert all(ablate.obstacle(variant, wish) is None for name, variant in known.items() if name != "paper")
