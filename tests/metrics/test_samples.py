"""Measures of samples: against slow formulas and where the answer is known; the whole protocol on a generator that is one formula."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave import sampled
from unweave.attributes import Attribute
from unweave.codes import Code, Codes, Output
from unweave.data.faces import Faces
from unweave.data.feed import to_float
from unweave.metrics import images, samples, spaces, steering
from unweave.metrics.images import RandomFeatures
from unweave.metrics.table import find


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# -- precision, recall, novelty, noise -----------------------------------------------------------------------------------------


def slow(collection: np.ndarray, asked: np.ndarray, k: int) -> list[bool]:
    """One picture after the other, with sorted lists."""
    found = []
    for point in asked:
        inside = False
        for i, centre in enumerate(collection):
            others = sorted(float(np.linalg.norm(centre - other)) for j, other in enumerate(collection) if j != i)
            inside = inside or float(np.linalg.norm(point - centre)) <= others[k - 1]
        found.append(inside)
    return found


def test_precision_and_recall_against_loops() -> None:
    real, made = normal(30, 3).double(), normal(25, 3, seed=1).double() * 1.5
    precise, recalled = samples.precision_recall(real, made, k=2)
    assert precise.tolist() == slow(real.numpy(), made.numpy(), 2) and recalled.tolist() == slow(made.numpy(), real.numpy(), 2)
    assert 0 < precise.float().mean() < 1


def test_one_of_two_kinds_is_precise_and_recalls_half() -> None:
    """Real pictures of two kinds far apart; samples of one of them, or of both and much else."""
    both = torch.cat([normal(200, 4), normal(200, 4, seed=1) + 100])
    precise, recalled = samples.precision_recall(both, normal(200, 4, seed=2))
    assert precise.float().mean() > 0.85 and 0.4 < recalled.float().mean() <= 0.5 and not recalled[200:].any()
    wide = torch.cat([both, normal(400, 4, seed=3) - 100])
    precise, recalled = samples.precision_recall(both, wide)
    assert precise.float().mean() == pytest.approx(0.5, abs=0.01) and recalled.all()
    assert not any(side.any() for side in samples.precision_recall(normal(50, 4), normal(50, 4, seed=1) + 50))
    with pytest.raises(ValueError, match="more than 3 pictures, not 3"):
        samples.precision_recall(normal(3, 4), normal(9, 4))


def test_copies_are_not_new_and_fresh_ones_are() -> None:
    train, held = normal(500, 5), normal(100, 5, seed=1)
    assert samples.novelty(train[:100], held, train).value < 0.01
    fresh = samples.novelty(normal(300, 5, seed=2), held, train)
    assert fresh.value == pytest.approx(1, abs=0.15) and fresh.low is not None and fresh.high is not None and fresh.low < 1 < fresh.high
    assert samples.novelty(train[:100] + 0.05 * normal(100, 5, seed=3), held, train).value < 0.3


def test_nearest_against_a_loop() -> None:
    asked, known = normal(7, 3), normal(20, 3, seed=1)
    far, which = samples.nearest(asked, known, k=3, batch=2)
    for row, picture in enumerate(asked):
        order = sorted(range(20), key=lambda i: float((known[i] - picture).norm()))[:3]
        assert which[row].tolist() == order
        assert far[row].tolist() == pytest.approx([float((known[i] - picture).norm()) for i in order], abs=1e-5)


def test_the_noise_band_holds_real_pictures_and_not_others() -> None:
    train, held, more = normal(2000, 6), normal(500, 6, seed=1), normal(1000, 6, seed=2)
    band = samples.noise_band(train, held, 1000)
    assert band.low is not None and band.high is not None and band.low < band.value < band.high and abs(band.value) < 0.1
    width = band.high - band.low
    assert band.low - 2 * width < images.distance(more, held).value < band.high + 2 * width
    assert images.distance(more + 1, held).value > band.high + 10 * width


# -- a generator that is one formula ------------------------------------------------------------------------------------------


class Formula(nn.Module):
    """Pictures of faces' colours whose left half is as bright as w[0] says and right half as w[1] says; w is z stretched."""

    name, size, encodes = "formula", 32, False
    layers = {"coarse": range(1), "middle": range(1, 2), "fine": range(2, 3)}
    verbs = ("sample", "mix", "project", "directions")
    codes = (Code("z", "vector", (4,), "sampled"), Code("style", "layers", (3, 4), "sampled"), Code("noise", "vector", (5,), "sampled"))
    mix, project, directions = sampled.mix, sampled.project, sampled.directions
    labelled_direction, along = sampled.labelled_direction, sampled.along

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def sample(self, n: int, generator: torch.Generator) -> Codes:
        return Codes(z=torch.randn(n, 4, generator=generator), noise=torch.randn(n, 5, generator=generator))

    def map(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        return (truncation * self.scale * z)[:, None].expand(-1, 3, -1)

    def decode(self, codes: Codes, onto: Tensor | None = None) -> Output:
        style = codes["style"] if "style" in codes else self.map(codes["z"])
        level = style.mean(1)[:, :2].tanh() * 0.9
        picture = level[:, None, None, :].repeat_interleave(16, 3).expand(-1, 3, 32, -1)
        return Output(image=picture + 0.01 * codes["noise"][:, :1, None, None] if "noise" in codes else picture)


def left_and_right(picture: Tensor) -> Tensor:
    """A judge that is always right: is the left half bright, is the right half."""
    return torch.stack([(6 * half.mean((1, 2, 3))).sigmoid() for half in picture.split(16, dim=3)], 1)


def test_codes_are_the_same_however_they_are_asked_for() -> None:
    model = Formula()
    whole = samples.codes_of(model, 0, 200)
    assert whole.batch == 200 and torch.equal(whole["z"][128:], samples.codes_of(model, 128, 72)["z"])
    assert not torch.equal(whole["z"][:64], whole["z"][64:128])
    assert torch.equal(samples.drawn(model, 0, 70)[64:], samples.drawn(model, 64, 6))
    near = samples.drawn(model, 0, 70, truncation=0.0).float()
    assert near.std((2, 3)).max() < 1, "the mean has no left and right"


def test_directions_of_a_generator_that_keeps_its_attributes_apart() -> None:
    """The plane is where it must be, and a step along its normal turns one half alone."""
    model, found = Formula(), samples.Found()
    kinds = (Attribute("left"), Attribute("right"))
    points = samples._separability(model, kinds, left_and_right, left_and_right, [1.0, 1.0], 640, found)
    assert points.z.shape == points.w.shape == (640, 4) and torch.allclose(points.w, 2 * points.z)
    assert found.figures["separability_w"].value == pytest.approx(1, abs=0.02)
    steering.measure(model, kinds, points, left_and_right, left_and_right, [0.9, 0.8], 40, found)
    for name, right, least in (("left", 0.9, 0.8), ("right", 0.8, 0.9)):
        turned, kept = found.figures[f"{name}_direction_success"], found.figures[f"{name}_direction_others_kept"]
        assert turned.value >= 0.95 and kept.value >= 0.95 and (turned.judge_accuracy, kept.judge_accuracy) == (right, least)
    assert len(found.sheets) == 1


def test_a_way_brings_styles_where_it_says() -> None:
    model = Formula()
    direction, middle = torch.tensor([0.0, 3.0, 4.0, 0.0]), torch.tensor([1.0, 0.0, 0.0, 0.0])
    way = steering.Way(direction, middle, 2.0)
    style = normal(5, 1, 4).expand(-1, 3, -1)
    on = torch.tensor([True, False, True, False, True])
    moved = way.to(model, style, on)
    place = ((moved - middle) @ direction) / 25
    assert torch.allclose(place, torch.where(on, 2.0, -2.0)[:, None].expand(-1, 3), atol=1e-5)
    each = torch.stack([direction, 2 * direction, 0 * direction])  # a vector of its own for each layer
    apart = steering.Way(direction, middle, 2.0, each).to(model, style, on) - style
    assert torch.allclose(apart[:, 1], 2 * apart[:, 0]) and torch.allclose(apart[:, 0], (moved - style)[:, 0]) and not apart[:, 2].any()


def test_a_direction_that_moves_two_things_is_turned_to_one() -> None:
    model = Formula()
    w = model.map(normal(400, 4))[:, 0]
    both = w[:, :2].std(0).mean() * F.normalize(torch.tensor([1.0, 1.0, 0.0, 0.0]), dim=0)
    start = steering.Way(both, w.mean(0), 2.0)
    moves = steering.refined(model, 0, start, left_and_right, keep=10.0, still=0.0, steps=150)
    assert moves.shape == (3, 4)
    way = replace(start, moves=moves)
    kinds, style = (Attribute("left"), Attribute("right")), model.map(normal(200, 4))
    before = left_and_right(model.decode(Codes(style=style)).image)
    figures = []
    for one in (start, way):
        after = left_and_right(model.decode(Codes(style=one.to(model, style, before[:, 0] <= 0.5))).image)
        figures.append([share.float().mean().item() for share in spaces.turned(kinds, 0, before, after)])
    (_, kept_before), (turned, kept) = figures
    assert kept_before < 0.8 and turned > 0.95 and kept > 0.95


def test_a_refined_direction_leaves_colours_that_it_does_not_need() -> None:
    """A direction that also changes what no judge reads loses that, and turns what was asked as before."""
    model = Formula()
    w = model.map(normal(400, 4))[:, 0]
    both = w[:, 0].std() * F.normalize(torch.tensor([1.0, 1.0, 0.0, 0.0]), dim=0)
    start = steering.Way(both, w.mean(0), 2.0)

    def left(picture: Tensor) -> Tensor:
        return left_and_right(picture)[:, :1]

    style = model.map(normal(200, 4))
    plain = model.decode(Codes(style=style)).image
    on = left(plain)[:, 0] <= 0.5
    changes = []
    for still in (0.0, 2.0):
        way = replace(start, moves=steering.refined(model, 0, start, left, keep=10.0, still=still, steps=150))
        picture = model.decode(Codes(style=way.to(model, style, on))).image
        assert ((left(picture)[:, 0] > 0.5) == on).float().mean() > 0.95
        changes.append([(half - was).abs().mean() for half, was in zip(picture.split(16, dim=3), plain.split(16, dim=3), strict=True)])
    (_, before), (own, after) = changes
    assert after < 0.5 * before and after < 0.3 * own


def test_an_attribute_that_no_sample_has_is_said() -> None:
    model, found = Formula(), samples.Found()

    def blind(picture: Tensor) -> Tensor:
        return torch.stack([left_and_right(picture)[:, 0], torch.zeros(len(picture))], 1)

    kinds = (Attribute("left"), Attribute("hat"))
    points = samples._separability(model, kinds, blind, blind, [1.0, 1.0], 128, found)
    steering.measure(model, kinds, points, blind, blind, [1.0, 1.0], 16, found)
    assert "left_direction_success" in found.figures and "hat_direction_success" not in found.figures
    assert any("hat, because the judge sees it in all samples or in none" in note for note in found.notes)


def test_the_whole_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """On faces, with judges of its own: every figure is there and in the table, and this generator draws no faces."""
    monkeypatch.setattr(samples.judges, "attribute_judge", lambda data, kinds, seed: lambda x: torch.cat([left_and_right(x)] * 2, 1)[:, :3])
    monkeypatch.setattr(samples.judges, "attribute_accuracy", lambda *_: [0.9, 0.9, 0.9])
    monkeypatch.setattr(steering, "STEPS", 5)
    monkeypatch.setattr(Faces, "sibling", lambda self, split: Faces((), size=32, split=split, n=120))
    with torch.no_grad():
        found = samples.measure(Formula().requires_grad_(False), Faces((), size=32, split="test", n=60), None, count=20)
    names = {"random_kid_samples", "random_kid_samples_of_blurred", "precision_knn3", "recall_knn3", "novelty", "path_length_z"}
    names |= {"path_length_w", "separability_z", "separability_w", "projection_psnr_w", "projection_psnr_w_plus"}
    assert names <= set(found.figures) and all(find(name).what for row in (found.figures, *found.rows.values()) for name in row)
    assert found.figures["random_kid_samples"].value > 10 * abs(found.rows["real"]["random_kid_samples"].value)
    assert found.figures["recall_knn3"].value < 0.2 < found.rows["real"]["recall_knn3"].value
    assert {caption.partition(":")[0] for caption in found.sheets} >= {"Samples", "Truncation", "Nearest", "Directions", "Projections"}
    assert found.cost["samples_a_second"] > 0


def test_projection_comes_back_to_what_the_model_drew() -> None:
    model, found = Formula(), samples.Found()
    pictures = samples.drawn(model, 0, 3)
    test = SimpleNamespace(take=lambda name, rows: pictures[list(rows)], lengths={"image": 3})
    steering.projections(model, test, RandomFeatures(), 3, found, steps=150)
    assert found.figures["projection_psnr_w"].value > 30 and found.figures["projection_psnr_w_plus"].value > 30
    assert found.figures["projection_distance_w"].value < 0.1


# -- features ------------------------------------------------------------------------------------------------------------------


def test_random_features_are_the_same_everywhere_and_tell_blurred_pictures() -> None:
    look, again = RandomFeatures(), RandomFeatures()
    faces = [to_float(Faces((), size=32, split=split, n=120).take("image", range(120))) for split in ("train", "test")]
    x, y = (look(part) for part in faces)
    assert x.shape == (120, 1344) and torch.equal(x, again(faces[0], batch=7)) is (torch.equal(look(faces[0], batch=7), x))
    assert torch.allclose(x, again(faces[0]), atol=1e-6)
    same, blurred = images.distance(x, y), images.distance(look(images.blurred(faces[1], 2.0)), y)
    assert abs(same.value) < 0.2 * blurred.value
    dark = images.distance(look(faces[1] - 0.1), y)
    assert abs(dark.value) < 0.2 * blurred.value, "brightness must not drown everything"


def scaled(x: Tensor) -> Tensor:
    return x / (1 + float(x.norm()) ** 2) ** 0.5


def test_local_distance_against_the_formula() -> None:
    look, x, y = RandomFeatures(), torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    found = (look.local(x) - look.local(y)).square().sum(1)
    expected = torch.zeros(2)
    for a, b in zip(look.maps(x), look.maps(y), strict=True):
        for n in range(2):
            places = [(i, j) for i in range(a.shape[2]) for j in range(a.shape[3])]
            gaps = [(scaled(a[n, :, i, j]) - scaled(b[n, :, i, j])).square().sum() for i, j in places]
            expected[n] += sum(gaps) / len(places)
    assert torch.allclose(found, expected, rtol=1e-3)
    assert look.local(x.requires_grad_()).requires_grad and not look(x).requires_grad


def test_blurred_is_a_gaussian() -> None:
    spot = torch.zeros(1, 3, 41, 41)
    spot[:, :, 20, 20] = 1
    soft = images.blurred(spot, 2.0)
    assert float(soft[0, 0].sum()) == pytest.approx(1, abs=1e-5)
    place = torch.arange(41.0) - 20
    bell = torch.exp(-(place**2) / 8)
    bell = bell / bell.sum()
    assert torch.allclose(soft[0, 1], bell[:, None] * bell, atol=2e-4)
    assert torch.allclose(images.blurred(torch.full((1, 1, 16, 16), 0.3), 2.0), torch.full((1, 1, 16, 16), 0.3), atol=1e-6)


def test_features_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(images.find_features("random"), RandomFeatures)
    monkeypatch.setenv("UNWEAVE_FEATURES", "random")
    assert isinstance(images.find_features(), RandomFeatures)
