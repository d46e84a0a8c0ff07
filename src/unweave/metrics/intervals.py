"""Figures with their 95 % intervals, by the percentile bootstrap.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993. Pictures (or pairs) are drawn again with replacement, the statistic is
computed on each draw, and the 2.5th and 97.5th percentiles of the draws are the interval. Seeded: the same samples give the same interval.
A success seen in every picture gives an interval of no width: the bootstrap cannot imagine what it has never seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A figure: value, its interval low..high (None: it has none), and n, the number of samples it rests on.

    judge_accuracy: share of held-out pictures that the judge behind this figure gets right, where a judge is behind it.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    judge_accuracy: float | None = None

    def judged(self, accuracy: float | None) -> Estimate:
        """The same figure, with its judge's accuracy beside it."""
        return replace(self, judge_accuracy=accuracy)

    def plain(self) -> dict[str, float | int]:
        """As JSON values; without an interval or a judge there are no such keys."""
        values = {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "judge_accuracy": self.judge_accuracy}
        return {k: v for k, v in values.items() if v is not None}


def bootstrap(samples: ArrayLike, statistic: Callable[[Array], Array], resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """95 % interval of a statistic of independent samples.

    samples: (n,) or (n, k), resampled along the first axis. statistic: (..., n) or (..., n, k) -> (...). Rows with NaN are left out.
    Raises ValueError when no sample is left.
    """
    rows = np.asarray(samples, dtype=np.float64)
    rows = rows[~np.isnan(rows.reshape(len(rows), -1)).any(1)]
    n = len(rows)
    if n == 0:
        raise ValueError("an interval needs at least one sample")
    random = np.random.default_rng(seed)
    draws = np.concatenate([np.atleast_1d(statistic(rows[random.integers(0, n, (size, n))])) for size in _chunks(resamples, n)])
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(statistic(rows)), float(low), float(high), n)


def _chunks(resamples: int, n: int) -> list[int]:
    step = max(1, min(resamples, 2_000_000 // n))  # a few tens of megabytes at a time
    return [min(step, resamples - start) for start in range(0, resamples, step)]


def mean(samples: ArrayLike, seed: int = 0) -> Estimate:
    """The mean of (n,) samples."""
    return bootstrap(samples, lambda x: x.mean(-1), seed=seed)


def quantile(samples: ArrayLike, q: float, seed: int = 0) -> Estimate:
    """The q-th quantile (q in [0, 1]) of (n,) samples."""
    return bootstrap(samples, lambda x: np.quantile(x, q, axis=-1), seed=seed)


def ratio(above: ArrayLike, below: ArrayLike, seed: int = 0) -> Estimate:
    """Ratio of the means of two columns of samples, (n,) each, drawn together: mean(above) / mean(below).

    Not the mean of the ratios: a picture in which there was little to do would outweigh all others.
    """
    both = np.stack([np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)], axis=-1)
    return bootstrap(both, lambda x: x[..., 0].mean(-1) / np.maximum(x[..., 1].mean(-1), 1e-12), seed=seed)


def balanced(correct: ArrayLike, classes: ArrayLike, seed: int = 0) -> Estimate:
    """Balanced accuracy: the mean over classes of the share of right answers; classes are resampled one by one.

    correct: (n,) bool. classes: (n,) labels.
    """
    right, labels = np.asarray(correct, dtype=np.float64), np.asarray(classes)
    random = np.random.default_rng(seed)
    shares, draws = [], []
    for label in np.unique(labels):
        of_class = right[labels == label]
        shares.append(of_class.mean())
        draws.append(
            np.concatenate(
                [of_class[random.integers(0, len(of_class), (k, len(of_class)))].mean(1) for k in _chunks(RESAMPLES, len(of_class))]
            )
        )
    low, high = np.percentile(np.mean(draws, axis=0), [2.5, 97.5])
    return Estimate(float(np.mean(shares)), float(low), float(high), len(right))
