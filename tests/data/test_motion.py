"""Procedural motions: bodies that keep their limbs, feet that stand, grids that are what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unweave.body import FEET, JOINTS, LIMBS, ROOT, Clip, facing, height, limbs, project
from unweave.data import load
from unweave.data.feed import match
from unweave.data.motion import NAMED, PARTS, average, bodies, legs, procedural, stand, tallness, two
from unweave.data.motion_kinds import KINDS, UNSEEN, WILD
from unweave.errors import UserError
from unweave.method import clip_grids, images


@pytest.fixture(scope="module")
def motions():  # type: ignore[no-untyped-def]
    return {split: procedural(split, 0, 64, each=3) for split in ("train", "test")}


def test_ten_kinds_or_more_and_some_only_in_the_test(motions) -> None:  # type: ignore[no-untyped-def]
    shown = {split: {m.name for m in some} for split, some in motions.items()}
    assert len(KINDS) >= 10 and shown["test"] == set(KINDS) and shown["train"] == set(KINDS) - set(UNSEEN) | {WILD}
    assert not any(torch.equal(a.way, b.way) for a in motions["train"] for b in motions["test"])


def test_limbs_keep_their_length_on_any_body(motions) -> None:  # type: ignore[no-untyped-def]
    body = bodies(5, np.random.default_rng(0))[4]
    for motion in motions["test"]:
        joints = stand(motion.directions, motion.way, body)
        torch.testing.assert_close(torch.linalg.vector_norm(limbs(joints), dim=-1), body.expand(64, -1), rtol=1e-4, atol=1e-5)
        assert torch.isfinite(joints).all()


def test_the_lower_foot_stands(motions) -> None:  # type: ignore[no-untyped-def]
    for motion in motions["test"]:
        if motion.name in ("run", "jump"):
            continue  # they leave the ground
        feet = stand(motion.directions, motion.way, average())[:, list(FEET)]
        assert feet[..., 1].amin(1).abs().max() < 1e-4, motion.name
        speed = torch.linalg.vector_norm(feet.diff(dim=0)[..., [0, 2]], dim=-1) * 30  # heights a second
        assert speed.amin(1).mean() < 0.25, motion.name


def test_bodies_differ_by_parts_and_both_sides_are_alike() -> None:
    made = bodies(200, np.random.default_rng(0), named=True)
    assert torch.equal(made[:, [2, 3, 4, 8, 9, 10]], made[:, [5, 6, 7, 11, 12, 13]])
    assert 0.8 < tallness(made).mean() < 1.2 and tallness(made).std() > 0.1
    named = dict(zip(NAMED, made))
    assert tallness(named["tall"]) > 1.15 > 0.85 > tallness(named["small"])
    assert named["long-armed"][3] / average()[3] > 1.2 and named["stocky"][2] > named["tall"][2] / float(tallness(named["tall"]))
    assert legs(average()) == pytest.approx(PARTS["thigh"] + PARTS["shin"])


def test_projection_and_facing() -> None:
    still = stand(torch.tensor([[0.0, 1.0, 0.0]]).repeat(14, 1)[None].clone(), torch.zeros(1, 3), average())
    still[:, 2], still[:, 5], still[:, 9], still[:, 12] = (torch.tensor(p) for p in ((-1.0, 2, 0), (1.0, 2, 0), (-1.0, 0, 0), (1.0, 0, 0)))
    assert facing(still) == pytest.approx(0)
    turned = still.clone()
    a = math.radians(30)
    turned[..., 0], turned[..., 2] = (
        still[..., 0] * math.cos(a) + still[..., 2] * math.sin(a),
        still[..., 2] * math.cos(a) - still[..., 0] * math.sin(a),
    )
    assert facing(turned) == pytest.approx(30, abs=1e-3)
    torch.testing.assert_close(Clip(turned).seen_from(0.0).joints, project(still, torch.tensor(0.0)), atol=1e-5, rtol=0)
    assert project(still, torch.tensor([0.0, 90.0])[:, None].squeeze(1)[0]).shape == (1, 15, 2)


def test_height_of_a_flat_clip_is_that_of_the_body(motions) -> None:  # type: ignore[no-untyped-def]
    body = average()
    for motion in motions["test"]:
        if motion.name in ("walk", "dance", "turn", "wave"):
            flat = project(stand(motion.directions, motion.way, body), torch.tensor(90.0))
            assert 0.8 < height(flat) / tallness(body) < 1.02, motion.name


def test_a_grid_recombines_motion_body_and_view() -> None:
    data = load("motion", size=32, split="val", n=6)
    grid, degrees = (data.take(name, range(6)) for name in ("grid", "degrees"))
    assert grid.shape == (6, 2, 2, 2, 32, 15, 2) and degrees.shape == (6, 2) and (degrees[:, 0] != degrees[:, 1]).all()
    # y does not depend on the view; how high a limb reaches grows with the body, whatever is done.
    torch.testing.assert_close(grid[:, :, :, 0, ..., 1], grid[:, :, :, 1, ..., 1])
    rise = limbs(grid)[..., 1]  # (N, 2, 2, 2, T, 14)
    ratio = rise[:, :, 0, 0] / rise[:, :, 1, 0]
    same = torch.where(rise[:, :, 1, 0].abs() > 0.02, ratio, ratio.nanmedian(2, keepdim=True).values)
    for limb in (1, 9, 10):
        spread = same[..., limb].std(2)
        assert spread.nan_to_num().max() < 1e-2, LIMBS[limb]
    hips = grid[..., ROOT, :]
    scale = hips[:, :, 0, 0, :, 1] / hips[:, :, 1, 0, :, 1]
    assert scale.std(2).max() < 1e-4, "the way grows with the legs"
    assert torch.equal(grid, data.take("grid", range(6))), "the same whenever it is asked for"


def test_batches_are_one_integer(motions) -> None:  # type: ignore[no-untyped-def]
    data = load("motion", size=16, split="val", n=8)
    one, two_halves = data.batch(3, 4, 0), [data.batch(3 + 2 * i, 2, 0) for i in range(2)]
    assert torch.equal(one["grid"], torch.cat([half["grid"] for half in two_halves]))
    assert torch.equal(one["degrees"], torch.cat([half["degrees"] for half in two_halves]))


def test_two_are_different_and_of_two_owners() -> None:
    owners = np.array([0, 0, 0, 1, 2])
    found = two(np.random.default_rng(0), 500, 5, owners)
    assert (owners[found[:, 0]] != owners[found[:, 1]]).all()
    assert len(JOINTS) == 15


def test_what_does_not_fit_is_said() -> None:
    data = load("motion", size=16, split="val", n=2)
    assert match({"grid": clip_grids(16)}, data) is data
    with pytest.raises(UserError, match="grid .clips of 32 frames."):
        match({"grid": clip_grids(32)}, data)
    with pytest.raises(UserError, match="clips of 16 frames"):
        match({"image": images(32)}, data)
    with pytest.raises(UserError, match="no part"):
        load("motion:fast", size=16)
