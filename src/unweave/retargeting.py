"""Edits of clip files: clips in, stick figures or joints out.

A clip in space enters as it is seen from its front, or as `FILE@DEGREES` says. Inside, clips have 30 frames a second and bodies about 1
tall; what comes out is in the units of the clip that the body is from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from unweave import verbs
from unweave.body import FPS, Clip, height
from unweave.data import clips
from unweave.edits import folder
from unweave.errors import UserError, did_you_mean
from unweave.figures import animate, frames
from unweave.method import Method

ENDINGS = (".gif", ".mp4", ".npz", ".json")


def clip(name: str, person: int | None = None, fps: float | None = None) -> Clip:
    """A flat clip from a file of any kind, at 30 frames a second; of one in space, `FILE@DEGREES` says from where (0: the front).

    Raises UserError for what cannot be read, and for an angle that is no number."""
    path, at, degrees = name, "", "0"
    if not Path(name).expanduser().exists():
        path, at, degrees = name.rpartition("@") if "@" in name else (name, "", "0")
    found = clips.read(path, person, fps)
    if found.joints.shape[-1] == 3:
        found = found.seen_from(angle(degrees))
    elif at:
        raise UserError(f"{path} is flat already, so it cannot be seen from {degrees} degrees.")
    return found.at(FPS)


def angle(text: str) -> float:
    """Degrees. Raises UserError for what is no number."""
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", text.strip()):
        raise UserError(f'A view is a number of degrees, such as 45 or -30, or a clip; "{text}" is neither.')
    return float(text)


def normal(one: Clip) -> tuple[Tensor, float]:
    """The clip as models read it, (1, T, 15, 2), and how tall its body is, in its own units."""
    tall = float(height(one.joints))
    if tall <= 0:
        raise UserError(f"{one.name} shows no body: all of its joints are in one place.")
    return (one.joints / tall)[None], tall


def retarget(
    model: Method,
    motion: str,
    skeleton: str,
    view: str,
    out: Path,
    person: int | None = None,
    fps: float | None = None,
    plant: bool = True,
) -> tuple[Path, list[str]]:
    """The motion of one clip with the body of another, seen as a third is or from an angle; -> what was written, and remarks.

    out: .gif or .mp4 (beside its sources), .npz, or .json (a folder of OpenPose's files). plant: as in `verbs.retarget`. Raises UserError
    for whatever does not fit."""
    if out.suffix.lower() not in ENDINGS:
        raise UserError(f'"{out}" should end in {", ".join(ENDINGS)}: that says what is written.')
    there = next(model.parameters()).device
    given = [clip(motion, person, fps), clip(skeleton, person, fps)]
    camera = None if re.fullmatch(r"[+-]?[\d.]+", view.strip()) and not Path(view).exists() else _view(view, person, fps)
    (moving, _), (body, tall) = (normal(one) for one in given)
    seen: Tensor | float = angle(view) if camera is None else normal(camera)[0].to(there)
    joints = verbs.retarget(model, moving.to(there), body.to(there), seen, plant)[0].cpu() * tall
    made = Clip(joints, FPS, out.stem)
    shown = {"motion": given[0].joints, "body": given[1].joints} | ({} if camera is None else {"view": camera.joints})
    return write(made, out, shown), [note for one in [*given, *([camera] if camera else [])] for note in one.notes]


def _view(text: str, person: int | None, fps: float | None) -> Clip:
    if not Path(text.partition("@")[0]).expanduser().exists():
        angle(text)  # says what a view may be
    return clip(text, person, fps)


def write(made: Clip, out: Path, beside: Mapping[str, Tensor]) -> Path:
    """A clip as the file that its name's ending says; pictures show it beside others."""
    folder(out.parent)
    if out.suffix.lower() in (".gif", ".mp4"):
        animate(frames({**beside, "retargeted": made.joints}), out, made.fps)
        return out
    out = out.with_suffix("") if out.suffix.lower() == ".json" else out
    clips.write(made, out)
    return out


def project(path: str, degrees: float, out: Path, person: int | None = None, fps: float | None = None) -> Path:
    """A clip in space as it is seen from an angle, at its own frame rate and in its own units."""
    found = clips.read(path, person, fps)
    if found.joints.shape[-1] != 3:
        raise UserError(f"{path} is flat already: a view is for clips in space (.bvh, .amc, or .npz with three coordinates).")
    seen = replace(found.seen_from(degrees), name=out.stem)
    return write(seen, out, {})


def interpolate(model: Method, first: str, second: str, code: str, out: Path, steps: int, onto: str | None, across: str | None) -> Path:
    """Walk one code from A's to B's, all others as in `onto` (or A); with `across`, a second code too, down the rows of a matrix.

    OUT/<A>-<code>.gif shows all steps side by side, OUT/<A>-<code>-<step>.npz are the clips. -> the .gif."""
    names = [one.name for one in model.codes]
    for name in (code, across or code):
        if name not in names:
            raise UserError(f'There is no code "{name}" here: {did_you_mean(name, names)}.')
    given = [clip(name) for name in (first, second, onto) if name is not None]
    shortest = min(len(one.joints) for one in given)
    there = next(model.parameters()).device
    start, end, *rest = (normal(one)[0][:, :shortest].to(there) for one in given)
    base = rest[0] if rest else start
    tall = normal(given[-1] if rest else given[0])[1]
    if across is None:
        made = {f"{code} {i / (steps - 1):.2f}": one for i, one in enumerate(verbs.interpolate(model, start, end, code, steps, base))}
    else:
        made = {}
        for j, row in enumerate(verbs.matrix(model, start, end, code, across, steps, base)):
            made |= {f"{code} {i / (steps - 1):.2f}, {across} {j / (steps - 1):.2f}": one for i, one in enumerate(row)}
    folder(out)
    stem = f"{given[0].name}-{code}" + (f"-{across}" if across else "")
    for i, joints in enumerate(made.values()):
        clips.write(Clip(joints.cpu() * tall, FPS), out / f"{stem}-{i}.npz")
    picture = out / f"{stem}.gif"
    animate(frames(made, side=150, columns=steps, together=True), picture, FPS)
    return picture
