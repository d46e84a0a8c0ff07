"""Figures of few-shot translation on glyphs: train, measure on unseen typefaces, draw outside fonts, time an alphabet.

    python benchmarks/glyphs.py -o DIR [--data glyphs] [--minutes 50] [--batch 32] [--run RUN] [--fonts FOLDER] [--features FILE.npz]

Training is on glyphs:varied, or on what --data names. Every sixth training typeface is asked about too (`seen_class_top1_k5` ...): where
that is far above the others' figure, a model knows its typefaces, and not what a typeface is. `characters_right`: all 31 characters
that are not shown, as a judge reads them. Fonts: outside_fonts.py fetches some.
Writes DIR/run (unless --run names a finished one), DIR/report, DIR/outside.csv (for each font of --fonts: overlap of ink with the true
letters, of the model with five examples and of the copied content), DIR/figures.json.
"""

import argparse
import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import unweave as uw
from unweave.data.feed import to_float
from unweave.data.fonts import draw_font, fonts_in
from unweave.data.glyphs import CHARACTERS, PLAIN, Glyphs, face
from unweave.errors import UserError
from unweave.metrics import translation
from unweave.metrics.intervals import mean
from unweave.metrics.translation import ink_iou

SHOWN = "AGRS5"
BETTER = 0.05  # more overlap than the copy's that counts as better


def pictures(drawn: np.ndarray) -> torch.Tensor:
    """uint8 (N, S, S) -> (N, 3, S, S) in [-1, 1]"""
    return to_float(torch.from_numpy(drawn.copy()))[:, None].expand(-1, 3, -1, -1)


def outside(model, fonts: list[Path], out: Path) -> dict[str, object]:
    """Overlap of ink on fonts of other makers, letters that are not shown alone."""
    shown = [CHARACTERS.index(c) for c in SHOWN]
    others = [i for i in range(len(CHARACTERS)) if i not in shown]
    plain, rows = pictures(face(PLAIN, model.size)), []
    for path in fonts:
        try:
            true = pictures(draw_font(path, model.size))
        except UserError as error:
            print(error)
            continue
        made = model.translate(plain[others], true[shown])
        rows.append((str(path), *(ink_iou(x, true[others]).mean().item() for x in (made, plain[others]))))
    with (out / "outside.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("font", "model", "copy"), *rows])
    if not rows:
        return {}
    gains = np.array([made - copied for _, made, copied in rows])
    return {"outside_gain": mean(gains).plain(), "outside_better_share": float((gains > BETTER).mean()), "outside_fonts": len(rows)}


def seen(model, every: int = 6) -> dict[str, float]:
    """Class accuracy on every sixth training typeface, among these, over the judge's on real glyphs. The model has seen their letters."""
    train, held = Glyphs(size=model.size), [Glyphs(size=model.size, split=split) for split in ("val", "test")]
    judge, asked = translation.judge_of([train, *held]), translation.trial(train)
    kept = asked.wanted % every == 0
    rows = {name: getattr(asked, name)[kept] for name in ("wanted", "rows", "examples", "letters")}
    asked = replace(asked, contents=asked.contents[torch.from_numpy(kept)], **rows)
    among = np.unique(asked.wanted)

    @torch.no_grad()
    def right(x: torch.Tensor) -> float:
        said = torch.cat([judge(part)[0] for part in x.split(translation.BATCH)])[:, torch.from_numpy(among)].argmax(1)
        return float((among[said.numpy()] == asked.wanted).mean())

    ceiling = right(to_float(train.take("image", asked.rows)))
    return {f"seen_class_top1_k{k}": right(made) / ceiling for k, made in translation.translated(model, train, asked).items()}


@torch.no_grad()
def legible(model) -> dict[str, float]:
    """All characters of the test typefaces but the five shown: how often the judge reads them right, real ones too, and each by itself.
    The evaluation asks about a third of them, with any examples; some of the others are harder."""
    test = Glyphs(size=model.size, split="test")
    judge = translation.judge_of([Glyphs(size=model.size), Glyphs(size=model.size, split="val"), test])
    others = torch.tensor([i for i, c in enumerate(CHARACTERS) if c not in SHOWN])
    shown, plain = [CHARACTERS.index(c) for c in SHOWN], pictures(face(PLAIN, model.size))
    right, real = [], []
    for rows in test.of:
        true = to_float(test.take("image", rows))
        for answers, x in ((right, model.translate(plain[others], true[shown])), (real, true[others])):
            answers.append((judge(x)[1].argmax(1) == others).float())
    by = torch.stack(right).mean(0)
    each = {f"right_{CHARACTERS[i]}": share for i, share in zip(others.tolist(), by.tolist())}
    return {"characters_right": by.mean().item(), "characters_right_real": torch.stack(real).mean().item(), **each}


def seconds_an_alphabet(model) -> float:
    """36 letters from five examples, the median of five times."""
    plain, taken = pictures(face(PLAIN, model.size)), []
    for _ in range(5):
        started = time.perf_counter()
        model.translate(plain, plain[:5])
        taken.append(time.perf_counter() - started)
    return sorted(taken)[2]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--data", default="glyphs:varied")
    options.add_argument("--run", help="a finished run, weights or a shipped model")
    options.add_argument("--preset")
    options.add_argument("--minutes", type=float, default=50)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--fonts", type=Path)
    options.add_argument("--features")
    wish = options.parse_args()
    wish.out.mkdir(parents=True, exist_ok=True)
    run = wish.run
    if run is None:
        run = uw.train(
            "funit", wish.data, preset=wish.preset, size=64, minutes=wish.minutes, batch=wish.batch, seed=wish.seed, out=wish.out / "run"
        ).path
    model = uw.load(run)
    report = uw.evaluate(model, "glyphs@test", wish.out / "report", features=wish.features)
    print(report)
    figures = {**report.json(), **seen(model), **legible(model), "seconds_an_alphabet": seconds_an_alphabet(model)}
    if wish.fonts is not None:
        figures |= outside(model, fonts_in(wish.fonts), wish.out)
    (wish.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    print({name: value for name, value in figures.items() if name.startswith(("outside", "seconds", "seen", "characters"))})
    print(wish.out / "figures.json")


if __name__ == "__main__":
    main()
