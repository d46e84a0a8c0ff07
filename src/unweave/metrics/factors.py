"""How far a code keeps the factors of its pictures apart: arrays of codes and of true factors in, a number out.

    codes       (points, dimensions), what an encoder says
    factors     (points, factors), what is true

    mig             Chen et al., Isolating sources of disentanglement in VAEs, 2018
    modularity      Ridgeway and Mozer, Learning deep disentangled embeddings with the F-statistic loss, 2018
    explicitness    the same
    sap             Kumar et al., Variational inference of disentangled latent concepts, 2018
    dci             Eastwood and Williams, A framework for the quantitative evaluation of disentangled representations, 2018
    beta_vae        Higgins et al., beta-VAE, 2017
    factor_vae      Kim and Mnih, Disentangling by factorising, 2018
    irs             Suter et al., Robustly disentangled causal mechanisms, 2019

Conventions, the same for all. A factor of up to `bins` different values is taken as it is; any other is cut into `bins` classes of equal
width from its least to its greatest value (over the points that are learned from). A code that does not vary has the value of chance.
All raise UserError for arrays of unequal length, fewer than two points, numbers that are none (NaN, infinite) and factors that do not vary.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from unweave.errors import UserError
from unweave.metrics.intervals import Estimate

Array = NDArray[np.float64]
Classes = NDArray[np.int64]

BINS = 20
BATCH = 64  # rows that share a factor's value
VOTES, VOTES_TEST = 10_000, 5_000  # batches that the readers of beta_vae and factor_vae learn from, and are tried on
STILL = 0.05  # a code dimension of a smaller standard deviation is not active: beta_vae and factor_vae do not look at it
POINTS, POINTS_TEST = 10_000, 5_000  # of `measure`
POINTS_DCI, POINTS_DCI_TEST = 2_000, 1_000


def measure(codes: ArrayLike, factors: ArrayLike, codes_test: ArrayLike, factors_test: ArrayLike) -> dict[str, Estimate]:
    """All measures by the names under which they are reported; a name carries its protocol: b20: 20 bins, n10k: 10,000 points.

    codes, factors: 10,000 points (of which DCI takes the first 2,000). codes_test, factors_test: 5,000 (1,000) others, for the readers of
    explicitness, SAP and DCI. The figures have no interval: over points they spread far less than over trainings.
    """
    learn, known = _points(codes, factors)
    test, asked = _points(codes_test, factors_test)
    if len(learn) < POINTS or len(test) < POINTS_TEST:
        raise UserError(
            f"The measures of codes take {POINTS:,} points and {POINTS_TEST:,} for the test, not {len(learn):,} and {len(test):,}: "
            "give more, or call the single measures."
        )
    learn, known, test, asked = learn[:POINTS], known[:POINTS], test[:POINTS_TEST], asked[:POINTS_TEST]
    few, few_test = slice(0, POINTS_DCI), slice(0, POINTS_DCI_TEST)
    trees = dci(learn[few], known[few], test[few_test], asked[few_test], bins=10)
    values = {
        "mig_b20_n10k": mig(learn, known),
        "modularity_b20_n10k": modularity(learn, known),
        "explicitness_b20_n10k": explicitness(learn, known, test, asked),
        "sap_svc_b5_n10k": sap(learn, known, test, asked, bins=5),
        **{f"dci_gbt_n2k_{name}": value for name, value in trees.items()},
        "beta_vae_l64_n10k": beta_vae(learn, known),
        "factor_vae_l64_n10k": factor_vae(learn, known),
        "irs_q99_n10k": irs(learn, known),
    }
    return {name: Estimate(value, None, None, POINTS_DCI if name.startswith("dci") else POINTS) for name, value in values.items()}


# -- of the information in each dimension --------------------------------------------------------------------------------------


def mig(codes: ArrayLike, factors: ArrayLike, bins: int = BINS) -> float:
    """Mutual information gap, 0 to 1: for each factor the information of the code dimension that knows most about it, less that of the
    second, over the factor's entropy; the mean over factors (Chen et al., equation 6).

    Codes are cut into `bins` classes of equal width from their least to their greatest value. With one dimension the second knows 0.
    """
    x, f = _points(codes, factors)
    known = _classes(f, bins)
    shared = _information(_bins(x, bins), known)
    first, second = -np.partition(-np.pad(shared, ((0, 1), (0, 0))), 1, axis=0)[:2]
    return float(np.mean((first - second) / _entropies(known)))


def modularity(codes: ArrayLike, factors: ArrayLike, bins: int = BINS) -> float:
    """Modularity, 0 to 1: whether each code dimension knows about one factor only; it may know little of it.

    For a dimension whose information about its factor is t, 1 - (sum of the squared information about the other factors) / (t^2 (F - 1));
    the mean over dimensions (Ridgeway and Mozer, section 3). Dimensions that do not vary are left out; if none varies, 0.
    """
    x, f = _points(codes, factors)
    squared = _information(_bins(x, bins), _classes(f, bins))[_vary(x)] ** 2
    most = squared.max(1, initial=0)
    squared, most = squared[most > 0], most[most > 0]
    if not len(squared):
        return 0.0
    return float(np.mean(1 - (squared.sum(1) - most) / (most * max(1, f.shape[1] - 1))))


def _information(x: Classes, y: Classes) -> Array:
    """Mutual information in nats of each column of x with each of y. (points, D), (points, F) -> (D, F)"""
    return np.array([[_shared(one, other) for other in y.T] for one in x.T])


def _shared(x: Classes, y: Classes) -> float:
    wide = int(y.max()) + 1
    joint = np.bincount(x * wide + y, minlength=(int(x.max()) + 1) * wide).reshape(-1, wide) / len(x)
    apart = joint.sum(1, keepdims=True) * joint.sum(0)
    there = joint > 0
    return max(0.0, float(np.sum(joint[there] * np.log(joint[there] / apart[there]))))


def _entropies(y: Classes) -> Array:
    return np.array([_shared(one, one) for one in y.T])


# -- of what readers make of it ------------------------------------------------------------------------------------------------


def explicitness(
    codes: ArrayLike, factors: ArrayLike, codes_test: ArrayLike | None = None, factors_test: ArrayLike | None = None, bins: int = BINS
) -> float:
    """Explicitness, chance .5, best 1: how well a linear reader of the whole code tells each value of a factor from its others.

    Area under the ROC curve of each value's probability, by logistic regression (L2, C = 1) on codes standardised by those it learns from;
    the mean over values, then over factors (Ridgeway and Mozer, section 3). Without test points the last third is kept for the test.
    """
    if codes_test is None or factors_test is None:
        x, f = _points(codes, factors)
        cut = len(x) - len(x) // 3
        codes, factors, codes_test, factors_test = x[:cut], f[:cut], x[cut:], f[cut:]
    x, f, x_test, f_test = _split(codes, factors, codes_test, factors_test)
    scale = StandardScaler().fit(x)
    x, x_test = scale.transform(x), scale.transform(x_test)
    scores = []
    for known, asked in zip(*(y.T for y in _classes_of_both(f, f_test, bins))):
        with warnings.catch_warnings(), threadpool_limits(1):  # products this small are three times slower on two threads
            warnings.simplefilter("ignore", ConvergenceWarning)  # a reader that is still improving after so long has read what it could
            reader = LogisticRegression(max_iter=300).fit(x, known)
        said = reader.predict_proba(x_test)
        areas = [
            roc_auc_score(asked == value, said[:, i]) for i, value in enumerate(reader.classes_) if 0 < np.sum(asked == value) < len(asked)
        ]
        scores.append(np.mean(areas) if areas else 0.5)  # 0.5: no value of the test was there to be learned
    return float(np.mean(scores))


def sap(codes: ArrayLike, factors: ArrayLike, codes_test: ArrayLike, factors_test: ArrayLike, bins: int = BINS) -> float:
    """Separated attribute predictability: for each factor, how often it is read right from the best single code dimension, less how often
    from the second best; the mean over factors (Kumar et al., section 3).

    Readers: linear support vector machines (squared hinge, C = 0.01, balanced classes) on one dimension. Dimensions that do not vary are
    left out; of a single one the second reads 0. A dimension that knows nothing still guesses, so a perfect code has 1 less chance at best.
    One line a class cannot tell ten ordered values apart, and a noisy code may even score above a perfect one there: so `measure` takes
    five classes.
    """
    x, f, x_test, f_test = _split(codes, factors, codes_test, factors_test)
    known, asked = _classes_of_both(f, f_test, bins)
    x, x_test = x[:, _vary(x)], x_test[:, _vary(x)]
    if not x.shape[1]:
        return 0.0
    right = np.zeros((x.shape[1] + 1, f.shape[1]))
    for i in range(x.shape[1]):
        for j in range(f.shape[1]):
            reader = LinearSVC(C=0.01, class_weight="balanced", dual=False, random_state=0).fit(x[:, i : i + 1], known[:, j])
            right[i, j] = np.mean(reader.predict(x_test[:, i : i + 1]) == asked[:, j])
    first, second = -np.partition(-right, 1, axis=0)[:2]
    return float(np.mean(first - second))


def dci(
    codes: ArrayLike, factors: ArrayLike, codes_test: ArrayLike, factors_test: ArrayLike, seed: int = 0, bins: int = BINS
) -> dict[str, float]:
    """Disentanglement, completeness and informativeness, 0 to 1 each (Eastwood and Williams, section 2).

    Gradient boosted trees (scikit-learn's, with its defaults) read each factor from the whole code; R_ij is the importance of dimension i
    for factor j. disentanglement: 1 - entropy of R_i. over factors, to the base of their number, weighted by the dimension's share of R.
    completeness: the same of R_.j over dimensions. informativeness: how often the readers are right on the test points. (`measure` cuts
    continuous factors into ten classes, because the time of the trees grows with their number.)
    """
    x, f, x_test, f_test = _split(codes, factors, codes_test, factors_test)
    known, asked = _classes_of_both(f, f_test, bins)
    importance, right = np.zeros((x.shape[1], f.shape[1])), []
    for j in range(f.shape[1]):
        reader = GradientBoostingClassifier(random_state=seed).fit(x, known[:, j])
        importance[:, j] = reader.feature_importances_
        right.append(np.mean(reader.predict(x_test) == asked[:, j]))
    return {
        "disentanglement": _concentration(importance),
        "completeness": _concentration(importance.T),
        "informativeness": float(np.mean(right)),
    }


def _concentration(importance: Array) -> float:
    """1 - the entropy of each row's shares, to the base of the columns' number, weighted by the row's sum. Nothing at all: 0."""
    whole = importance.sum(1)
    rows, weights = importance[whole > 0], whole[whole > 0]
    if not len(rows):
        return 0.0
    shares = rows / weights[:, None]
    entropy = -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), 1) / np.log(max(2, shares.shape[1]))
    return float(np.average(1 - entropy, weights=weights))


# -- of one factor held, or moved, at a time -----------------------------------------------------------------------------------


def beta_vae(codes: ArrayLike, factors: ArrayLike, bins: int = BINS, seed: int = 0) -> float:
    """BetaVAE score, chance 1 / factors, best 1: how often a linear reader tells which factor was held (Higgins et al., section 3).

    It is told the mean of |z - z'| over 64 pairs of rows that share one value of that factor, drawn from the points with replacement:
    10,000 times to learn from, 5,000 to be tried on. Dimensions of a standard deviation below .05 are left out; if none is left, chance.
    """
    x, f = _points(codes, factors)
    x = x[:, x.std(0) >= STILL]
    if not x.shape[1]:
        return 1 / f.shape[1]
    parts = [
        (np.abs(x[rows] - x[others]).mean(1), held)
        for (rows, held), (others, _) in zip(*(_batches(f, bins, seed, side) for side in (0, 1)))
    ]
    seen, held = (np.concatenate(side) for side in zip(*parts))
    if f.shape[1] == 1:
        return 1.0  # there is nothing to tell apart
    scale = StandardScaler().fit(seen[:VOTES])
    reader = LogisticRegression(max_iter=300).fit(scale.transform(seen[:VOTES]), held[:VOTES])
    return float(np.mean(reader.predict(scale.transform(seen[VOTES:])) == held[VOTES:]))


def factor_vae(codes: ArrayLike, factors: ArrayLike, bins: int = BINS, seed: int = 0) -> float:
    """FactorVAE score, chance 1 / factors, best 1: whether holding a factor stills one dimension of its own (Kim and Mnih, section 3).

    In 64 rows that share one value of a factor, drawn from the points with replacement, the dimension of the least variance (over its
    variance in all points) votes for that factor: 10,000 votes say which factor a dimension stands for, 5,000 others how often that is so.
    Dimensions of a standard deviation below .05 are left out; if none is left, chance.
    """
    x, f = _points(codes, factors)
    x = x[:, x.std(0) >= STILL]
    if not x.shape[1]:
        return 1 / f.shape[1]
    whole = x.var(0, ddof=1)
    parts = [((x[rows].var(1, ddof=1) / whole).argmin(1), held) for rows, held in _batches(f, bins, seed, 0)]
    still, held = (np.concatenate(side) for side in zip(*parts))
    votes = np.zeros((x.shape[1], f.shape[1]))
    np.add.at(votes, (still[:VOTES], held[:VOTES]), 1)
    return float(np.mean(votes.argmax(1)[still[VOTES:]] == held[VOTES:]))


def _batches(factors: Array, bins: int, seed: int, side: int) -> Iterator[tuple[Classes, Classes]]:
    """Rows that share a value, 500 batches at a time: (500, 64) rows and (500,) which factor it was.

    The factor is drawn evenly, its value as often as it occurs (never one that a single row has, as nothing could vary there).
    Side 1 has other rows of the same values."""
    known = _classes(factors, bins)
    order = np.argsort(known, axis=0, kind="stable")  # rows of one value stand together
    first = np.stack([np.searchsorted(known[order[:, j], j], known[:, j]) for j in range(known.shape[1])], 1)
    count = np.stack([np.bincount(column)[column] for column in known.T], 1)  # rows that share the value of this one
    if (count.max(0) < 2).any():
        raise UserError("No two points share a value of a factor: give more points, or fewer bins.")
    start = [np.flatnonzero(count[:, j] > 1) for j in range(known.shape[1])]
    values, rows = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1 + side])
    for _ in range(0, VOTES + VOTES_TEST, 500):
        held = values.integers(0, known.shape[1], 500)
        of = np.array([start[j][int(u * len(start[j]))] for j, u in zip(held, values.random(500))])
        at = first[of, held][:, None] + np.floor(rows.random((500, BATCH)) * count[of, held][:, None]).astype(np.int64)
        yield order[at, held[:, None]], held


def irs(codes: ArrayLike, factors: ArrayLike, bins: int = BINS) -> float:
    """Interventional robustness score, 0 to 1: how little a dimension moves while its factor is held (Suter et al., section 4).

    Deviation: the 99th percentile of |z - mean|; of all points, and of those that share a value of a factor, the mean over values. For each
    dimension 1 - the second over the first, for the factor that holds it best; the mean over dimensions, weighted by their deviation in all
    points. The same percentile above and below, so that a code of noise scores 0. If no dimension varies, 0.
    """
    x, f = _points(codes, factors)
    x = x[:, _vary(x)]
    free = _deviation(x)
    x, free = x[:, free > 0], free[free > 0]  # 0: a hundredth of the points differ, or fewer
    if not len(free):
        return 0.0
    held = [np.mean([_deviation(x[column == value]) for value in np.unique(column)], axis=0) for column in _classes(f, bins).T]
    return float(np.average(np.maximum(0, 1 - np.min(held, axis=0) / free), weights=free))


def _deviation(x: Array) -> Array:
    return np.percentile(np.abs(x - x.mean(0)), 99, axis=0)


# -- points, classes -----------------------------------------------------------------------------------------------------------


def rotation(dimensions: int, seed: int = 0) -> Array:
    """A random rotation or reflection, evenly distributed, (dimensions, dimensions).

    `factors @ rotation(F)` is a code that knows everything and keeps nothing apart."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimensions, dimensions)))
    return q * np.sign(np.diag(r))


def _points(codes: ArrayLike, factors: ArrayLike) -> tuple[Array, Array]:
    """Both as arrays of numbers that can be measured, or UserError."""
    try:
        x, f = (np.asarray(array, dtype=np.float64) for array in (codes, factors))
    except (TypeError, ValueError) as error:
        raise UserError("Codes and factors are arrays of numbers, one row for each point: these are not.") from error
    for name, array in (("codes", x), ("factors", f)):
        if array.ndim != 2 or not array.shape[1]:
            raise UserError(f"The {name} have the shape {array.shape}: give rows of points and columns of dimensions.")
        if not np.isfinite(array).all():
            raise UserError(
                f"The {name} hold NaN or infinite numbers, in column {int(np.argmin(np.isfinite(array).all(0)))}: leave those points out."
            )
    if len(x) != len(f):
        raise UserError(f"There are {len(x):,} rows of codes and {len(f):,} of factors: give one row of both for each point.")
    if len(x) < 2:
        raise UserError(f"Nothing can be measured on {len(x)} point{'s' * (len(x) != 1)}: give at least two, better thousands.")
    same = np.flatnonzero(~_vary(f))
    if len(same):
        raise UserError(f"Factor {same[0]} has the same value in all points: leave it out, or give points in which it varies.")
    return x, f


def _vary(x: Array) -> NDArray[np.bool_]:
    """(D,) whether a column has two values. (A standard deviation would not do: that of equal numbers need not come out as 0.)"""
    return x.min(0) < x.max(0)


def _split(codes: ArrayLike, factors: ArrayLike, codes_test: ArrayLike, factors_test: ArrayLike) -> tuple[Array, Array, Array, Array]:
    x, f = _points(codes, factors)
    x_test, f_test = _points(codes_test, factors_test)
    for name, one, other in (("codes", x, x_test), ("factors", f, f_test)):
        if one.shape[1] != other.shape[1]:
            raise UserError(f"The {name} have {one.shape[1]} columns and {other.shape[1]} in the test: give the same ones.")
    return x, f, x_test, f_test


def _bins(x: Array, bins: int) -> Classes:
    """Each column cut into `bins` classes of equal width from its least to its greatest value; one class where it does not vary."""
    return np.stack([_cut(column, column, bins) for column in x.T], 1)


def _classes(factors: Array, bins: int) -> Classes:
    """(points, F) values -> (points, F) classes 0, 1, ...: the values themselves if there are at most `bins`."""
    return _classes_of_both(factors, factors[:0], bins)[0]


def _classes_of_both(factors: Array, others: Array, bins: int) -> tuple[Classes, Classes]:
    """Two sets of points in the same classes, which those of the first set determine."""
    if bins < 2:
        raise UserError(f"A factor is cut into at least two classes, not {bins}: take 20.")
    found: list[tuple[Classes, Classes]] = []
    for column, other in zip(factors.T, others.T):
        values, both = np.unique(np.concatenate([column, other]), return_inverse=True)
        if len(values) <= bins:
            found.append((both[: len(column)], both[len(column) :]))
        else:
            found.append((_cut(column, column, bins), _cut(other, column, bins)))
    return np.stack([one for one, _ in found], 1), np.stack([other for _, other in found], 1)


def _cut(column: Array, by: Array, bins: int) -> Classes:
    if by.min() == by.max():
        return np.zeros(len(column), np.int64)
    edges = np.linspace(by.min(), by.max(), bins + 1)[1:-1]  # a value on an edge belongs to the class above it
    return np.digitize(column, edges).astype(np.int64)
