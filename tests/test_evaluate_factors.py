"""A report on data whose factors are known: measures of the code, and of what a generator does with each of its numbers."""

import functools

import numpy as np
import pytest
import torch

from unweave import evaluate as module
from unweave.codes import Code, Codes, Output
from unweave.data.feed import to_float, to_uint8
from unweave.data.rectangles import Rectangles, draw, read
from unweave.evaluate import evaluate
from unweave.method import images
from unweave.methods.autoencoder import Autoencoder, AutoencoderConfig
from unweave.metrics import factors
from unweave.metrics.table import MEASURES

SIZE, NAMES = 32, ("height", "width", "colour")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """The way is tested here, not the figures: few points, few trees, few votes."""
    for name, count in {
        "POINTS": 400,
        "POINTS_TEST": 300,
        "POINTS_DCI": 200,
        "POINTS_DCI_TEST": 100,
        "VOTES": 1000,
        "VOTES_TEST": 500,
    }.items():
        monkeypatch.setattr(factors, name, count)
    monkeypatch.setattr(module, "MOVED", 40)
    monkeypatch.setattr(factors, "GradientBoostingClassifier", functools.partial(factors.GradientBoostingClassifier, n_estimators=10))


class Reader:
    """Its code is the factors, or a mixture of them; its decoder draws what the code says."""

    name, size, verbs = "reader", SIZE, ()
    codes: tuple = (Code("factors", "vector", (3,)),)

    def __init__(self, mixing=None):
        self.mixing = np.eye(3) if mixing is None else mixing
        self.needs = {"image": images(SIZE)}
        self.asked = []

    def encode(self, x, domain=None):
        self.asked.append(to_uint8(x))
        return Codes(factors=torch.from_numpy(read(to_uint8(x).numpy(), NAMES) @ self.mixing).float())

    def decode(self, codes, onto=None):
        values = np.clip(codes["factors"].double().numpy() @ np.linalg.inv(self.mixing), 0, 1)
        return Output(to_float(torch.from_numpy(draw(values, NAMES, SIZE))))


@functools.cache
def data():
    return Rectangles(size=SIZE, split="test", n=30)


def test_a_code_of_factors_is_told_from_a_mixture_of_them(tmp_path):
    own, mixed = evaluate(Reader(), data(), tmp_path), evaluate(Reader(factors.rotation(3, seed=1)), data())
    lower = [
        "mig_b20_n10k",
        "sap_svc_b5_n10k",
        "dci_gbt_n2k_disentanglement",
        "dci_gbt_n2k_completeness",
        "irs_q99_n10k",
        "generator_matrix_n200",
    ]
    for name in lower:
        assert mixed.measures[name].value < own.measures[name].value - 0.04, name
    assert own.measures["generator_matrix_n200"].value > 0.95 and own.measures["factor_vae_l64_n10k"].value == 1
    assert set(own.measures) <= set(MEASURES) and "reconstruction_error" in own.measures
    assert any("0 of 3 numbers of the code move nothing; 100.0% of the moved" in note for note in own.notes)
    assert (tmp_path / "sheets" / "generator.png").is_file()


def test_figures_without_an_interval_are_written_without_one(tmp_path):
    report = evaluate(Reader(), data(), tmp_path)
    plain = report.json()["measures"]
    assert set(plain["mig_b20_n10k"]) == {"value", "n"} and set(plain["generator_matrix_n200"]) == {"value", "low", "high", "n"}
    assert f"| mig_b20_n10k | {plain['mig_b20_n10k']['value']:.3f} |" in (tmp_path / "report.md").read_text()
    assert f"mig_b20_n10k,{plain['mig_b20_n10k']['value']},,,400," in (tmp_path / "report.csv").read_text()


def test_points_are_of_the_test_split_however_many_there_are():
    model = Reader()
    evaluate(model, data())
    pictures = torch.cat(model.asked[:7])  # 300 for the test, then 400 to learn from, 100 at a time
    expected, _ = data().truth.points(0, 700)
    assert torch.equal(pictures, expected) and torch.equal(expected[:30], data().take("image", range(30)))


def test_a_code_that_is_given_keeps_the_generator_out():
    class Given(Reader):
        codes = (*Reader.codes, Code("attributes", "vector", (1,), source="given"))

    found = evaluate(Given(), data()).measures
    assert "mig_b20_n10k" in found and "generator_matrix_n200" not in found


def test_an_untrained_autoencoder_of_each_kind_is_measured():
    torch.manual_seed(0)
    for config in (AutoencoderConfig(size=SIZE, factors=4, width=8), AutoencoderConfig(size=SIZE, factors=4, width=8, beta=1.0)):
        found = evaluate(Autoencoder(config), data())
        assert {"mig_b20_n10k", "generator_matrix_n200", "reconstruction_error"} <= set(found.measures)
        assert found.measures["mig_b20_n10k"].value < 0.5 and any("4 numbers" in note for note in found.notes)
