"""Every registered method through the same checks: what a trainer, an edit and a model file may rely on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from contract import tiny
from contract.tiny import TINY, batch, build
from unweave import runs, sampled, verbs
from unweave.attributes import width
from unweave.cli import configs
from unweave.cli.training import Running
from unweave.codes import Codes
from unweave.errors import UserError
from unweave.method import Method
from unweave.methods import METHODS, get
from unweave.pictures import draw
from unweave.runs import Run
from unweave.schedules import value
from unweave.train import Settings, train

each = pytest.mark.parametrize("name", tiny.CASES)
each_encoder = pytest.mark.parametrize("name", [case for case in tiny.CASES if tiny.kind(case).encodes])


def test_every_method_is_checked() -> None:
    assert TINY.keys() == METHODS.keys()


# -- what it says of itself ----------------------------------------------------------------------------------------------------


@each
def test_config_survives_json(name: str) -> None:
    model = build(name)
    again = runs.build(tiny.kind(name), json.loads(json.dumps(model.settings())))
    assert again.config == model.config and again.settings() == model.settings()


@each
def test_presets_build(name: str) -> None:
    kind = tiny.kind(name)
    assert "paper" in kind.PRESETS
    for preset in kind.PRESETS.values():
        with torch.device("meta"):
            assert kind(preset).kept()


@each
def test_config_fields_are_options_of_their_own(name: str) -> None:
    """No field may be called like an option that every training has; each has a type that the command line can read."""
    own = configs.kinds(tiny.kind(name).Config)
    assert not own.keys() & configs.kinds(Running).keys()
    assert configs.checked(dataclasses.asdict(tiny.config(name)), own, "here") == dataclasses.asdict(tiny.config(name))


@each
@pytest.mark.parametrize("size", [63, -4, 0])
def test_sizes_it_cannot_take_are_named(name: str, size: int) -> None:
    with pytest.raises(UserError, match=str(size)):
        runs.build(tiny.kind(name), {**build(name).settings(), "size": size})


@each
def test_declarations_fit_together(name: str) -> None:
    model = build(name)
    networks = {network for network, _ in model.named_children()}
    moved = [network for group in model.groups.values() for network in group.networks]
    assert set(moved) == networks and len(moved) == len(set(moved)), "each network belongs to one group"
    assert {phase.group for phase in model.phases} == set(model.groups), "each group is moved by a phase"
    assert len({phase.name for phase in model.phases}) == len(model.phases)
    assert all(value(group.optimiser.lr, 0.5) > 0 for group in model.groups.values())
    assert len({code.name for code in model.codes}) == len(model.codes)
    assert model.dearer > 0, "something is learned from the first step on"
    assert tiny.kind(name).name == tiny.method(name)


@each
def test_kept_leaves_critics_out(name: str) -> None:
    model = build(name)
    kept = {key.split(".")[0] for key in model.kept()}
    dropped = {network for group in model.groups.values() if not group.keep for network in group.networks}
    assert not kept & dropped
    assert kept | dropped == {key.split(".")[0] for key in model.state_dict()}


# -- codes ---------------------------------------------------------------------------------------------------------------------


def pictures(model: Method, seed: int = 0, count: int = tiny.BATCH) -> torch.Tensor:
    first = next(iter(batch(model, seed, count).values()))
    return first.flatten(0, -4)[:count]  # of grids as of pictures


def coded(model: Method, x: torch.Tensor) -> Codes:
    """Codes of pictures; of a model that samples instead, as many draws, without what others follow from."""
    if model.encodes:
        return model.encode(x)
    codes = model.sample(len(x), torch.Generator().manual_seed(len(x)))
    return (codes | Codes(style=model.map(codes["z"]))).only("style", "noise") if "style" in {c.name for c in model.codes} else codes


@each
def test_codes_have_the_declared_shapes(name: str) -> None:
    model = build(name).eval()
    codes = coded(model, pictures(model))
    assert codes.keys() == {code.name for code in model.codes if code.source != "sampled"} or not model.encodes
    for code in model.codes:
        if code.name in codes:
            shape = tuple(codes[code.name].shape[1:])
            assert len(shape) == len(code.shape) and all(want in (None, got) for want, got in zip(code.shape, shape)), code


@each_encoder
@pytest.mark.parametrize("domain", ["a", "b"])
def test_codes_of_another_domain_are_exact_zeros(name: str, domain: str) -> None:
    model = build(name).eval()
    with torch.no_grad():
        codes = model.encode(pictures(model), domain=domain)
    for code in model.codes:
        if domain not in code.domains:
            assert torch.count_nonzero(codes[code.name]) == 0
        else:
            assert torch.count_nonzero(codes[code.name]) > 0


@each
def test_decoded_pictures_are_in_range(name: str) -> None:
    model = build(name).eval()
    x = pictures(model)
    with torch.no_grad():
        for out in (model.decode(coded(model, x)), model.decode(coded(model, x), onto=x)):
            made = verbs.made(out)
            assert made.shape == x.shape and torch.isfinite(made).all() and (out.clip is not None or made.abs().max() <= 1)
            assert (out.mask is not None) == model.masks
            if out.mask is not None and out.background is not None:
                assert out.mask.shape == (len(x), 1, *x.shape[2:]) and 0 <= out.mask.min() and out.mask.max() <= 1
                assert out.background.shape == x.shape and out.background.abs().max() <= 1


@each
def test_one_code_goes_with_many(name: str) -> None:
    """A batch of one is broadcast: decoding it beside N others equals decoding N copies."""
    model = build(name).eval()
    x = pictures(model)
    with torch.no_grad():
        codes = coded(model, x)
        one = codes.take(slice(0, 1))
        for code in codes:
            mixed, copies = codes | one.only(code), codes | Codes(**{code: codes[code][:1].expand_as(codes[code]).contiguous()})
            first, second = (verbs.made(model.decode(some, onto=x)) for some in (mixed, copies))
            torch.testing.assert_close(first.expand_as(second), second, rtol=1e-4, atol=1e-5)


@each_encoder
def test_a_picture_is_coded_alike_in_any_batch(name: str) -> None:
    model = build(name).eval()
    x = pictures(model)
    with torch.no_grad():
        many, alone = model.encode(x), model.encode(x[2:3])
    for code in many:
        torch.testing.assert_close(many[code][2:3], alone[code], rtol=1e-4, atol=1e-5)


@each
def test_a_drawing_is_alike_in_any_batch(name: str) -> None:
    model = build(name).eval()
    x = pictures(model)
    with torch.no_grad():
        codes = coded(model, x)
        many, alone = (verbs.made(model.decode(some, onto=onto)) for some, onto in ((codes, x), (codes.take(slice(2, 3)), x[2:3])))
    torch.testing.assert_close(many[2:3], alone, rtol=1e-4, atol=1e-5)


@each
def test_every_offered_verb_runs(name: str) -> None:
    model = build(name).eval()
    x, y = pictures(model), pictures(model, seed=1)
    calls = {
        "transfer": lambda: model.transfer(y[:1], onto=x, direction="b2a"),
        "remove": lambda: model.remove(x),
        "segment": lambda: model.segment(x),
        "translate": lambda: model.translate(x, y),
        "interpolate": lambda: model.interpolate(x[:1], y[:1], code=model.codes[0].name, steps=len(x)),
        "slide": lambda: model.slide(x[:1], model.attributes[0].name, [i / 2 for i in range(len(x))]),
        "set": lambda: model.set(x, {attribute.name: 1 for attribute in model.attributes}),
        "union": lambda: model.union(x, y[:1]),
        "intersection": lambda: model.intersection(x),
        "retarget": lambda: model.retarget(x, y[:1], 45.0),
        "sample": lambda: sampled.sample(model, range(len(x))),
        "mix": lambda: model.mix([9], range(len(x)), "coarse")[0],
        "project": lambda: model.project(x, steps=2).images,
        "directions": lambda: sampled.drawn(model, Codes(style=model.along(coded(model, x)["style"], model.directions(2)[0]))),
    }
    assert set(model.verbs) <= set(calls), "a new verb needs its line here"
    assert model.verbs
    for verb in model.verbs:
        made = calls[verb]()
        assert made.shape == (len(x), 1 if verb == "segment" else x.shape[1], *x.shape[2:]) and torch.isfinite(made).all(), verb


@each
def test_verbs_it_lacks_are_refused(name: str) -> None:
    model = build(name).eval()
    x = pictures(model)
    more = {"transfer": (x,), "slide": ("glasses", [1.0]), "union": (x,), "retarget": (x, x), "mix": (x,)}
    some = {"transfer", "remove", "segment", "slide", "set", "union", "intersection", "retarget", "mix", "project", "directions"}
    for verb in some - set(model.verbs):
        with pytest.raises(UserError, match=verb):
            getattr(model, verb)(x, *more.get(verb, ()))


# -- training ------------------------------------------------------------------------------------------------------------------


def judge_of(model: Method) -> Callable[[torch.Tensor], torch.Tensor]:
    """Stands for a classifier: a probability for each picture, or for each number of the code `attributes`."""
    read = width(model.attributes)
    return lambda x: x.mean((1, 2, 3)).sigmoid() if not read else x.mean((1, 2, 3)).sigmoid()[:, None].expand(-1, read)


class Killed(BaseException):
    """Stands for a process that ends in the middle of a run."""


def trained(name: str, folder: Path, steps: int, die_at: int | None = None) -> Method:
    """A model after some steps of the real trainer; die_at: the step in which the process ends."""
    model = build(name)

    def feed(position: int) -> dict[str, torch.Tensor]:
        if position == die_at:
            raise Killed
        return batch(model, position)

    images = sum(need.pictures for need in model.needs.values())
    settings = Settings(images=steps * tiny.BATCH * images, batch=tiny.BATCH, device="cpu", precision="fp32", save_seconds=0, snapshots=2)
    about = {"method": tiny.method(name), "config": model.settings(), "settings": dataclasses.asdict(settings)}
    run = Run(folder) if folder.exists() else Run.create(folder, about)
    held = batch(model, seed=99)
    train(model, feed, run, settings, lambda m: m.validate(dict(held), judge_of(m)), lambda m: m.preview(dict(held)))
    return model


@each
def test_training_moves_every_group(name: str, tmp_path: Path) -> None:
    first, model = build(name), trained(name, tmp_path / "run", steps=6)  # some start late, with a last layer of zeros
    for group in model.groups.values():
        for network in group.networks:
            both = (getattr(m, network) for m in (first, model))  # of a network without parameters, its statistics
            before, after = (torch.cat([p.flatten() for p in list(one.parameters()) or one.buffers()]) for one in both)
            assert torch.isfinite(after).all() and not torch.equal(before, after), network


@each
def test_saved_and_loaded_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    trained(name, tmp_path / "run", steps=3)
    model = runs.load(tmp_path / "run", get)
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    again = Run.create(tmp_path / "again", {"method": tiny.method(name), "config": model.settings(), "settings": {}})
    again.write_weights("weights", model)
    assert (again.path / "weights.safetensors").read_bytes() == (tmp_path / "run" / "weights.safetensors").read_bytes()


@each
def test_a_killed_run_ends_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    trained(name, tmp_path / "whole", steps=5)
    with pytest.raises(Killed):
        trained(name, tmp_path / "killed", steps=5, die_at=3)
    assert not Run(tmp_path / "killed").finished
    trained(name, tmp_path / "killed", steps=5)
    for file in ("weights.safetensors", "last.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "killed" / file).read_bytes(), file


@each
def test_preview_and_score(name: str) -> None:
    model = build(name).eval()
    held = batch(model, count=6)
    with torch.no_grad():
        picture = draw(model.preview(held))
        figures = model.validate(held, judge_of(model))
    assert picture.width > 100 and picture.height > 100
    assert ("score" in figures or name.startswith("stylegan")) and all(isinstance(number, float) for number in figures.values())


@each
def test_it_has_a_page(name: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "methods" / f"{tiny.method(name)}.md"
    assert page.exists(), f"write {page}"
