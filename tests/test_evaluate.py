"""The whole way from model and data to a report, with a model that knows the truth, and with real ones that know nothing."""

import functools
import json
import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from contract import tiny
from unweave import evaluate as module
from unweave.codes import Code, Codes, Output
from unweave.data.faces import Faces
from unweave.data.feed import to_float, to_uint8
from unweave.data.rectangles import Rectangles
from unweave.errors import UserError
from unweave.evaluate import edit_measures, editor, evaluate
from unweave.method import images
from unweave.metrics import intervals, judges, samples
from unweave.metrics.table import MEASURES
from unweave.pictures import Sheet
from unweave.report import Report

SIZE, N = 32, 24


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory):
    """A cache of their own, and judges that are hardly taught: what is tested here is the way, not the figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNWEAVE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(judges, "part_judge", functools.partial(judges.part_judge, steps=4))
        yield


class Small(Faces):
    """Few faces, whose training split is small too."""

    def sibling(self, split):
        return Small(("glasses",), size=SIZE, split=split, n=60)


@pytest.fixture(scope="module")
def faces():
    return Small(("glasses",), size=SIZE, split="test", n=N)


class Oracle:
    """Finds each picture in the data by its pixels and answers with the truth."""

    name, size = "oracle", SIZE
    verbs = ("transfer", "remove", "segment")
    needs = {"a": images(SIZE), "b": images(SIZE)}
    codes = (Code("common", "vector", (4,)), Code("separate", "vector", (2,), domains=("b",)))

    def __init__(self, faces):
        self.truth = faces.truth
        self.known = {name: {p.numpy().tobytes(): i for i, p in enumerate(faces.take(name, range(N)))} for name in ("a", "b")}

    def find(self, pictures: Tensor, name: str) -> list[int]:
        return [self.known[name][p.numpy().tobytes()] for p in to_uint8(pictures)]

    def transfer(self, donor, onto):
        return to_float(self.truth.wear(self.find(onto, "a"), self.find(donor, "b"))[0])

    def remove(self, image):
        return to_float(self.truth.clean(self.find(image, "b")))

    def segment(self, image):
        return self.truth.mask(self.find(image, "b"))[:, None].float()

    def encode(self, x, domain=None):
        """common tells nothing; separate is zero for domain a."""
        common = torch.ones(len(x), 4)
        return Codes(common=common, separate=x.new_zeros(len(x), 2) if domain == "a" else x.mean((2, 3))[:, :2])


@pytest.fixture(scope="module")
def report(faces, tmp_path_factory) -> tuple[Report, object]:
    out = tmp_path_factory.mktemp("report")
    return evaluate(Oracle(faces), faces, out), out


def test_an_oracle_is_right_about_everything(report):
    found = report[0].measures
    for name in ("part_match", "mask_iou", "mask_iou_clear", "mask_iou_tinted"):
        assert found[name].value == 1, name
    for name in ("transfer_error_ratio", "removal_error_ratio", "outside_change", "removal_outside_change"):
        assert found[name].value < 0.02, name
    assert found["leakage_linear"].value == 0.5 and found["leakage_linear"].n == 2 * N
    assert found["zero_residual"].value > 0.5  # this one has no zero loss
    assert found["transfer_success"].judge_accuracy == found["removal_success"].judge_accuracy is not None


def test_baselines_stand_beside_it(report):
    rows = report[0].baselines
    assert list(rows) == ["nothing", "copy_paste", "cam"]
    assert rows["nothing"]["transfer_error_ratio"].value == rows["nothing"]["removal_error_ratio"].value == 1
    assert rows["nothing"]["outside_change"].value == 0 and "mask_iou" not in rows["nothing"]
    assert rows["copy_paste"]["outside_change_worst_block"].value > 1 and 0 <= rows["cam"]["mask_iou"].value < 0.6
    assert all("part_match" in figures and "transfer_success" in figures for figures in rows.values())


def test_every_reported_name_is_explained(report):
    names = set(report[0].measures) | {n for row in report[0].baselines.values() for n in row}
    assert names <= set(MEASURES)
    asked = """mask_iou mask_iou_clear mask_iou_tinted transfer_error_ratio removal_error_ratio transfer_success removal_success part_match
        outside_change outside_change_worst_block leakage_linear leakage_mlp zero_residual"""
    assert set(asked.split()) <= names
    assert all(str(m).endswith(")") and "\n" not in str(m) for m in MEASURES.values())


def test_the_report_on_disk(report):
    found, out = report
    plain = json.loads((out / "report.json").read_text())
    assert plain["measures"]["mask_iou"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": N}
    assert set(plain["measures"]["transfer_success"]) == {"value", "low", "high", "n", "judge_accuracy"}
    assert plain["baselines"]["nothing"]["transfer_error_ratio"]["value"] == 1 and plain["data"] == f"faces:glasses@test, {SIZE} px"
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == len(found.sheets) == len(list((out / "sheets").glob("*.png"))) >= 7
    assert not re.search(r'(src|href)="(?!data:)', page) and "http" not in page
    lines = (out / "report.csv").read_text().splitlines()
    assert len(lines) == 1 + len(found.measures) + sum(map(len, found.baselines.values()))
    markdown = (out / "report.md").read_text()
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1 and "| mask_iou | 1.000 [1.000, 1.000] |" in markdown


def test_the_report_as_text(report):
    text = str(report[0])
    assert text.splitlines()[0].startswith("oracle on faces:glasses@test")
    assert "outside_change (1/255)" in text and "Not measured: AlexNet-KID" in text and "milliseconds a transfer" in text


def test_an_unwritable_folder_is_named(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to .*file"):
        report[0].write(tmp_path / "file")


def test_pictures_without_truth(faces, report):
    class Own(Small):
        def __init__(self, *a, **k):
            super().__init__(*a, **k)
            self.truth = None
            self.key += "-own"

        def sibling(self, split):
            return Own(("glasses",), size=SIZE, split=split, n=60)

    found = evaluate(Oracle(faces), Own(("glasses",), size=SIZE, split="test", n=N))
    assert set(found.measures) == {"transfer_success", "removal_success", "leakage_linear", "leakage_mlp", "zero_residual"}
    (said,) = [note for note in found.notes if note.startswith("Not measured, because")]
    assert "no true masks" in said and found.sheets


def test_features_give_a_distance_and_its_floor(faces, monkeypatch):
    class Means(module.images.Features):
        def __init__(self):
            pass

        def maps(self, x):
            return [x]

    monkeypatch.setattr(module.images, "find_features", lambda file: Means())
    found = evaluate(Oracle(faces), faces)
    assert found.measures["alexnet_kid"].low <= found.measures["alexnet_kid"].high
    assert set(found.baselines["nothing"]) >= {"alexnet_kid"} and any("no model need be nearer" in note for note in found.notes)


def test_edit_measures_are_those_of_the_report(faces, report):
    alone = edit_measures(Oracle(faces), faces)
    assert alone == {name: report[0].measures[name] for name in alone} and "mask_iou" in alone
    assert edit_measures(editor(Oracle(faces)), faces) == alone


@dataclass
class Grey:
    """Draws every picture as the mean of its pixels. Its code is no vector, whose numbers would be measured on rectangles."""

    name: str = "grey"
    size: int = SIZE
    verbs: tuple = ("interpolate",)
    codes: tuple = (Code("content", "spatial", (3, 1, 1)),)

    def __post_init__(self):
        self.needs = {"image": images(SIZE)}

    def encode(self, x, domain=None):
        return Codes(content=x.mean((2, 3), keepdim=True))

    def decode(self, codes, onto=None):
        return Output(codes["content"].expand(-1, -1, SIZE, SIZE))


def test_one_set_gives_the_reconstruction_error():
    data = Rectangles(size=SIZE, split="test", n=30)
    found = evaluate(Grey(), data)
    x = data.take("image", range(30)).numpy().astype(float)
    expected = np.abs(x - x.mean((2, 3), keepdims=True)).mean()
    assert set(found.measures) == {"reconstruction_error"} and found.measures["reconstruction_error"].value == pytest.approx(
        expected, rel=1e-3
    )
    assert not found.baselines and len(found.sheets) == 1


def test_data_that_does_not_fit_is_refused(faces):
    with pytest.raises(UserError):
        evaluate(Grey(), faces)
    with pytest.raises(UserError, match="no model"):
        evaluate("mask-glases", "faces:glasses")


def test_a_model_that_samples_is_measured_by_its_samples(monkeypatch):
    """Everything that the protocol finds is in the report; the protocol itself is tested beside the measures."""
    model = tiny.build("stylegan").eval()
    data = Faces((), size=32, split="test", n=4)
    asked = []

    def measured(*words):
        asked.append(words)
        sheet = Sheet([[torch.zeros(3, 32, 32)]])
        return samples.Found({"recall_knn3": intervals.mean([1, 0])}, {"real": {}}, ["a note"], {"Samples: one": sheet}, {"speed": 1.0})

    monkeypatch.setattr(module.samples, "measure", measured)
    found = evaluate(model, data, pairs=7, features="random")
    assert asked[0][0] is model and asked[0][1] is data and asked[0][2].name == "random" and asked[0][3] == 7
    assert set(found.measures) == {"recall_knn3"} and found.baselines == {"real": {}} and found.notes == ["a note"]
    assert list(found.sheets) == ["Samples: one"] and found.cost["speed"] == 1.0
