import types

import pytest
import torch

from unweave.data import cache
from unweave.metrics import judges
from unweave.metrics.images import RandomFeatures


class Bars:
    """Noisy grey pictures; those of b have a white bar somewhere. `truth.clean` is the same noise without the bar."""

    size, lengths, key = 32, {"a": 400, "b": 400}, "bars"

    def __init__(self, seed=0, truth=True):
        draw = torch.Generator().manual_seed(seed)
        self.key = f"bars-{seed}-{truth}"
        noise = torch.randint(60, 190, (2, 400, 3, 4, 4), generator=draw).float()
        smooth = torch.nn.functional.interpolate(noise.flatten(0, 1), scale_factor=8, mode="bilinear")
        self.plain = smooth.to(torch.uint8).view(2, 400, 3, 32, 32)
        self.pictures = self.plain.clone()
        self.corner = torch.randint(4, 20, (400, 2), generator=draw)
        for picture, (row, column) in zip(self.pictures[1], self.corner):
            picture[:, row : row + 3, column : column + 8] = 255
        self.truth = types.SimpleNamespace(clean=lambda rows: self.plain[1][list(rows)]) if truth else None

    def take(self, name, rows):
        return self.pictures["ab".index(name)][torch.as_tensor(list(rows))]


@pytest.fixture(scope="module")
def judge():
    return judges.part_judge(Bars(), steps=80)


def test_a_judge_learns_what_b_has(judge):
    assert judges.accuracy(judges.probability(judge), Bars(seed=5)) > 0.93
    assert sum(p.numel() for p in judge.parameters()) < 200_000


def test_set_membership_is_enough():
    bars = Bars(seed=1, truth=False)
    ask = judges.set_judge(bars, steps=80)
    answer = ask(bars.take("b", range(10)).float() / 127.5 - 1)
    assert answer.shape == (10,) and answer.min() >= 0 and answer.max() <= 1 and not answer.requires_grad
    assert judges.accuracy(ask, Bars(seed=5)) > 0.9


def test_the_judge_of_snapshots_never_looks_at_the_truth():
    class Closed(Bars):
        truth = property(lambda self: pytest.fail("it looked"), lambda self, _: None)

    bars = Closed(seed=4)
    answer = judges.set_judge(bars, steps=2)(bars.take("b", range(3)).float() / 127.5 - 1)
    assert answer.shape == (3,)


def test_features_of_another_network_are_enough():
    bars = Bars(seed=2, truth=False)
    ask = judges.feature_judge(bars, RandomFeatures(), most=300)
    answer = ask(bars.take("b", range(10)).float() / 127.5 - 1)
    assert answer.shape == (10,) and answer.min() >= 0 and answer.max() <= 1 and not answer.requires_grad
    assert judges.accuracy(ask, Bars(seed=5)) > 0.9


def test_half_visible_is_less_than_visible(judge):
    bars = Bars(seed=6)
    there, gone = bars.take("b", range(100)).float() / 127.5 - 1, bars.truth.clean(range(100)).float() / 127.5 - 1
    faint, half, full = (judges.probability(judge)(torch.lerp(gone, there, share)).mean() for share in (0.05, 0.5, 1.0))
    assert faint < half < full and faint < 0.25


def test_the_activation_map_points_at_the_bar(judge):
    bars = Bars(seed=5)
    heat = judges.cam(judge, bars.take("b", range(100)).float() / 127.5 - 1)
    assert heat.shape == (100, 1, 32, 32) and heat.min() >= 0 and heat.amax((1, 2, 3)).allclose(torch.ones(100))
    peak = heat.flatten(1).argmax(1)
    centre = bars.corner[:100] + torch.tensor([1, 4])
    distance = (torch.stack([peak // 32, peak % 32], 1) - centre).abs().amax(1)
    assert (distance <= 6).float().mean() > 0.8


def test_a_judge_is_made_once_and_a_damaged_one_anew(monkeypatch):
    bars = Bars(seed=2)
    first = judges.part_judge(bars, steps=3)
    file = max((cache.folder() / "judges").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    file.write_bytes(file.read_bytes()[:100])
    again = judges.part_judge(bars, steps=3)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values()))

    def never(*_):
        raise AssertionError("it was there already")

    monkeypatch.setattr(judges, "teach", never)
    kept = judges.part_judge(bars, steps=3)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), kept.state_dict().values()))
    for other in ({"seed": 9}, {"steps": 4}):
        with pytest.raises(AssertionError, match="there already"):
            judges.part_judge(bars, **({"steps": 3} | other))


def test_teaching_leaves_the_random_state_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    judges.set_judge(Bars(seed=3), steps=2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [16, 32, 48, 64, 128])
def test_any_size(size):
    judge = judges.Judge(judges.JudgeConfig(size=size)).eval()
    x = torch.zeros(2, 3, size, size)
    assert judge(x).shape == (2,) and judges.cam(judge, x).shape == (2, 1, size, size)


def test_augmented_pictures_keep_their_shape_and_vary():
    x = torch.rand(8, 3, 32, 32) * 2 - 1
    one, two = (judges.augment(x, torch.Generator().manual_seed(s)) for s in (0, 1))
    assert one.shape == x.shape and not torch.equal(one, two)
    assert torch.equal(one, judges.augment(x, torch.Generator().manual_seed(0)))
