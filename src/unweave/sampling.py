"""Files of models that draw pictures out of noise: samples, mixtures, loops, projections, and edits along saved directions.

What stands for a picture in these commands: a seed, a picture (which is projected first), or a file of codes that a projection wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as packed
from torch import Tensor

from unweave import runs, sampled
from unweave.attributes import detect
from unweave.codes import Codes
from unweave.data import Source
from unweave.data import load as load_data
from unweave.data.labelled import label_names, labelled
from unweave.data.photo import Photo
from unweave.edits import BATCH, Done, folder, pictures, read, save_image
from unweave.errors import UserError, did_you_mean
from unweave.figures import animate
from unweave.method import Method
from unweave.metrics import judges, samples, steering
from unweave.pictures import Sheet, draw, gif, strip, to_image
from unweave.verbs import require

CODES = ".safetensors"
KEY = "unweave"  # of the metadata
STEPS = 500  # of a projection
ACROSS = 8  # pictures in a row of a sheet
JUDGED = 10_000  # samples that labelled directions are found among
FPS = 25
SHOWN = (-3.0, -1.5, 0.0, 1.5, 3.0)  # amounts on the sheet of directions
STRIDE = 2.0  # amount of a labelled direction that brings a sample from the middle to where its judge sees the attribute

Progress = Callable[[int, int, float], None]


# -- samples -------------------------------------------------------------------------------------------------------------------


def sample(model: Method, seeds: Sequence[int], out: Path, truncation: float = sampled.PSI, noise: bool = True) -> Done:
    """A picture for each seed, OUT/<seed>.png, and OUT/sheet.png."""
    made = sampled.sample(model, seeds, truncation, noise).cpu()
    folder(out)
    done = Done([save_image(to_image(picture), out / f"{seed}.png") for seed, picture in zip(seeds, made, strict=True)])
    shown = made[: ACROSS * ACROSS]
    done.sheet = save_image(draw(Sheet([list(row) for row in shown.split(ACROSS)])), out / "sheet.png")
    return done


def mix(model: Method, sources: Sequence[str], onto: Sequence[str], layers: str, out: Path, truncation: float = sampled.PSI) -> Done:
    """Each of `onto` with these layers of each source's styles: OUT/<source>-<onto>.png; OUT/sheet.png has sources down, `onto` across.

    sources, onto: seeds, as 3 or 0-4, and files of codes.
    """
    require(model, "mix")
    first, second = (_codes(model, words, truncation) for words in (sources, onto))
    cells = sampled.mix(model, Codes.stack(*first.values()), Codes.stack(*second.values()), layers, truncation).cpu()
    folder(out)
    done = Done()
    for name, row in zip(first, cells, strict=True):
        done.written += [save_image(to_image(cell), out / f"{name}-{other}.png") for other, cell in zip(second, row, strict=True)]
    left, top = (sampled.drawn(model, Codes.stack(*some.values())) for some in (first, second))
    rows = [[None, *top], *[[source, *row] for source, row in zip(left, cells, strict=True)]]
    done.sheet = save_image(draw(Sheet(rows, top=["", *second], left=["", *first])), out / "sheet.png")
    return done


def loop(model: Method, seeds: Sequence[int], out: Path, steps: int, truncation: float = sampled.PSI) -> Path:
    """A seamless walk past all seeds' pictures, `steps` frames from one to the next: out, if it is a .gif or .mp4, else OUT/<seeds>.gif."""
    frames = sampled.loop(model, seeds, steps, truncation=truncation).cpu()
    path = out if out.suffix.lower() in (".gif", ".mp4") else out / f"{'-'.join(map(str, seeds))}.gif"
    folder(path.parent)
    scale = max(1, round(256 / model.size))
    whole = (to_image(frame) for frame in frames)
    animate((one.resize((one.width * scale, one.height * scale), Image.Resampling.NEAREST) for one in whole), path, FPS)
    return path


# -- codes as files ------------------------------------------------------------------------------------------------------------


def save_codes(codes: Codes, path: Path, model: Method) -> Path:
    """Codes of one picture, as every command here takes them."""
    runs.write(path, packed({name: code.cpu().contiguous() for name, code in codes.items()}, {KEY: json.dumps({"codes": model.name})}))
    return path


def load_codes(path: Path, model: Method) -> Codes:
    """Codes of one picture, for this model. Raises UserError for a file that holds none, or another model's."""
    kept, about = _opened(path)
    if "codes" not in about:
        raise UserError(f"{path} holds no codes: unweave project writes them.")
    declared = {code.name: code.shape for code in model.codes}
    for name, code in kept.items():
        if tuple(code.shape[1:]) != declared.get(name):
            raise UserError(f"{path} holds codes of another model: project the picture into this one (unweave project).")
    return Codes(**{name: code.to(next(model.parameters())) for name, code in kept.items()})


def _opened(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    if not path.is_file():
        raise UserError(f'There is no file "{path}".')
    try:
        with safe_open(path, "pt") as opened:
            about = json.loads((opened.metadata() or {}).get(KEY, "{}"))
        return load_file(path), about if isinstance(about, dict) else {}
    except (SafetensorError, ValueError, OSError) as error:
        raise UserError(f"{path} is damaged, or not a .safetensors file.") from error


def seeds_of(text: str) -> list[int]:
    """Seeds as people write them: 7, 0-15, 3,7,9-12. Raises UserError for anything else."""
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise UserError(f'Seeds are whole numbers from 0 on, such as 7, 0-15 or 3,7,9, not "{text}".')
        start, end = int(first), int(last or first)
        if end < start:
            raise UserError(f"Seeds {start}-{end} run backwards: write {end}-{start}.")
        if end - start >= 100_000:
            raise UserError(f"{start}-{end} are {end - start + 1:,} pictures: ask for at most 100,000 at once.")
        found += range(start, end + 1)
    return found


def _codes(model: Method, words: Sequence[str], truncation: float) -> dict[str, Codes]:
    """Seeds and files of codes, by name."""
    found: dict[str, Codes] = {}
    for word in words:
        if word.endswith(CODES):
            found[Path(word).stem] = load_codes(Path(word), model)
        else:
            seeds = seeds_of(word)
            many = sampled.seeded(model, seeds, truncation)
            found |= {str(seed): many.take(slice(i, i + 1)).only("style", "noise") for i, seed in enumerate(seeds)}
    return found


# -- pictures of one's own -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One picture to edit, as codes. path: its file, None of a seed. square: what the model saw of it, (3, S, S); None where codes came."""

    name: str
    codes: Codes
    path: Path | None = None
    square: Tensor | None = None
    psnr: float | None = None

    def image(self, drawn: Tensor, fit: str) -> Image.Image:
        """What was drawn, (3, S, S): in its place of the whole picture where there is one."""
        if self.path is None or self.square is None:
            return to_image(drawn)
        return Photo(self.path, drawn.shape[-1], fit).paste(drawn)


def entered(
    model: Method, words: Sequence[str], fit: str, steps: int, done: Done, space: str = "w+", progress: Progress | None = None
) -> Iterator[Entry]:
    """Pictures, folders of them, files of codes and seeds, as codes; pictures that cannot be read go to `done.broken`.

    Raises UserError for what is none of these, and if no picture can be read.
    """
    require(model, "project")
    paths: list[Path] = []
    names: dict[str, int] = {}

    def name(stem: str) -> str:
        names[stem] = names.get(stem, 0) + 1
        return stem if names[stem] == 1 else f"{stem}-{names[stem]}"

    for word in words:
        if word.endswith(CODES):
            yield Entry(name(Path(word).stem), load_codes(Path(word), model))
        elif word.isdecimal() and not Path(word).exists():
            yield Entry(name(word), sampled.seeded(model, [int(word)]).only("style", "noise"))
        else:
            paths += pictures([word])
    if not paths:
        return
    squares = read(paths, model.size, fit, done)
    for start in range(0, len(squares), BATCH):
        part = squares[start : start + BATCH]
        batch = torch.stack([square for _, square in part]).to(next(model.parameters()))
        found = model.project(batch, steps, space=space, progress=progress)  # type: ignore[arg-type]
        for i, (path, square) in enumerate(part):
            yield Entry(name(path.stem), found.codes.take(slice(i, i + 1)), path, square, float(found.psnr[i]))


def project(
    model: Method,
    words: Sequence[str],
    out: Path,
    steps: int = STEPS,
    space: str = "w+",
    fit: str = "crop",
    progress: Progress | None = None,
) -> Done:
    """Pictures as this model can draw them: OUT/<stem>.png and, for other commands, OUT/<stem>.safetensors with the codes."""
    done, columns = Done(), list[tuple[Tensor, Tensor]]()
    _apart(words, out)
    folder(out)
    for entry in entered(model, words, fit, steps, done, space, progress):
        drawn = sampled.drawn(model, entry.codes)[0].cpu()
        done.written.append(save_image(entry.image(drawn, fit), out / f"{entry.name}.png"))
        save_codes(entry.codes, out / f"{entry.name}{CODES}", model)
        if entry.psnr is not None:
            done.notes.append(
                f"{entry.name}: {entry.psnr:.1f} dB (peak signal to noise; above 24 a face is well met, below 18 it is another)"
            )
        columns.append((drawn if entry.square is None else entry.square, drawn))
    done.sheet = _before_and_after(columns, "drawn", out)
    return done


def _before_and_after(columns: Sequence[tuple[Tensor, Tensor]], what: str, out: Path) -> Path:
    rows: list[list[Tensor | None]] = [[before for before, _ in columns[:ACROSS]], [after for _, after in columns[:ACROSS]]]
    return save_image(draw(Sheet(rows, left=["before", what])), out / "sheet.png")


def _apart(words: Sequence[str], out: Path) -> None:
    if any(Path(word).resolve() == (out / Path(word).name).resolve() for word in words):
        raise UserError(f'The results would overwrite the pictures themselves: choose another folder than "{out}" with -o.')


# -- directions ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Direction:
    """A direction of w and the layers in which it acts. vector: (W,), as long as one standard deviation along it; of judged samples also
    one for each layer, (L, W), and as long as `STRIDE` asks."""

    vector: Tensor
    layers: tuple[int, ...]


def save_directions(found: Mapping[str, Direction], path: Path) -> Path:
    """Directions by name, in one file."""
    about = {"directions": {name: list(one.layers) for name, one in found.items()}}
    runs.write(path, packed({name: one.vector.cpu().contiguous() for name, one in found.items()}, {KEY: json.dumps(about)}))
    return path


def load_directions(path: Path, model: Method) -> dict[str, Direction]:
    """Raises UserError for a file that holds none, or another model's."""
    kept, about = _opened(path)
    layers = about.get("directions")
    if not isinstance(layers, dict) or layers.keys() != kept.keys():
        raise UserError(f"{path} holds no directions: unweave directions writes them.")
    shape = next(code.shape for code in model.codes if code.name == "style")
    fit = {
        name: tuple(vector.shape) in (shape[1:], shape) and set(layers[name]) <= set(range(shape[0] or 0)) for name, vector in kept.items()
    }
    if not all(fit.values()):
        raise UserError(f"{path} holds directions of another model: make them anew (unweave directions).")
    return {name: Direction(kept[name], tuple(layers[name])) for name in layers}


def directions(
    model: Method,
    out: Path,
    count: int = 8,
    kind: str = "factorised",
    layers: str = "all",
    examples: tuple[str, str] | None = None,
    data: Source | None = None,
    steps: int = STEPS,
    fit: str = "crop",
) -> Done:
    """Directions of w, in OUT/directions.safetensors, and what they do, in OUT/sheet.png. Those that are in the file already stay in it.

    Without examples and data: `count` directions found without labels, called 1, 2 ... examples: two folders of pictures, without and with
    something; the direction from one to the other is called as the second folder. data: a set with attributes; a judge learns them, looks
    at samples, and each attribute that some samples have gives a direction of its name.
    """
    require(model, "directions")
    done = Done()
    if examples is not None:
        found = {Path(examples[1]).stem: _from_examples(model, examples, layers, steps, fit, done)}
    elif data is not None:
        found = _from_samples(model, data, done)
    else:
        some = model.directions(count, kind, layers)  # type: ignore[arg-type]
        found = {str(i + 1): Direction(vector, some.layers) for i, vector in enumerate(some.vectors)}
    folder(out)
    path = out / f"directions{CODES}"
    before = load_directions(path, model) if path.exists() else {}
    done.written = [save_directions(before | found, path)]
    codes = sampled.seeded(model, range(2))
    rows = []
    for one in found.values():
        cells: list[Tensor | None] = []
        for i in range(2):
            moved = model.along(codes["style"][i : i + 1], one.vector, torch.tensor(SHOWN), one.layers)
            cells += [*sampled.drawn(model, Codes(style=moved, noise=codes["noise"][i : i + 1])), None]
        rows.append(cells[:-1])
    heads = [f"{amount:g}" for amount in SHOWN]
    done.sheet = save_image(draw(Sheet(rows, top=[*heads, "", *heads], left=list(found))), out / "sheet.png")
    return done


def _from_examples(model: Method, examples: tuple[str, str], layers: str, steps: int, fit: str, done: Done) -> Direction:
    """From the first folder's pictures to the second's. They are projected into w, where pictures that differ in much lie comparably."""
    styles, labels = list[Tensor](), list[float]()
    for label, name in enumerate(examples):
        for entry in entered(model, [name], fit, steps, done, "w"):
            styles.append(entry.codes["style"])
            labels.append(label)
    vector = model.labelled_direction(torch.cat(styles), torch.tensor(labels))
    return Direction(vector, tuple(sampled.chosen(model, layers)))


@torch.no_grad()
def _from_samples(model: Method, data: Source, done: Done) -> dict[str, Direction]:
    """One for each attribute of the data, by a judge of its pictures (`metrics.steering`); `STRIDE` times it is as far as chosen there."""
    train = load_data(data, size=model.size, split="train")
    names = label_names(train)
    known = labelled(train, names)
    table = known.take("attributes", range(known.lengths["attributes"]))
    kinds = tuple(kind for kind in detect(names, table) if kind.classes <= 2)
    judge = judges.attribute_judge(labelled(train, [kind.name for kind in kinds]), kinds)
    codes = [samples.codes_of(model, at, samples.CHUNK) for at in range(0, JUDGED, samples.CHUNK)]
    answers = [judge(sampled.drawn(model, part | Codes(style=model.map(part["z"])))) for part in codes]
    w = torch.cat([model.map(part["z"])[:, 0] for part in codes]).float().cpu()
    ways = steering.find(model, kinds, w, torch.cat(answers).cpu(), judge)
    done.notes += [
        f"no direction for {kind.name}: the judge sees it in all samples or in none" for kind, way in zip(kinds, ways) if way is None
    ]
    found = {
        kind.name: Direction(way.vector * (float(way.reach) / STRIDE), tuple(sampled.chosen(model, "all")))
        for kind, way in zip(kinds, ways)
        if way is not None
    }
    if not found:
        raise UserError(f"No attribute of {train.spec} is seen in some samples and not in others: give examples (--examples WITHOUT WITH).")
    return found


def slide(
    model: Method, words: Sequence[str], file: Path, name: str, values: Sequence[float], out: Path, fit: str = "crop", steps: int = STEPS
) -> Done:
    """Each picture moved along a saved direction, by each of these standard deviations: OUT/<stem>-<i>.png, -strip.png and .gif."""
    one, done = _named(model, file, [name])[0], Done()
    labels, rows = [f"{name} {value:+g}" for value in values], list[list[Tensor | None]]()
    _apart(words, out)
    folder(out)
    for entry in entered(model, words, fit, steps, done):
        moved = model.along(entry.codes["style"], one.vector, torch.tensor(list(values)), one.layers)
        frames = sampled.drawn(model, entry.codes | Codes(style=moved)).cpu()
        done.written += [save_image(entry.image(frame, fit), out / f"{entry.name}-{i}.png") for i, frame in enumerate(frames)]
        whole = [entry.square, *frames] if entry.square is not None else list(frames)
        titles = ["picture", *labels] if entry.square is not None else labels
        save_image(draw(strip(whole, titles)), out / f"{entry.name}-strip.png")
        gif([draw(Sheet([[frame]], top=[label])) for frame, label in zip(frames, labels)], out / f"{entry.name}.gif", seconds=0.25)
        rows.append([entry.square, *frames])
    first = 0 if any(row[0] is not None for row in rows) else 1  # of seeds and codes there is no picture to show beside
    done.sheet = save_image(draw(Sheet([row[first:] for row in rows[:ACROSS]], top=["picture", *labels][first:])), out / "sheet.png")
    return done


def assign(
    model: Method, words: Sequence[str], file: Path, amounts: Mapping[str, float], out: Path, fit: str = "crop", steps: int = STEPS
) -> Done:
    """Each picture moved along several saved directions at once, each by so many standard deviations: OUT/<stem>.png."""
    ways, done, columns = _named(model, file, list(amounts)), Done(), list[tuple[Tensor, Tensor]]()
    _apart(words, out)
    folder(out)
    for entry in entered(model, words, fit, steps, done):
        style = entry.codes["style"]
        for one, amount in zip(ways, amounts.values(), strict=True):
            style = model.along(style, one.vector, amount, one.layers)
        before, after = (sampled.drawn(model, entry.codes | Codes(style=s))[0].cpu() for s in (entry.codes["style"], style))
        done.written.append(save_image(entry.image(after, fit), out / f"{entry.name}.png"))
        columns.append((before if entry.square is None else entry.square, after))
    done.sheet = _before_and_after(columns, "after", out)
    return done


def _named(model: Method, file: Path, names: Sequence[str]) -> list[Direction]:
    kept = load_directions(file, model)
    for name in names:
        if name not in kept:
            raise UserError(f'{file} has no direction "{name}": {did_you_mean(name, kept)}.')
    return [kept[name] for name in names]
