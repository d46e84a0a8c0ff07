"""Intervals against what they promise: in 95 of 100 experiments the truth lies inside."""

import numpy as np
import pytest

from unweave.metrics import intervals


def test_a_mean_is_the_mean_and_its_interval_the_normal_one():
    samples = np.random.default_rng(0).normal(3, 2, 1000)
    found = intervals.mean(samples)
    margin = 1.96 * samples.std() / 1000**0.5
    assert found.value == samples.mean() and found.n == 1000
    assert found.low == pytest.approx(samples.mean() - margin, abs=0.02) and found.high == pytest.approx(samples.mean() + margin, abs=0.02)


@pytest.mark.parametrize(
    "draw, truth, measure",
    [
        (lambda r: r.exponential(1.0, 150), 1.0, intervals.mean),
        (lambda r: r.random(150) < 0.8, 0.8, intervals.mean),
        (lambda r: r.normal(0, 1, 150), 0.0, lambda x, seed: intervals.quantile(x, 0.5, seed)),
        (lambda r: (r.random((150, 2)) + [0, 0.5]).T, 0.5, lambda x, seed: intervals.ratio(*x, seed)),
    ],
    ids=["mean", "share", "median", "ratio"],
)
def test_coverage(draw, truth, measure):
    random, hits = np.random.default_rng(1), 0
    for trial in range(200):
        found = measure(draw(random), seed=trial)
        hits += found.low <= truth <= found.high
    assert 0.90 <= hits / 200 <= 0.985


def test_a_ratio_is_of_means_not_a_mean_of_ratios():
    found = intervals.ratio([1, 1, 8], [2, 1e-9, 8])
    assert found.value == pytest.approx(10 / 10.000000001)


def test_nan_is_left_out_and_nothing_is_an_error():
    assert intervals.mean([1, np.nan, 3]).value == 2 and intervals.mean([1, np.nan, 3]).n == 2
    with pytest.raises(ValueError, match="at least one sample"):
        intervals.mean([np.nan])


def test_the_same_samples_give_the_same_interval():
    samples = np.random.default_rng(2).random(50)
    assert intervals.mean(samples) == intervals.mean(samples)
    assert intervals.mean(samples).low != intervals.mean(samples, seed=1).low


def test_many_samples_are_drawn_in_chunks_that_do_not_show():
    samples = np.random.default_rng(3).random(3000)
    assert intervals.mean(samples).n == 3000
    assert intervals._chunks(2000, 3000) == [666, 666, 666, 2]


def test_balanced_accuracy_does_not_reward_the_larger_class():
    classes = np.repeat([0, 1], [90, 10])
    found = intervals.balanced(np.repeat([True, False], [90, 10]), classes)
    assert found.value == 0.5 and found.low == found.high == 0.5 and found.n == 100
    mixed = intervals.balanced(np.random.default_rng(0).random(100) < 0.7, classes)
    assert mixed.low < mixed.value < mixed.high


def test_plain_values_name_the_judge_only_where_there_is_one():
    found = intervals.mean([0.0, 1.0])
    assert set(found.plain()) == {"value", "low", "high", "n"}
    assert found.judged(0.99).plain()["judge_accuracy"] == 0.99
