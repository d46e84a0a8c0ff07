"""Measures of few-shot translation: exact on models that are known to be right or wrong, with a judge taught for a moment."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unweave.codes import Codes, Output
from unweave.data import ClassFolders, load
from unweave.data.feed import to_float
from unweave.data.glyphs import Glyphs
from unweave.metrics import translation
from unweave.metrics.translation import Lessons, baselines, held, ink_iou, measure, trial


@pytest.fixture(scope="module")
def unseen() -> Glyphs:
    return Glyphs(size=32, split="test")


def test_the_judge_never_learns_what_it_is_asked(unseen: Glyphs) -> None:
    out = held(unseen)
    assert unseen.contents is not None
    assert {"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[k] for k in set(unseen.contents[out])} == set("CFILORUX0369")
    train = unseen.content_source()
    lessons = Lessons([train, unseen])
    assert lessons.classes == 374 + 60 and lessons.contents == 36
    assert len(lessons.labels) == 374 * 36 + 60 * 24
    told = lessons.labels[lessons.labels[:, 0] >= 374]
    assert len(told) == 60 * 24 and (told[:, 1] == -1).all(), "contents are learned from training classes"
    of_train = lessons.labels[: 374 * 36]
    assert ((of_train[:, 0] == -1) == (of_train[:, 1] % 3 == 2)).all()
    row = int(np.flatnonzero(lessons.labels[:, 0] == 374 + 7)[3])
    where = lessons.which[row]
    assert torch.equal(lessons.take("image", [row])[0], unseen.take("image", where[1:2])[0]) and unseen.labels[where[1]] == 7


def test_a_trial(unseen: Glyphs) -> None:
    asked = trial(unseen)
    assert len(asked.wanted) == 60 * 12 and asked.shots == [1, 5, 10, 20] and asked.letters is not None
    assert (unseen.labels[asked.examples] == asked.wanted[:, None]).all()
    assert unseen.contents is not None
    assert not (unseen.contents[asked.examples] == asked.letters[:, None]).any(), "no example shows the letter that is drawn"
    assert all(len(set(row)) == 20 for row in asked.examples)
    train = unseen.content_source()
    plain = train.classes.index(str(train.plain))
    assert train.contents is not None
    own = [int(np.flatnonzero((train.labels == plain) & (train.contents == letter))[0]) for letter in asked.letters[:12]]
    assert torch.equal(asked.contents[:12], train.take("image", own))


def test_overlap_of_ink() -> None:
    x, y = torch.ones(3, 1, 4, 4), torch.ones(3, 1, 4, 4)
    x[0, :, :2], y[0, :, 1:3] = -1, -1
    x[1, :, 0] = y[1, :, 0] = -1
    assert torch.allclose(ink_iou(x, y), torch.tensor([1 / 3, 1.0, 1.0]))


def test_baselines_by_hand(unseen: Glyphs) -> None:
    asked = trial(unseen, most=1)
    train, others = unseen.content_source(), baselines(unseen, asked)
    assert set(others) == {"copy", "nearest", "mean"} and asked.letters is not None
    assert torch.equal(others["copy"][5], to_float(asked.contents))
    assert train.contents is not None and unseen.contents is not None
    alike = to_float(train.take("image", np.flatnonzero(train.contents == asked.letters[0])))
    assert torch.allclose(others["mean"][1][0], alike.mean(0), atol=1e-5)
    shown = asked.examples[0, :5]
    far = sum(
        (to_float(train.take("image", np.flatnonzero(train.contents == unseen.contents[row]))) - to_float(unseen.take("image", [row])))
        .abs()
        .mean((1, 2, 3))
        for row in shown
    )
    assert torch.equal(others["nearest"][5][0], alike[int(far.argmin())])  # type: ignore[union-attr]


class Oracle(torch.nn.Module):
    """Knows the truth: its class code is the number of the class, and it draws the real picture of each content in turn."""

    verbs = ("translate",)

    def __init__(self, data: Glyphs):
        super().__init__()
        self.still = torch.nn.Parameter(torch.zeros(1))
        self.real = to_float(data.take("image", range(data.lengths["image"])))
        self.labels, asked = data.labels, trial(data)
        self.contents, self.rows = to_float(asked.contents[:12]), asked.rows

    def encode(self, x: Tensor) -> Codes:
        which = torch.cdist(x.flatten(1), self.real.flatten(1)).argmin(1)
        letter = torch.cdist(x.flatten(1), self.contents.flatten(1)).argmin(1).float()
        return Codes(content=letter[:, None, None, None], class_=torch.from_numpy(self.labels)[which].float()[:, None])

    def decode(self, codes: Codes) -> Output:
        rows = self.rows.reshape(-1, 12)
        classes, letters = codes["class_"][:, 0].round().long().clamp(0, len(rows) - 1), codes["content"].flatten().long()
        return Output(image=self.real[torch.from_numpy(rows)[classes, letters]])


def test_the_truth_scores_best(unseen: Glyphs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "STEPS", 60)
    model = Oracle(unseen)
    with torch.no_grad():
        figures, rows, sheets = measure(model, unseen)
    for k in (1, 5, 10, 20):
        for name in ("class_top1", "class_top5", "content_kept", "ink_iou"):  # a few faces draw two letters alike
            assert figures[f"{name}_k{k}"].value == pytest.approx(1.0, abs=0.03), name
        assert figures[f"glyph_error_k{k}"].value < 3
        assert rows["copy"][f"ink_iou_k{k}"].value < 0.9 and rows["mean"][f"glyph_error_k{k}"].value > 1
    assert figures["class_gain"].value == pytest.approx(0.0, abs=0.02) and figures["class_top1_k1"].judge_accuracy is not None
    assert rows["nearest"]["ink_iou_k20"].value > rows["copy"]["ink_iou_k20"].value
    assert len(sheets) == 2


class Copy(torch.nn.Module):
    """Draws the content whatever the class."""

    def __init__(self) -> None:
        super().__init__()
        self.still = torch.nn.Parameter(torch.zeros(1))

    def encode(self, x: Tensor) -> Codes:
        return Codes(content=x, class_=x.mean((2, 3)))

    def decode(self, codes: Codes) -> Output:
        return Output(image=codes["content"])


def test_classes_of_unknown_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "STEPS", 30)
    random = np.random.default_rng(0)
    for k in range(6):
        (tmp_path / f"c{k}").mkdir()
        for i in range(7):
            Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"c{k}" / f"{i}.png")
    data = load(ClassFolders(str(tmp_path)), 32, "test")
    with torch.no_grad():
        figures, rows, _ = measure(Copy(), data)  # type: ignore[arg-type]
    assert set(rows) == {"copy"} and "class_top1_k5" in figures and not any(name.startswith(("ink", "content")) for name in figures)
    assert rows["copy"]["class_top1_k1"].value == figures["class_top1_k1"].value
