"""Measures of codes: what each says of codes that are known to be good or bad, and each against its formula in plain loops."""

import math
import time
from collections import Counter

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from unweave.errors import UserError
from unweave.metrics import factors as module
from unweave.metrics.factors import beta_vae, dci, explicitness, factor_vae, irs, measure, mig, modularity, rotation, sap
from unweave.metrics.table import MEASURES

F, LEVELS, N, HELD = 4, 5, 2000, 1000
ALONE = {"mig": mig, "modularity": modularity, "beta_vae": beta_vae, "factor_vae": factor_vae, "irs": irs}
READERS = {
    "explicitness": explicitness,
    "sap": sap,
    "disentanglement": lambda *arrays: few(*arrays)["disentanglement"],
    "completeness": lambda *arrays: few(*arrays)["completeness"],
    "informativeness": lambda *arrays: few(*arrays)["informativeness"],
}
NAMES = [*ALONE, *READERS]


EVEN = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2  # the rotation that mixes four numbers most


def few(codes, factors, codes_test, factors_test):
    return dci(codes[:500], factors[:500], codes_test[:300], factors_test[:300])


def known(n=N + HELD, levels=LEVELS, seed=0):
    return np.random.default_rng(seed).integers(0, levels, (n, F)) / (levels - 1)


def coded(kind):
    """Factors and codes of that kind, the test's rows last."""
    f, random = known(), np.random.default_rng(1)
    return f, {
        "identity": f,
        "permuted": f[:, [2, 0, 3, 1]],
        "flipped": f * [1, -1, -1, 1],
        "rotated": f @ EVEN,
        "noisy": f + 0.2 * random.normal(size=f.shape),
        "redundant": np.concatenate([f, f], 1),
        "one still": np.concatenate([f, np.full((len(f), 1), 0.1)], 1),
        "noise": random.normal(size=(len(f), 6)),
        "constant": np.full(f.shape, 0.1),
    }[kind]


@pytest.fixture(scope="module")
def figures():
    """Every measure of every kind of code, each computed once."""
    kept = {}

    def find(name, kind):
        if (name, kind) not in kept:
            f, z = coded(kind)
            f = f > 0.5 if name == "sap" else f  # two classes: for these its lines are good readers
            kept[name, kind] = ALONE[name](z[:N], f[:N]) if name in ALONE else READERS[name](z[:N], f[:N], z[N:], f[N:])
        return kept[name, kind]

    return find


BEST = {"sap": 0.4}  # the second best reader guesses at least the more frequent of two classes


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_code_is_perfect(figures, name):
    assert figures(name, "identity") >= BEST.get(name, 0.985)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["permuted", "flipped"])
def test_the_order_and_the_signs_of_numbers_do_not_count(figures, name, kind):
    assert figures(name, kind) == pytest.approx(figures(name, "identity"), abs=0.01)


@pytest.mark.parametrize("name", ["mig", "modularity", "beta_vae", "factor_vae", "irs", "sap", "disentanglement", "completeness"])
def test_a_rotation_lowers_it(figures, name):
    least = 0.03 if name in ("modularity", "beta_vae") else 0.2
    assert figures(name, "rotated") < figures(name, "identity") - least


def test_a_rotation_hides_nothing_from_a_linear_reader(figures):
    assert figures("explicitness", "rotated") > 0.98


@pytest.mark.parametrize("name", ["mig", "sap", "explicitness", "irs", "informativeness", "disentanglement", "completeness"])
def test_noise_on_a_perfect_code_lowers_it(figures, name):
    assert figures(name, "noisy") < figures(name, "identity") - 0.02


@pytest.mark.parametrize("name", ["modularity", "beta_vae", "factor_vae"])
def test_these_forgive_noise(figures, name):
    assert figures(name, "noisy") > 0.97


@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_are_there_twice(figures, name):
    if name in ("mig", "sap"):
        assert figures(name, "redundant") == pytest.approx(0, abs=1e-9)  # no number knows more than its twin
    elif name == "completeness":
        assert figures(name, "redundant") == pytest.approx(1 - math.log(2) / math.log(2 * F), abs=0.03)  # two halves of the importance
    else:
        assert figures(name, "redundant") == pytest.approx(figures(name, "identity"), abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_number_that_never_changes_does_not_count(figures, name):
    assert figures(name, "one still") == pytest.approx(figures(name, "identity"), abs=0.01)


CHANCE = {"explicitness": 0.5, "beta_vae": 1 / F, "factor_vae": 1 / F, "informativeness": 1 / LEVELS}


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_code_has_the_value_of_chance(figures, name):
    assert figures(name, "constant") == pytest.approx(CHANCE.get(name, 0), abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_noise_has_the_value_of_chance(figures, name):
    if name == "modularity":
        assert figures(name, "noise") < 0.7  # it asks how even the little is that each number seems to know
    elif name in ("disentanglement", "completeness"):
        assert figures(name, "noise") < 0.1
    else:
        assert figures(name, "noise") == pytest.approx(CHANCE.get(name, 0), abs=0.05)


def test_a_random_rotation_turns_and_does_no_more():
    turn = rotation(5, seed=1)
    assert np.allclose(turn @ turn.T, np.eye(5)) and np.array_equal(turn, rotation(5, seed=1)) and not np.allclose(turn, rotation(5))
    f = np.random.default_rng(0).random((3000, 5))
    assert mig(f @ turn, f) < 0.3 < mig(f, f)


# -- against the formulas ------------------------------------------------------------------------------------------------------


def slow_bin(column, bins=20):
    low, high = min(column), max(column)
    return [min(bins - 1, int((v - low) / (high - low) * bins)) for v in column]


def slow_information(x, y):
    n, joint, of_x, of_y = len(x), Counter(zip(x, y)), Counter(x), Counter(y)
    return sum(c / n * math.log(c * n / (of_x[i] * of_y[j])) for (i, j), c in joint.items())


@pytest.fixture(scope="module")
def mixed():
    """Codes that know something of everything, of factors of which one is continuous."""
    random = np.random.default_rng(3)
    f = np.concatenate([known(600, seed=3)[:, :2], random.random((600, 1))], 1)
    z = np.concatenate([f @ random.normal(size=(3, 4)) * 0.5, f[:, :1]], 1) + 0.1 * random.normal(size=(600, 5))
    return z, f


def slow_table(z, f):
    named = [list(f[:, 0]), list(f[:, 1]), slow_bin(f[:, 2])]
    return [[slow_information(slow_bin(column), y) for y in named] for column in z.T], [slow_information(y, y) for y in named]


def test_mig_is_its_formula(mixed):
    table, entropies = slow_table(*mixed)
    gaps = []
    for j, entropy in enumerate(entropies):
        first, second = sorted((row[j] for row in table), reverse=True)[:2]
        gaps.append((first - second) / entropy)
    assert mig(*mixed) == pytest.approx(sum(gaps) / 3, abs=1e-9)


def test_mig_of_one_number_has_no_second(mixed):
    z, f = mixed
    table, entropies = slow_table(z[:, :1], f)
    assert mig(z[:, :1], f) == pytest.approx(sum(t / e for t, e in zip(table[0], entropies)) / 3, abs=1e-9)


def test_modularity_is_its_formula(mixed):
    scores = []
    for row in slow_table(*mixed)[0]:
        most = max(row)
        scores.append(1 - sum(v**2 for v in row if v != most) / (most**2 * 2))
    assert modularity(*mixed) == pytest.approx(sum(scores) / 5, abs=1e-9)


def test_irs_is_its_formula(mixed):
    z, f = mixed

    def deviation(values):
        centre = sum(values) / len(values)
        ordered = sorted(abs(v - centre) for v in values)
        at = 0.99 * (len(ordered) - 1)
        low = ordered[int(at)]
        return low + (ordered[min(int(at) + 1, len(ordered) - 1)] - low) * (at - int(at))

    total, weight = 0.0, 0.0
    for column in z.T:
        free, held = deviation(column), []
        for y in (list(f[:, 0]), list(f[:, 1]), slow_bin(f[:, 2])):
            groups = [[v for v, k in zip(column, y) if k == value] for value in set(y)]
            held.append(sum(map(deviation, groups)) / len(groups))
        total, weight = total + free * max(0, 1 - min(held) / free), weight + free
    assert irs(z, f) == pytest.approx(total / weight, abs=1e-9)


def test_explicitness_is_its_formula(mixed):
    z, f = mixed
    learn, test = z[:400], z[400:]
    centre, spread = learn.mean(0), learn.std(0)
    scores = []
    for j in (0, 1):
        reader = LogisticRegression(max_iter=1000).fit((learn - centre) / spread, np.rint(f[:400, j] * 4))
        said, areas = reader.predict_proba((test - centre) / spread), []
        for value in range(5):
            inside = [p for p, k in zip(said[:, value], np.rint(f[400:, j] * 4)) if k == value]
            outside = [p for p, k in zip(said[:, value], np.rint(f[400:, j] * 4)) if k != value]
            areas.append(sum((p > q) + (p == q) / 2 for p in inside for q in outside) / (len(inside) * len(outside)))
        scores.append(sum(areas) / 5)
    found = explicitness(learn, f[:400, :2], test, f[400:, :2])
    assert found == pytest.approx(sum(scores) / 2, abs=1e-4)
    assert explicitness(z, f[:, :2]) == pytest.approx(found, abs=1e-9)  # the last third is the test


def test_sap_is_its_formula():
    """Two values a factor, unequally many, so that there is one line for each number and the balance counts."""
    random = np.random.default_rng(5)
    f = (random.random((300, 2)) < [0.3, 0.5]).astype(float)
    z = f @ random.normal(size=(2, 3)) + 0.4 * random.normal(size=(300, 3)) + 1
    gaps = []
    for j in range(2):
        right = []
        for column in z.T:
            y = f[:200, j] * 2 - 1
            weight = np.where(y > 0, 100 / np.sum(y > 0), 100 / np.sum(y < 0))

            def cost(line, x=column[:200], y=y, weight=weight):
                return 0.5 * line @ line + 0.01 * np.sum(weight * np.maximum(0, 1 - y * (line[0] * x + line[1])) ** 2)

            slope, shift = minimize(cost, np.zeros(2), tol=1e-10).x
            right.append(sum((slope * v + shift > 0) == (k == 1) for v, k in zip(column[200:], f[200:, j])) / 100)
        first, second = sorted(right, reverse=True)[:2]
        gaps.append(first - second)
    assert sap(z[:200], f[:200], z[200:], f[200:]) == pytest.approx(sum(gaps) / 2, abs=0.0101)  # one picture beside a line


def test_dci_is_its_formula(mixed):
    z, f = mixed
    z, f = z[:450], f[:450, :2]
    rows, right = [], []
    for j in range(2):
        y = np.rint(f[:, j] * 4).astype(int)
        trees = GradientBoostingClassifier(random_state=0).fit(z[:300], y[:300])
        rows.append(list(trees.feature_importances_))
        right.append(sum(a == b for a, b in zip(trees.predict(z[300:]), y[300:])) / 150)

    def concentrated(table):
        whole, score = sum(map(sum, table)), 0.0
        for row in table:
            shares = [v / sum(row) for v in row if v]
            score += sum(row) / whole * (1 + sum(p * math.log(p, len(row)) for p in shares))
        return score

    found = dci(z[:300], f[:300], z[300:], f[300:])
    assert found["completeness"] == pytest.approx(concentrated(rows), abs=1e-6)
    assert found["disentanglement"] == pytest.approx(concentrated([list(column) for column in zip(*rows)]), abs=1e-6)
    assert found["informativeness"] == pytest.approx(sum(right) / 2, abs=1e-9)


def slow_groups(f):
    """The rows of each value of each factor."""
    return [[[i for i, v in enumerate(column) if v == value] for value in sorted(set(column))] for column in f.T]


def test_factor_vae_is_its_formula():
    f, z = coded("rotated")
    f, z = f[:800], z[:800]
    draw, groups = np.random.default_rng(9), slow_groups(f)
    whole, votes = [np.var(column, ddof=1) for column in z.T], []
    for _ in range(3000):
        j = draw.integers(F)
        rows = draw.choice(groups[j][draw.integers(LEVELS)], 64)
        ratio = [np.var([z[i, k] for i in rows], ddof=1) / whole[k] for k in range(F)]
        votes.append((ratio.index(min(ratio)), j))
    stands_for = {k: Counter(j for d, j in votes[:2000] if d == k).most_common(1)[0][0] for k in {d for d, _ in votes}}
    assert factor_vae(z, f) == pytest.approx(sum(stands_for[d] == j for d, j in votes[2000:]) / 1000, abs=0.05)


def test_beta_vae_is_its_formula():
    f, z = coded("rotated")
    f, z = f[:800], z[:800]
    draw, groups = np.random.default_rng(9), slow_groups(f)
    seen, held = [], []
    for _ in range(3000):
        j = draw.integers(F)
        group = groups[j][draw.integers(LEVELS)]
        pairs = zip(draw.choice(group, 64), draw.choice(group, 64))
        seen.append(np.mean([[abs(z[a, k] - z[b, k]) for k in range(F)] for a, b in pairs], axis=0))
        held.append(j)
    reader = LogisticRegression(C=1e4, max_iter=2000).fit(seen[:2000], held[:2000])
    assert beta_vae(z, f) == pytest.approx(reader.score(seen[2000:], held[2000:]), abs=0.05)


def test_numbers_that_hardly_move_are_not_looked_at():
    f = known(1000)
    small = np.concatenate([f[:, :2], f[:, 2:] * 0.1], 1)  # standard deviations of .035
    assert factor_vae(small, f) == pytest.approx(factor_vae(f[:, :2], f), abs=1e-9) and factor_vae(small, f) < 0.8
    assert beta_vae(small, f) == pytest.approx(beta_vae(f[:, :2], f), abs=1e-9) and beta_vae(small, f) < 0.8


def test_a_continuous_factor_is_cut_into_classes():
    f = np.random.default_rng(0).random((3000, 3))
    assert mig(f, f) > 0.95 and irs(f, f) > 0.9 and factor_vae(f, f) == 1.0
    assert mig(f, f, bins=5) == pytest.approx(mig(np.floor(f * 5), np.floor(f * 5)), abs=0.02)


# -- mistakes ------------------------------------------------------------------------------------------------------------------

NAN = known(50)
NAN[3, 1] = np.nan
MISTAKES = {
    "give one row of both for each point": (known(50), known(49)),
    "Factor 2 has the same value in all points": (known(50), known(50) * [1, 1, 0, 1]),
    "codes hold NaN or infinite numbers, in column 1": (NAN, known(50)),
    "factors hold NaN": (known(50), NAN),
    "codes hold NaN or infinite numbers, in column 2": (np.where([0, 0, 1, 0], np.inf, known(50)), known(50)),
    "measured on 1 point:": (known(1), known(1)),
    "measured on 0 points:": (known(0), known(0)),
    "codes have the shape \\(50,\\)": (known(50)[:, 0], known(50)),
    "factors have the shape \\(50, 0\\)": (known(50), known(50)[:, :0]),
    "arrays of numbers": (known(50), [["red"]] * 50),
}


@pytest.mark.parametrize("said", MISTAKES)
@pytest.mark.parametrize("name", NAMES)
def test_mistakes_are_said_in_one_sentence(name, said):
    codes, factors = MISTAKES[said]
    arrays = (codes, factors) if name in ALONE else (codes, factors, known(50), known(50))
    with pytest.raises(UserError, match=said) as error:
        (ALONE | READERS)[name](*arrays)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", READERS)
def test_mistakes_in_the_test_points_are_said_too(name):
    with pytest.raises(UserError, match="4 columns and 3 in the test"):
        READERS[name](known(50), known(50), known(50)[:, :3], known(50))
    with pytest.raises(UserError, match="measured on 1 point"):
        READERS[name](known(50), known(50), known(1), known(1))


def test_too_few_bins_or_shared_values():
    with pytest.raises(UserError, match="at least two classes, not 1"):
        mig(known(50), known(50), bins=1)
    with pytest.raises(UserError, match="No two points share"):
        factor_vae(known(2, 50, seed=4), known(2, 50, seed=4))


def test_one_factor_and_one_number():
    f = known(400)[:, :1]
    assert modularity(f, f) == beta_vae(f, f) == factor_vae(f, f) == 1.0 and mig(f, f) == pytest.approx(1) and irs(f, f) == 1.0
    assert dci(f, f, f, f) == {"disentanglement": 1.0, "completeness": 1.0, "informativeness": 1.0}


# -- all of them, and how fast -------------------------------------------------------------------------------------------------


def test_all_measures_under_the_names_of_the_table(monkeypatch):
    for name, count in {"POINTS": 300, "POINTS_TEST": 200, "POINTS_DCI": 200, "POINTS_DCI_TEST": 100}.items():
        monkeypatch.setattr(module, name, count)
    f = known(500)
    found = measure(f[:300], f[:300], f[300:], f[300:])
    assert set(found) <= set(MEASURES) and len(found) == 10
    assert found["mig_b20_n10k"].value == mig(f[:300], f[:300]) and found["mig_b20_n10k"].low is None
    with pytest.raises(UserError, match="take 300 points and 200 for the test, not 299 and 201"):
        measure(f[:299], f[:299], f[299:], f[299:])


@pytest.mark.parametrize("name", [*ALONE, "explicitness"])
def test_ten_thousand_points_take_less_than_five_seconds(name):
    random = np.random.default_rng(0)
    f = random.random((15_000, 5))
    z = np.concatenate([f @ random.normal(size=(5, 5)), random.normal(size=(15_000, 5))], 1)
    start = time.process_time()
    if name in ALONE:
        ALONE[name](z[:10_000], f[:10_000])
    else:
        explicitness(z[:10_000], f[:10_000], z[10_000:], f[10_000:])
    assert time.process_time() - start < 5
