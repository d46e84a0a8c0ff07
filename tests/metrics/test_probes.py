import numpy as np
import pytest

from unweave.metrics.probes import leakage, zero_residual


def codes(n, planted, seed, shape=(6, 2, 2)):
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], n)
    x = random.normal(size=(2 * n, *shape)) * 5 + 3
    return planted(x, labels, random), labels


def probed(planted):
    train, test = codes(400, planted, 0), codes(300, planted, 1)
    return leakage(*train, *test)


def test_noise_tells_nothing():
    found = probed(lambda x, labels, random: x)
    assert all(e.low < 0.5 < e.high and e.n == 600 for e in found.values())


def test_a_planted_number_is_read_by_both():
    def planted(x, labels, random):
        x[:, 0, 0, 0] += labels * 40
        return x

    found = probed(planted)
    assert found["leakage_linear"].value > 0.97 and found["leakage_mlp"].value > 0.97


def test_what_is_not_linear_is_read_by_the_network_alone():
    def planted(x, labels, random):
        x = x[:, :3, :1, :1]
        sign = random.choice([-1, 1], len(x))
        x[:, 0, 0, 0], x[:, 1, 0, 0] = sign * 5, sign * (labels * 2 - 1) * 5
        return x + random.normal(size=x.shape)

    found = probed(planted)
    assert found["leakage_linear"].value < 0.6 and found["leakage_mlp"].value > 0.95


def test_a_constant_code_gives_chance():
    assert probed(lambda x, labels, random: np.ones_like(x))["leakage_linear"].value == 0.5


def test_unequal_test_classes_are_weighed_equally():
    train, labels = codes(200, lambda x, labels, random: np.ones_like(x), 0)
    assert leakage(train, labels, train[:220], labels[:220])["leakage_linear"].value == 0.5


def test_zero_residual():
    random = np.random.default_rng(0)
    own = random.normal(size=(50, 4, 2, 2))
    assert zero_residual(np.zeros_like(own), own).value == 0
    assert zero_residual(-0.25 * own, own).value == pytest.approx(0.25)
