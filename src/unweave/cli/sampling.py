"""Commands of models that draw pictures out of noise: sample, mix, project, directions. (interpolate stands with the other edits.)"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from unweave.cli import UsageError
from unweave.cli.editing import Edit, model_of, report, some
from unweave.cli.parsing import Flag, joined, option, parse, words


@dataclass(kw_only=True)
class Drawing:
    """What every command takes that draws out of noise."""

    model: Annotated[Positional[str], words("MODEL")]
    """A run folder, a weights file, a shipped name (unweave models), or OWNER/NAME on the Hugging Face hub."""
    out: Annotated[str, option("OUT", "-o")]
    """Folder for the results."""
    device: Annotated[str, option("D")] = "auto"
    """cpu, cuda, cuda:1, mps; auto takes the best."""


@dataclass(kw_only=True)
class Sample(Drawing):
    """Draw pictures: OUT/<seed>.png for each seed, always the same ones, and OUT/sheet.png."""

    seeds: Annotated[str, option("0-15")] = "0-15"
    """Which: 7, 0-15, or 3,7,9."""
    truncation: Annotated[float, option("X")] = 0.7
    """1 draws everything the model knows, less is better and more alike, 0 is its mean; 0.7 if not given."""
    no_noise: Flag = False
    """Without the random details of hair, grain and so on."""


@dataclass(kw_only=True)
class Mix(Drawing):
    """Pictures of `--onto` with some styles of each of `--sources`: OUT/<source>-<onto>.png, and OUT/sheet.png with sources down."""

    sources: Annotated[list[str], option("0-4")] = field(default_factory=lambda: ["0-4"])
    """Seeds, and files of codes that `unweave project` wrote."""
    onto: Annotated[list[str], option("5-9")] = field(default_factory=lambda: ["5-9"])
    """Likewise."""
    layers: Annotated[str, option("coarse|middle|fine|4-7")] = "coarse"
    """Whose styles are the sources': coarse (shapes), middle, fine (colours), several with commas between them, or numbers."""
    truncation: Annotated[float, option("X")] = 0.7
    """As of `unweave sample`."""


@dataclass(kw_only=True)
class Project(Edit):
    """Find pictures among those that the model can draw: OUT/<picture>.png, and OUT/<picture>.safetensors, codes that mix, slide and set
    take in place of a picture."""

    images: Annotated[Positional[list[str]], words("IMAGE...")]
    """Pictures of any size, or folders."""
    steps: Annotated[int, option("N")] = 500
    """More come nearer; 500 if not given."""
    space: Literal["w+", "w"] = "w+"
    """w+, a style for each layer, comes nearer; w, one for all, is better edited."""


@dataclass(kw_only=True)
class Directions(Drawing):
    """Directions in which pictures change most, or by which something comes and goes: OUT/directions.safetensors, for `unweave slide` and
    `unweave set`, and OUT/sheet.png. What the file holds already stays in it."""

    count: Annotated[int, option("N")] = 8
    """How many are looked for without labels; 8 if not given."""
    kind: Literal["factorised", "pca"] = "factorised"
    """How: by what the layers stretch most, or by what varies most."""
    layers: Annotated[str, option("coarse|middle|fine|4-7")] = "all"
    """In which layers."""
    examples: Annotated[list[str], option("WITHOUT WITH")] = field(default_factory=list)
    """Two folders of pictures: the direction from one to the other, called as the second."""
    data: Annotated[str | None, option("SPEC")] = None
    """A built-in set with attributes (faces): a judge learns them and looks at samples; one direction for each."""
    steps: Annotated[int, option("N")] = 500
    """Of the projection of the examples."""


def sample(argv: list[str]) -> int:
    """unweave sample MODEL --seeds 0-15 --truncation 0.7 -o OUT"""
    wish = parse(Sample, joined(argv, "--truncation"), "sample")
    from unweave import sampling

    seeds = sampling.seeds_of(wish.seeds)
    return report(sampling.sample(model_of(wish.model, wish.device), seeds, Path(wish.out), wish.truncation, not wish.no_noise))


def mix(argv: list[str]) -> int:
    """unweave mix MODEL --sources 0-4 --onto 5-9 --layers coarse|middle|fine|4-7 -o OUT"""
    wish = parse(Mix, joined(argv, "--truncation"), "mix")
    if not wish.sources or not wish.onto:
        raise UsageError("Say seeds or files of codes after --sources and --onto.")
    from unweave import sampling

    model = model_of(wish.model, wish.device)
    return report(sampling.mix(model, wish.sources, wish.onto, wish.layers, Path(wish.out), wish.truncation))


def project(argv: list[str]) -> int:
    """unweave project MODEL IMAGE... -o OUT"""
    wish = parse(Project, argv, "project")
    from unweave import sampling

    model = model_of(wish.model, wish.device)
    return report(sampling.project(model, some(wish.images), Path(wish.out), wish.steps, wish.space, wish.fit, progress()))


def directions(argv: list[str]) -> int:
    """unweave directions MODEL [--examples A B | --data SPEC] -o OUT"""
    wish = parse(Directions, argv, "directions")
    if wish.examples and len(wish.examples) != 2:
        raise UsageError(f"--examples takes two folders, pictures without and with it, not {len(wish.examples)}.")
    if wish.examples and wish.data:
        raise UsageError("Give --examples or --data, not both: the second call adds to the same file.")
    from unweave import sampling

    model, examples = model_of(wish.model, wish.device), (wish.examples[0], wish.examples[1]) if wish.examples else None
    return report(sampling.directions(model, Path(wish.out), wish.count, wish.kind, wish.layers, examples, wish.data or None, wish.steps))


def progress() -> Callable[[int, int, float], None] | None:
    """Says how a projection goes, on a terminal."""
    if not sys.stderr.isatty():
        return None

    def hear(step: int, steps: int, psnr: float) -> None:
        if step % 10 == 0 or step == steps:
            print(f"\rstep {step} of {steps}: {psnr:.1f} dB", end="\n" if step == steps else "", file=sys.stderr, flush=True)

    return hear
