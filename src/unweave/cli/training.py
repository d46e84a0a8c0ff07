"""Commands that train: train, resume; and the words that name data, which evaluate takes too."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from unweave.cli import UsageError, configs, result, say
from unweave.cli.parsing import Flag, count, option, parse, words
from unweave.errors import did_you_mean

if TYPE_CHECKING:
    from unweave.data import Source
    from unweave.data.dataset import Dataset
    from unweave.method import Method
    from unweave.runs import Run


@dataclass(kw_only=True)
class Data:
    """The words that name data: a spec, two folders, or a folder with a table."""

    data: Annotated[str | None, option("SPEC")] = None
    """A built-in set, name[:part[,part]][@train|val|test], such as faces:glasses; unweave data --help lists them."""
    data_n: Annotated[str | None, option("N", name="data.n")] = None
    """Pictures of each set to learn from, of a built-in one: 20k; more than usual are drawn first."""
    data_a: Annotated[str | None, option("DIR", name="data.a")] = None
    """Folder of pictures without the part."""
    data_b: Annotated[str | None, option("DIR", name="data.b")] = None
    """Folder of pictures with the part; the two show the same kind of thing, but not the same ones."""
    data_images: Annotated[str | None, option("DIR", name="data.images")] = None
    """Folder of pictures, with --data.attributes."""
    data_attributes: Annotated[str | None, option("TABLE", name="data.attributes")] = None
    """Table of their attributes: CSV with a header, or CelebA's list_attr."""
    data_classes: Annotated[str | None, option("DIR", name="data.classes")] = None
    """Folder of classes: a folder of pictures each, or font files (TTF, OTF, WOFF, WOFF2)."""
    data_motion: Annotated[str | None, option("DIR", name="data.motion")] = None
    """Folder of motions in space (.bvh, or .amc with .asf), for methods that read clips."""
    data_part: Annotated[str | None, option("COLUMN", name="data.part")] = None
    """Column of the table that tells the two sets apart; A,B: set a shows the first alone, b the second alone."""
    data_above: Annotated[float | None, option("X", name="data.above")] = None
    """Pictures above this in the column have the part."""
    data_below: Annotated[float | None, option("X", name="data.below")] = None
    """Pictures below this have not; those between are left out."""
    data_group: Annotated[str | None, option("REGEX", name="data.group")] = None
    """What in a file name says whose picture it is: a person stays in one split."""
    data_fit: Annotated[Literal["crop", "pad", "stretch"], tyro.conf.arg(name="data.fit")] = "crop"
    """How a picture becomes square."""
    data_flip: Annotated[Flag, tyro.conf.arg(name="data.flip")] = False
    """Mirror half of the training pictures."""
    data_varied: Annotated[Flag, tyro.conf.arg(name="data.varied")] = False
    """With --data.classes, of font files: learn from five more typefaces made of each (as in glyphs:varied)."""
    data_beside: Annotated[str | None, option("SPEC", name="data.beside")] = None
    """With --data.classes, of font files: learn from the built-in typefaces, too; glyphs or glyphs:varied."""


@dataclass(kw_only=True)
class Running(Data):
    """How long, on what and how."""

    spec: Annotated[Positional[str | None], words("DATA")] = None
    """The same as --data SPEC."""
    images: Annotated[str | None, option("N")] = None
    """Pictures to read, all sets together: 200k, 1.5M; 200k if neither this nor --minutes is given."""
    minutes: Annotated[float | None, option("M")] = None
    """Minutes to train instead: 50 measured steps turn them into a number of images."""
    batch: Annotated[int, option("N")] = 32
    """Pictures of each set in a step; 32 if not given."""
    seed: Annotated[int, option("N")] = 0
    """The same seed gives the same model, to the byte, on the same machine."""
    out: Annotated[str | None, option("DIR", "-o")] = None
    """A new folder for the run; runs/METHOD-DATA if not given."""
    device: Annotated[str, option("D")] = "auto"
    """cpu, cuda, cuda:1, mps; auto takes the best."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the processor is good at it."""
    accumulate: Annotated[int, option("N")] = 1
    """Batches in a step, for memory that is too small for one large batch."""
    preset: Annotated[str | None, option("NAME")] = None
    """A named config of the method (unweave methods lists them)."""
    start: Annotated[str | None, option("MODEL")] = None
    """Start with this model's settings and weights (a shipped name, a run, a file): to adapt it to your pictures, or to go on."""
    config: Annotated[str | None, option("FILE.yaml")] = None
    """Options from a file, such as "batch: 16"; options on the command line win."""
    dry_run: Flag = False
    """Say what would be trained on what, and how long it would take; then stop."""


@dataclass(kw_only=True)
class Resume:
    """Go on with a run that was stopped, as if it never had been.

    unweave resume RUN --help lists its method's settings: those that need no other networks may change, such as --lr, or --paired of funit.
    """

    run: Annotated[Positional[str], words("RUN")]
    """The run's folder."""
    images: Annotated[str | None, option("N")] = None
    """A new, larger number of pictures to read in all."""


def train(argv: list[str]) -> int:
    """unweave train METHOD DATA ..."""
    from unweave.methods import METHODS

    if not argv or argv[0] in ("-h", "--help"):
        print(f"The methods: {', '.join(METHODS)}. unweave train METHOD --help lists a method's own options too.\n")
        parse(Running, ["--help"], "train METHOD")
    method = argv[0]
    if method.startswith("-"):
        raise UsageError("The method comes first: unweave train METHOD DATA ...")
    if method not in METHODS:
        raise UsageError(f'There is no method "{method}": {did_you_mean(method, METHODS)}.')
    wish = _wish(method, argv[1:])
    return _dry(method, wish) if wish.dry_run else _train(method, wish)


def resume(argv: list[str]) -> int:
    """unweave resume RUN [--images N] [settings of its method]"""
    folder = next((word for word in argv if (Path(word) / "config.json").is_file()), None) or parse(Resume, argv, "resume").run
    from unweave import recipe, runs
    from unweave.methods import get

    run = runs.Run(folder)
    config = runs.configured(get(run.config["method"]), run.config["config"])
    own: Any = tyro.conf.OmitArgPrefixes[type(config)]  # type: ignore[misc]
    kind: Any = dataclasses.make_dataclass("Resume", [("method", own, field(default=config))], bases=(Resume,), kw_only=True)
    wish = parse(kind, argv, "resume", kind(run=str(run.path)))
    images = None if wish.images is None else count(wish.images, "--images")
    before = dataclasses.asdict(config)
    changes = {name: value for name, value in dataclasses.asdict(wish.method).items() if value != before[name]}
    if run.finished and images is None and not changes:
        say(f"This run has finished: it has read all of its {run.images:,} images; --images N lets it read more.")
        result(run.path)
        return 0
    return _ended(recipe.resume(run, images, overrides=changes))


def source(wish: Data, spec: str | None = None) -> Source:
    """What the options name: a spec, two folders or a table. Raises UsageError unless it is exactly one of them."""
    from unweave.data import NAMES, BuiltIn, ClassFolders, Folders, Motions, Table

    given = [
        name
        for name, value in {
            "a spec": spec or wish.data,
            "--data.a and --data.b": wish.data_a or wish.data_b,
            "--data.images and --data.attributes": wish.data_images or wish.data_attributes,
            "--data.classes": wish.data_classes,
            "--data.motion": wish.data_motion,
        }.items()
        if value
    ]
    if not given or (spec and wish.data):
        raise UsageError(
            f"Name the data once: a built-in set ({', '.join(NAMES)}; such as faces:glasses), "
            "or --data.a DIR --data.b DIR, or --data.images DIR --data.attributes TABLE, or --data.classes DIR, or --data.motion DIR."
        )
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} are two ways to name the data: keep one.")
    if wish.data_n and given != ["a spec"]:
        raise UsageError(f"--data.n is for built-in sets; {given[0]} give all pictures that are there: leave it out.")
    if wish.data_varied and given != ["--data.classes"]:
        raise UsageError("--data.varied goes with --data.classes DIR, of font files; the built-in typefaces are glyphs:varied.")
    if wish.data_beside and given != ["--data.classes"]:
        raise UsageError("--data.beside goes with --data.classes DIR, of font files; the built-in typefaces alone are glyphs.")
    if wish.data_classes:
        return ClassFolders(wish.data_classes, wish.data_fit, wish.data_varied, wish.data_beside)
    if wish.data_motion:
        return Motions(wish.data_motion, wish.data_group)
    how: dict[str, Any] = {"group": wish.data_group, "fit": wish.data_fit, "flip": wish.data_flip}
    if wish.data_a or wish.data_b:
        if not (wish.data_a and wish.data_b):
            raise UsageError(
                f"--data.{'b' if wish.data_a else 'a'} DIR is missing: two folders are needed, without (a) and with the part (b)."
            )
        return Folders(wish.data_a, wish.data_b, **how)
    if wish.data_images or wish.data_attributes:
        if not (wish.data_images and wish.data_attributes):
            raise UsageError(f"--data.{'attributes TABLE' if wish.data_images else 'images DIR'} is missing.")
        return Table(wish.data_images, wish.data_attributes, wish.data_part, wish.data_above, wish.data_below, **how)
    name = str(spec or wish.data)
    return BuiltIn(name, count(wish.data_n, "--data.n")) if wish.data_n else name


# -- train ---------------------------------------------------------------------------------------------------------------------


def _wish(method: str, argv: list[str]) -> Any:
    """The options of this method's training: its preset, changed by the config file, changed by the command line."""
    from unweave import recipe
    from unweave.methods import get

    kind: Any = get(method)
    preset, file = _before(argv, "--preset"), _before(argv, "--config")
    values = configs.read(file) if file else {}
    preset, start = preset or values.get("preset"), _before(argv, "--start") or values.get("start")
    here = f'The config file "{file}"'
    run_kinds, own_kinds = configs.kinds(Running), configs.kinds(kind.Config)
    named = values.pop("data", {})
    named = {"data": named} if isinstance(named, str) else {f"data_{key}": value for key, value in named.items()}
    options = configs.checked(values | named, {**own_kinds, **run_kinds, "images": int | str | None, "data_n": int | str | None}, here)
    config = recipe.configure(method, preset, {key: value for key, value in options.items() if key in own_kinds}, start=start)
    running = {key: value for key, value in options.items() if key in run_kinds and key not in own_kinds}
    running |= {key: str(running[key]) for key in ("images", "data_n") if key in running}
    own: Any = tyro.conf.OmitArgPrefixes[kind.Config]  # type: ignore[misc]
    wish: Any = dataclasses.make_dataclass("Train", [("method", own, field(default=config))], bases=(Running,), kw_only=True)
    wish.__doc__ = f"Train {method} on two folders of pictures, a table or a built-in set."
    return parse(wish, argv, f"train {method}", wish(**running))


def _before(argv: list[str], flag: str) -> str | None:
    """The value of an option that decides how the others are read."""
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None


def _train(method: str, wish: Any) -> int:
    from unweave import recipe
    from unweave.data import load
    from unweave.runs import Run

    named = source(wish, wish.spec)
    # What can be refused at once is, before pictures are drawn.
    _model(method, wish, device="meta")
    if wish.out is not None and os.environ.get("RANK", "0") == "0":  # of several processes, the first makes the folder
        Run.vacant(wish.out)
    _announce(load(named, size=wish.method.size, split="train"))
    run = recipe.train(
        method,
        named,
        preset=wish.preset,
        start=wish.start,
        overrides=dataclasses.asdict(wish.method),
        batch=wish.batch,
        images=None if wish.images is None else count(wish.images, "--images"),
        minutes=wish.minutes,
        seed=wish.seed,
        out=wish.out,
        device=wish.device,
        precision=wish.precision,
        accumulate=wish.accumulate,
    )
    return _ended(run)


def _model(method: str, wish: Any, device: str = "cpu") -> Method:
    import torch

    from unweave import runs
    from unweave.methods import get

    with torch.device(device):
        return runs.build(get(method), dataclasses.asdict(wish.method))


def _ended(run: Run) -> int:
    """Say how the training ended; -> the exit status."""
    if run.finished:
        result(run.path)
        return 0
    say(f"Stopped after {run.images:,} images, and saved. Go on with: unweave resume {run.path}")
    result(run.path)
    return 1


def _announce(learned: Dataset) -> None:
    """How much there is to learn from, and what is wrong with it."""
    kinds = {name: number for name, number in learned.lengths.items() if learned.offers[name].kind == "image"}
    counts = " and ".join(f"{number:,} pictures{f' of {name}' if len(kinds) > 1 else ''}" for name, number in kinds.items())
    if not kinds:
        counts = " and ".join(f"{number:,} of {name}" for name, number in learned.lengths.items())
    say(f"{learned.spec}: {counts} to learn from.")
    for note in learned.notes:
        say(f"  {note}")


def _dry(method: str, wish: Any) -> int:
    """What would be trained: networks, data, steps and time."""
    from unweave import machine, models, recipe
    from unweave.data import load
    from unweave.data.feed import Feed, match
    from unweave.logs import duration
    from unweave.methods import get
    from unweave.train import Settings, Training

    learned = load(source(wish, wish.spec), size=wish.method.size, split="train")
    wish.method = get(method).suited(wish.method, learned)
    model = _model(method, wish)
    if wish.start is not None:
        recipe.fits(models.load(wish.start), model)
    print(f"{method} at {model.size} px, {_parameters(model):,} parameters; {_parameters(model, kept=True):,} of them stay in the model:")
    for name, network in model.named_children():
        print(f"  {name:<14} {sum(p.numel() for p in network.parameters()):>12,}")
    learned = match(model.needs, learned)
    print("needs " + ", ".join(f"{key}: {need.kind} {need.shape}" for key, need in model.needs.items()))
    print("gets  " + ", ".join(f"{key}: {offer.kind} {offer.shape} x {learned.lengths[key]:,}" for key, offer in learned.offers.items()))
    for note in learned.notes:
        print(f"  {note}")
    images = None if wish.images is None else count(wish.images, "--images")
    if images is None and wish.minutes is None:
        images = 200_000
    settings = Settings(images, wish.minutes, wish.batch, wish.seed, wish.device, wish.precision, wish.accumulate)
    here = machine.place(wish.device)
    feed = Feed(learned, wish.batch, wish.seed, here.rank, here.world, here.device)
    job = Training(model, feed, settings, here)
    job.method.prepare(feed(0))
    job.advance(stop=False, seconds=0.0)  # the first step pays for warming up
    started = time.perf_counter()
    for _ in range(3):
        job.advance(stop=False, seconds=0.0)
    seconds = (time.perf_counter() - started) / 3 * model.dearer
    feed.close()
    steps = job.total or round(60 * (wish.minutes or 0) / seconds)
    speed = f"{job.per_step / seconds:.0f} images/s on {here.device}"
    print(f"{steps:,} steps of {job.per_step} images at {speed}: about {duration(steps * seconds)}")
    result(wish.out or Path("runs"))
    return 0


def _parameters(model: Method, kept: bool = False) -> int:
    names = model.kept() if kept else None
    return sum(p.numel() for name, p in model.named_parameters() if names is None or name in names)
