"""The edits, as small functions over encode, arithmetic on codes, decode. They are methods of every model too.

Those of models that sample instead of encoding are in `unweave.sampled`.

A model offers a verb when its codes allow it. Pictures are (N, C, S, S) in [-1, 1], clips (N, T, J, 2) in heights of a body; a batch of one
goes with any N.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unweave.attributes import spans
from unweave.body import planted
from unweave.codes import Codes, Output
from unweave.errors import UserError, did_you_mean
from unweave.masks import binary, changed, region
from unweave.pictures import Sheet

if TYPE_CHECKING:
    from unweave.method import Method


def _codes(model: Method) -> set[str]:
    return {code.name for code in model.codes}


def _two_parts(model: Method) -> bool:
    return model.encodes and {"separate_a", "separate_b"} <= _codes(model)


DIRECTIONS = ("a2b", "b2a")  # from which set, onto which
OFFERS: dict[str, Callable[[Method], bool]] = {
    "transfer": lambda m: m.encodes and "separate" in _codes(m) or _two_parts(m),
    "remove": lambda m: m.encodes and "separate" in _codes(m),
    "segment": lambda m: m.encodes and m.masks,
    "translate": lambda m: m.encodes and {"content", "class_"} <= _codes(m),
    "interpolate": lambda m: m.encodes,
    "slide": lambda m: m.encodes and "attributes" in _codes(m),
    "set": lambda m: m.encodes and "attributes" in _codes(m),
    "union": _two_parts,
    "intersection": _two_parts,
    "retarget": lambda m: m.encodes and {"motion", "skeleton", "view"} <= _codes(m),
    "sample": lambda m: "z" in _codes(m),
    "mix": lambda m: {"z", "style"} <= _codes(m),
    "project": lambda m: not m.encodes and "z" in _codes(m),
    "directions": lambda m: {"z", "style"} <= _codes(m),
}


def offered(model: Method) -> tuple[str, ...]:
    """The verbs that this model's codes allow."""
    return tuple(verb for verb, allowed in OFFERS.items() if allowed(model))


def require(model: Method, verb: str) -> None:
    """Raises UserError, with what it does offer, unless the model offers this verb."""
    if not OFFERS[verb](model):
        does = {"union": "draw a union", "intersection": "draw an intersection"}.get(verb, verb)
        raise UserError(f"A {model.name} model cannot {does}: it offers {', '.join(offered(model)) or 'no edits'}.")


def _image(output: Output) -> Tensor:
    if output.image is None:
        raise UserError("This model does not draw pictures.")
    return output.image


def made(output: Output) -> Tensor:
    """What a decoder has made: pictures (N, C, H, W), or clips (N, T, J, 2)."""
    return output.clip if output.clip is not None else _image(output)


@torch.no_grad()
def transfer(model: Method, donor: Tensor, onto: Tensor, amount: float = 1.0, direction: str | None = None) -> Tensor:
    """Put the donor's part on another picture: the donor's `separate` code over the picture's own codes.

    donor: pictures of set b, (N or 1, C, S, S). onto: pictures of set a. amount: scales the part's code. -> (N, C, S, S).
    direction: of a model of two parts, "b2a" (the same) or "a2b" (a's part onto pictures of b); it takes the place of the picture's own.
    Raises UserError for a direction that is missing or wrong.
    """
    return _image(painted(model, donor, onto, amount, direction))


@torch.no_grad()
def painted(model: Method, donor: Tensor, onto: Tensor, amount: float = 1.0, direction: str | None = None) -> Output:
    """`transfer` with everything the decoder says (the mask too)."""
    require(model, "transfer")
    source, target = way(model, direction)
    part, own = (f"separate_{source}", [f"separate_{target}"]) if _two_parts(model) else ("separate", [])
    given = model.encode(donor, domain=source).only(part)
    codes = model.encode(onto, domain=target).zero(*own) | (given if amount == 1.0 else given.scale(amount, part))
    return model.decode(codes, onto=onto)


def way(model: Method, direction: str | None) -> tuple[str, str]:
    """From which set a transfer takes the part, and onto which: ("b", "a") of a model of one part. Raises UserError as `transfer` does."""
    if direction is None and _two_parts(model):
        raise UserError(f"A {model.name} model knows a part of each set: say a direction, a2b (a's part onto pictures of b) or b2a.")
    direction = direction or "b2a"
    if direction not in DIRECTIONS:
        raise UserError(f'There is no direction "{direction}": {did_you_mean(direction, DIRECTIONS)}.')
    if direction == "a2b" and not _two_parts(model):
        raise UserError(f"A {model.name} model knows one part, that of set b: its only direction is b2a.")
    return direction[0], direction[2]


@torch.no_grad()
def union(model: Method, a: Tensor, b: Tensor, onto: Tensor | None = None, domain: str | None = None) -> Tensor:
    """What neither set shows: the part of a's pictures and that of b's, both on the pictures of a, or on `onto`.

    a, b, onto: (N or 1, C, S, S) -> (N, C, S, S). domain: "a" or "b", where the set of `onto` is known.
    """
    require(model, "union")
    codes_a = model.encode(a, domain="a")
    parts = codes_a.only("separate_a") | model.encode(b, domain="b").only("separate_b")
    return _image(model.decode((codes_a if onto is None else model.encode(onto, domain)).only("common") | parts))


@torch.no_grad()
def intersection(model: Method, image: Tensor, domain: str | None = None) -> Tensor:
    """What both sets share: pictures of either set without the part of a and without that of b. (N, C, S, S) -> the same.

    domain: "a" or "b", where their set is known: then nothing that belongs to it is taken for the other's part.
    """
    require(model, "intersection")
    return _image(model.decode(model.encode(image, domain).zero("separate_a", "separate_b")))


@torch.no_grad()
def remove(model: Method, image: Tensor) -> Tensor:
    """The picture without the part. With a mask m: m * clean + (1 - m) * picture, so that the rest stays to the pixel; `model.again` times
    more of what that has left.

    image: pictures of set b, (N, C, S, S) -> (N, C, S, S).
    """
    return _image(removed(model, image))


@torch.no_grad()
def removed(model: Method, image: Tensor) -> Output:
    """`remove` with everything the decoder says (the mask too; of a model that removes again, of all rounds together)."""
    require(model, "remove")
    if not model.masks:
        return model.decode(model.encode(image, domain="b").zero("separate"))
    left, mask = image, torch.zeros_like(image[:, :1])
    for _ in range(1 + model.again):
        own = model.decode(model.encode(left, domain="b"), onto=left)
        assert own.mask is not None and own.background is not None
        left, mask = own.mask * own.background + (1 - own.mask) * left, mask + own.mask * (1 - mask)
    return Output(left, mask=mask, background=own.background)


@torch.no_grad()
def segment(model: Method, image: Tensor) -> Tensor:
    """Where the part is: the soft mask of the picture's own codes, where taking the part off changes the picture; elsewhere zero.

    A mask costs nothing where the painter paints what is there already, so it is wider than the part, and what changes is not. Where
    nothing would change, the whole mask counts. (N, C, S, S) -> (N, 1, S, S) in [0, 1].
    """
    require(model, "segment")
    out = removed(model, image)
    assert out.mask is not None and out.image is not None
    shows = binary(changed(image, out.image))
    return out.mask * (shows | ~shows.flatten(1).any(1).view(-1, 1, 1, 1))


@torch.no_grad()
def translate(model: Method, image: Tensor, examples: Tensor) -> Tensor:
    """The pictures in the class of some examples: their `content`, with the mean `class_` code of the examples (Liu et al. 2019, 3.1).

    image: (N, C, S, S). examples: K pictures of one class, (K, C, S, S); more of them know the class better. -> (N, C, S, S).
    """
    require(model, "translate")
    return _image(model.decode(model.encode(image).only("content") | model.encode(examples).only("class_").mean()))


@torch.no_grad()
def interpolate(model: Method, first: Tensor, second: Tensor, code: str, steps: int = 8, onto: Tensor | None = None) -> Tensor:
    """Walk one code in a straight line from `first`'s to `second`'s, all others as in `onto` (or `first`).

    first, second, onto: one picture each, (1, C, S, S), or one clip, (1, T, J, 2), of one length. first and second may be K pictures, whose
    mean code is meant: a class by its examples. -> (steps, ...) of one of them; the ends are exactly the two codes.
    """
    require(model, "interpolate")
    if steps < 2:
        raise UserError(f"An interpolation needs at least 2 steps, not {steps}.")
    start, end = (model.encode(x).only(code).mean() for x in (first, second))
    base = model.encode(first[:1] if onto is None else onto)
    line = Codes.stack(*[base | start.mix(end, i / (steps - 1), code) for i in range(steps)])
    return made(model.decode(line, onto=onto))[:, : first.shape[1]]


@torch.no_grad()
def matrix(model: Method, first: Tensor, second: Tensor, code: str, across: str, steps: int = 5, onto: Tensor | None = None) -> Tensor:
    """`interpolate` for two codes at once: `code` walks along each row, `across` from row to row. -> (steps, steps, ...)."""
    require(model, "interpolate")
    if steps < 2:
        raise UserError(f"An interpolation needs at least 2 steps, not {steps}.")
    start, end = (model.encode(x) for x in (first, second))
    base, shares = model.encode(first if onto is None else onto), [i / (steps - 1) for i in range(steps)]
    cells = [base | start.only(code).mix(end, i, code) | start.only(across).mix(end, j, across) for j in shares for i in shares]
    return made(model.decode(Codes.stack(*cells), onto=onto))[:, : first.shape[1]].unflatten(0, (steps, steps))


@torch.no_grad()
def retarget(model: Method, motion: Tensor, skeleton: Tensor, view: Tensor | float, plant: bool = True) -> Tensor:
    """The motion of one clip with the body of another, seen as a third is seen, or from an angle in degrees.

    motion, skeleton, view: clips (N or 1, T, J, 2) of any lengths, in heights of a body. plant: feet stand where those of `motion` do
    (`body.planted`); without, they may slide a little. -> (N, T of motion, J, 2), from the origin on.
    """
    require(model, "retarget")
    camera = model.seen_from(view) if isinstance(view, (int, float)) else model.encode(view).only("view")
    codes = model.encode(motion).only("motion") | model.encode(skeleton).only("skeleton") | camera
    clips = made(model.decode(codes))[:, : motion.shape[1]]
    return planted(clips, motion.to(clips)) if plant else clips


@torch.no_grad()
def sweep(model: Method, pictures: Tensor, code: str | None = None, steps: int = 7) -> Sheet:
    """What each number of a code does: a row for each, the one that varies most first; the first picture with that number moved.

    pictures: (N, C, S, S), at least two and better fifty: a number goes from the least to the greatest that it has in their codes.
    code: the name of a vector; the model's first if not given. To be shown by `draw(model.sweep(pictures))`.
    Raises UserError for a model or a code without single numbers, and for one picture alone.
    """
    vectors = [c.name for c in model.codes if c.kind == "vector" and c.source == "encoded"] if model.encodes else []
    if not vectors:
        raise UserError(f"A {model.name} model has no code of single numbers that could be swept.")
    name = vectors[0] if code is None else code
    if name not in vectors:
        raise UserError(f'"{name}" is no code of single numbers that could be swept: {did_you_mean(name, vectors)}.')
    if len(pictures) < 2:
        raise UserError("A sweep takes two pictures or more: from how their codes differ comes how far to go.")
    codes = model.encode(pictures)
    first, numbers = codes.take(slice(0, 1)), codes[name].float()
    order = numbers.std(0).argsort(descending=True).tolist()
    low, high = numbers.amin(0), numbers.amax(0)
    line = torch.linspace(0, 1, steps).to(numbers)
    rows = [first.traverse(name, k, low[k] + line * (high[k] - low[k])) for k in order]
    drawn = [list(_image(model.decode(row, onto=pictures[:1].expand(steps, *pictures.shape[1:])))) for row in rows]
    return Sheet(drawn, left=[f"{name} {k}" for k in order])


@torch.no_grad()
def set_attributes(model: Method, image: Tensor, values: Mapping[str, float] | None = None, /, **more: float) -> Tensor:
    """The pictures with these attributes at these values, all others as they are: model.set(picture, glasses=0, smile=0.8).

    image: (N, C, S, S). values: by name, for names that Python would not take. 0 is without and 1 is with; values beyond 0 and 1
    exaggerate; of a choice, the number of the class. A model that does not redraw keeps the picture where these attributes do not show;
    half of what it draws between no and yes, and all that it draws beyond yes and beyond both ends of a number, is a fade.
    -> (N, C, S, S). Raises UserError for an attribute that the model does not know.
    """
    return _image(altered(model, image, {**(values or {}), **more}))


@torch.no_grad()
def altered(model: Method, image: Tensor, values: Mapping[str, float]) -> Output:
    """`set_attributes` with everything there is: unless the model redraws whole pictures, a mask of where these attributes show, too."""
    require(model, "set")
    codes = model.encode(image)
    if model.redraws:
        return model.decode(_with(model, codes, values))
    drawn, nowhere = _drawn(model, codes, values), torch.zeros_like(image[:, :1])
    return _within(torch.stack([nowhere, *(_region(model, codes, name, [value]) for name, value in values.items())]).amax(0), drawn, image)


@torch.no_grad()
def slide(model: Method, image: Tensor, attribute: str, values: Sequence[float]) -> Tensor:
    """One picture with an attribute at each of these values in turn. image: (1, C, S, S). -> (V, C, S, S)."""
    return _image(slid(model, image, attribute, values))


@torch.no_grad()
def slid(model: Method, image: Tensor, attribute: str, values: Sequence[float]) -> Output:
    """`slide` with everything there is, as `altered`: one mask for all steps, so that nothing jumps between them."""
    require(model, "slide")
    if not values or len(image) != 1:
        raise UserError(f"A slider moves over one picture and at least one value, not {len(image)} and {len(values)}.")
    codes = model.encode(image)
    if model.redraws:
        return model.decode(Codes.stack(*[_with(model, codes, {attribute: value}) for value in values]))
    drawn = torch.cat([_drawn(model, codes, {attribute: value}) for value in values])
    return _within(_region(model, codes, attribute, values).expand(len(values), -1, -1, -1), drawn, image)


def _drawn(model: Method, codes: Codes, values: Mapping[str, float]) -> Tensor:
    """What a model draws of these codes with these values, (N, C, S, S). It was never told what is beyond 0 and 1, where its colours would
    burst: there the fade from the one to the other goes on, but below no, where a fade would draw the part in its opposite colours. Nor,
    of a yes or no, what is between: what it draws there may stay as it is for a while, or turn back. Half of that fade makes it grow from
    the first step.
    """
    told = _with(model, codes, values)
    for kind in model.attributes:
        value = values.get(kind.name, 0.0)
        beyond = kind.classes <= 2 and value > 1 or kind.classes == 0 and value < 0
        if beyond or (kind.classes == 2 and 0 < value < 1):
            no, yes = (_drawn(model, codes, {**values, kind.name: end}) for end in (0.0, 1.0))
            faded = torch.lerp(no, yes, value)
            return faded.clamp(-1, 1) if beyond else (_image(model.decode(told)) + faded) / 2
    return _image(model.decode(told))


def _region(model: Method, codes: Codes, name: str, values: Sequence[float]) -> Tensor:
    """Where an attribute shows in pictures with these codes, (N, 1, S, S), whatever its value there is: so an edit is a steady function of
    what is asked. Of a choice: where any of `values` differs from the picture's own."""
    choice = next(a.classes for a in model.attributes if a.name == name) > 2
    ends = [codes, *(_with(model, codes, {name: v}) for v in values)] if choice else [_with(model, codes, {name: v}) for v in (0, 1)]
    first, *others = (_image(model.decode(end)) for end in ends)
    return torch.stack([region(first, other) for other in others]).amax(0)


def _within(mask: Tensor, drawn: Tensor, image: Tensor) -> Output:
    """A drawing inside a mask, the picture itself elsewhere."""
    return Output(image=image + mask * (drawn - image), mask=mask)


def _with(model: Method, codes: Codes, values: Mapping[str, float]) -> Codes:
    """Codes with other numbers for these attributes."""
    numbers = codes["attributes"].clone()
    where = {a.name: (a, span) for a, span in zip(model.attributes, spans(model.attributes))}
    for name, value in values.items():
        if name not in where:
            raise UserError(f'This {model.name} model knows no attribute "{name}": {did_you_mean(name, where)}.')
        attribute, span = where[name]
        if not math.isfinite(value):
            raise UserError(f'"{name}" takes a number, not {value}.')
        if attribute.classes > 2:
            if value not in range(attribute.classes):
                raise UserError(f'"{name}" is a choice: it takes a whole number from 0 to {attribute.classes - 1}, not {value:g}.')
            numbers[:, span] = 0.0
            numbers[:, span.start + int(value)] = 1.0
        else:
            numbers[:, span] = value
    return codes | Codes(attributes=numbers)


VERBS: Sequence[str] = tuple(OFFERS)
