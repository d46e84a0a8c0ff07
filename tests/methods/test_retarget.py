"""Retargeting: what the paper says of its networks and losses, and what the verbs promise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unweave import losses
from unweave.data import load
from unweave.errors import UserError
from unweave.method import Adam, Progress
from unweave.methods.retarget import ANGLES, CORNERS, PRESETS, Retarget
from unweave.nn.sequence import channels_of, clips_of


def model(**more) -> Retarget:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    made = Retarget(replace(PRESETS["default"], **{"size": 32, "motion": 16, "noise": 0.0, **more})).eval()
    made.prepare(batch())
    return made


def batch() -> dict[str, torch.Tensor]:
    data = load("motion", size=32, split="val", n=4)
    return {name: data.take(name, range(4)) for name in ("grid", "degrees")}


def progress(step: int = 0) -> Progress:
    return Progress(step, 0, 0.0, torch.Generator().manual_seed(0))


def test_the_papers_networks() -> None:
    paper = Retarget(PRESETS["paper"])
    assert sum(p.numel() for p in paper.parameters()) == 449_206
    assert paper.groups["networks"].optimiser == Adam(1e-3)
    codes = paper.encode(torch.randn(2, 64, 15, 2))
    assert {name: tuple(code.shape) for name, code in codes.items()} == {"motion": (2, 128, 8), "skeleton": (2, 16), "view": (2, 8)}


def test_channels_and_back() -> None:
    m, clips = model(), batch()["grid"].flatten(0, 3)
    channels = channels_of(clips)
    assert channels.shape == (32, 32, 30) and (channels[:, 0, 28:] == 0).all(), "the first velocity is 0"
    again = clips_of(m.standard(channels) * m.deviation + m.mean)
    start = clips[:, :1, 8:9]
    torch.testing.assert_close(again, clips - start, atol=1e-4, rtol=1e-4)
    standard = m.standard(channels).flatten(0, 1)
    assert standard.mean(0).abs().max() < 1e-3 and (standard.std(0) - 1).abs().max() < 1e-2


@pytest.mark.parametrize("frames", [1, 7, 16, 33, 300])
def test_any_length_and_the_origin(frames: int) -> None:
    m, other = model(), torch.randn(1, 50, 15, 2)
    made = m.retarget(torch.randn(2, frames, 15, 2), other, other)
    assert made.shape == (2, frames, 15, 2)
    shift = torch.tensor([100.0, -30.0])
    motion = torch.randn(1, frames, 15, 2)
    torch.testing.assert_close(
        m.retarget(motion, other, other), m.retarget(motion + shift, other + shift, other + shift), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("puppet", [True, False])
def test_the_terms_are_the_papers(puppet: bool) -> None:
    m, b = model(cross=1.0, puppet=puppet), batch()
    terms = m.recombine_loss(b, progress()).values
    grid = b["grid"]
    clip = {corner: grid[:, corner[0], corner[1], corner[2]] for corner in CORNERS}
    first, second = m.encode(clip[0, 0, 0]), m.encode(clip[1, 1, 1])
    cross = sum(
        losses.squared(
            m.standard(m.draw((first, second)[i]["motion"], (first, second)[j]["skeleton"], (first, second)[k]["view"])),
            m.standard(channels_of(grid[:, i, j, k])),
        )
        for i in range(2)
        for j in range(2)
        for k in range(2)
    )
    torch.testing.assert_close(terms["cross"], cross, rtol=1e-4, atol=1e-4)
    triplet = 0.0
    for k, name in enumerate(("motion", "skeleton", "view")):
        for same in (0, 1):
            corner = tuple(same if i == k else 1 - same for i in range(3))  # x_122: only factor k is as in x_111
            anchor, near, far = (m.encode(clip[c])[name] for c in (corner, (same,) * 3, (1 - same,) * 3))
            if name == "motion":
                anchor, near, far = (code.transpose(1, 2).flatten(0, 1) for code in (anchor, near, far))
            triplet += losses.triplet(anchor, near, far).item()
    assert terms["triplet"].item() == pytest.approx(triplet, rel=1e-4)


def test_foot_and_travel_are_of_joints_not_of_channels() -> None:
    m, b = model(foot=1.0, travel=1.0), batch()
    clips = b["grid"].flatten(0, 3)
    off = clips + 0.1 * torch.randn_like(clips)
    off[:, 0] = clips[:, 0]
    gap = channels_of(off) - channels_of(clips)
    feet = (off - clips)[:, :, [11, 14]].diff(dim=1) / m.deviation[28:].mean()
    torch.testing.assert_close(m.foot_loss(gap), feet.square().mean(), rtol=1e-3, atol=1e-4)
    terms = m.recombine_loss(b, progress()).values
    codes = [torch.stack([m.encode(b["grid"][:, c, c, c])[name] for c in (0, 1)]) for name in ("motion", "skeleton", "view")]
    away = (clips_of(m.draw_all(*codes).flatten(0, 3)) - clips_of(channels_of(clips)))[:, :, 8]
    assert terms["travel"].item() == pytest.approx(away.square().mean().item(), rel=0.2), "but for the first frame's velocity"


def test_without_recombinations_only_own_codes_are_drawn() -> None:
    m, b = model(cross=1.0, recombine=False), batch()
    own = [m.standard(channels_of(b["grid"][:, c, c, c])) for c in (0, 1)]
    expected = sum(losses.squared(m.standard(m.draw(*m.encode(b["grid"][:, c, c, c]).values())), own[c]) for c in (0, 1)) / 2
    torch.testing.assert_close(m.recombine_loss(b, progress()).values["cross"], 8 * expected, rtol=1e-4, atol=1e-4)


def test_a_body_changes_no_direction_and_a_view_no_height() -> None:
    m, x, y = model(), torch.randn(2, 24, 15, 2), torch.randn(2, 24, 15, 2)
    from unweave.body import limbs

    codes = [torch.stack([m.encode(clip)[name] for clip in (x, y)]) for name in ("motion", "skeleton", "view")]
    made = clips_of(m.draw_all(*codes).flatten(0, 3)).unflatten(0, (2, 2, 2, 2))  # (N, motion, skeleton, view, T, 15, 2)
    found = limbs(made)
    torch.testing.assert_close(
        torch.nn.functional.normalize(found[:, :, 0], dim=-1), torch.nn.functional.normalize(found[:, :, 1], dim=-1), atol=1e-2, rtol=0
    )
    torch.testing.assert_close(found[:, :, :, 0, ..., 1], found[:, :, :, 1, ..., 1], atol=1e-4, rtol=0)
    lengths = m.decoder.lengths(codes[1])[..., :14]  # (skeleton, N, 14): no limb is drawn longer than it is
    drawn = torch.linalg.vector_norm(found, dim=-1).amax((1, 3, 4))  # (N, skeleton, 14)
    assert (drawn <= lengths.transpose(0, 1) + 1e-4).all()


def test_views_by_degrees() -> None:
    m = model()
    for step in range(1, 60):
        m.recombine_loss(batch(), progress(step))
        m.after(step, {})
    grid, degrees = batch()["grid"], batch()["degrees"]
    for i, angle in enumerate(ANGLES):
        assert torch.equal(m.seen_from(angle)["view"][0], m.angles[i])
        seen = [m.encode(grid[n, c, c, c][None])["view"] for n in range(4) for c in (0, 1) if degrees[n, c] == angle]
        if seen:
            torch.testing.assert_close(m.angles[i], torch.cat(seen).mean(0), atol=0.05, rtol=0.1)
    torch.testing.assert_close(m.seen_from(15.0)["view"][0], (m.angles[3] + m.angles[4]) / 2)
    for wrong in (91.0, -200.0, float("nan")):
        with pytest.raises(UserError, match="-90 to 90"):
            m.seen_from(wrong)


def test_matrix_has_the_lines_of_interpolate() -> None:
    m, x, y = model(), torch.randn(1, 20, 15, 2), torch.randn(1, 20, 15, 2)
    grid = m.interpolate(x, y, "skeleton", steps=3)
    from unweave.verbs import matrix

    both = matrix(m, x, y, "skeleton", "view", steps=3)
    assert both.shape == (3, 3, 20, 15, 2)
    torch.testing.assert_close(both[0], grid, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both[:, 0], m.interpolate(x, y, "view", steps=3), atol=1e-5, rtol=1e-4)


def test_the_score_is_the_pose_error() -> None:
    m, b = model(), batch()
    found = m.validate(b)
    assert found["score"] == -found["error"] and 0 < found["error"] < 5
