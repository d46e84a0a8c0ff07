"""The command that edits clips: retarget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from unweave.cli import result, say
from unweave.cli.editing import model_of
from unweave.cli.parsing import Flag, joined, option, parse, words


@dataclass(kw_only=True)
class Retarget:
    """The motion of one clip, the body of another, the camera of a third. A clip is a .bvh, .amc or .npz file, or a folder of OpenPose's
    JSON files; one in space is seen from its front, or from where FILE@DEGREES says."""

    model: Annotated[Positional[str], words("MODEL")]
    """A shipped name (unweave models), a run folder, a weights file, or OWNER/NAME on the Hugging Face hub."""
    motion: Annotated[str, option("F")]
    """The clip that says what is done."""
    skeleton: Annotated[str, option("F")]
    """The clip whose body does it; the result has its units."""
    view: Annotated[str, option("F|DEGREES")]
    """The clip that is seen as the result shall be; or an angle from -90 to 90: 0 the front, 90 looking to the right of the picture."""
    out: Annotated[str, option("OUT.gif|mp4|npz|json", "-o")]
    """What to write: stick figures beside the sources, joints, or a folder of OpenPose's JSON files."""
    person: Annotated[int | None, option("N")] = None
    """Which person of OpenPose's list, from 0; the largest if not given."""
    fps: Annotated[float | None, option("X")] = None
    """Frames a second of clips that do not say (JSON: 30, AMC: 120 if not given)."""
    as_drawn: Flag = False
    """Leave feet as the model draws them, also where they slide; else they stand where those of the motion's clip do."""
    device: Annotated[str, option("D")] = "auto"
    """cpu, cuda, cuda:1, mps; auto takes the best."""


def retarget(argv: list[str]) -> int:
    """unweave retarget MODEL --motion F --skeleton F --view F|DEGREES -o OUT.gif|mp4|npz|json"""
    wish = parse(Retarget, joined(argv), "retarget")
    from unweave import retargeting

    model = model_of(wish.model, wish.device)
    given = wish.motion, wish.skeleton, wish.view
    made, notes = retargeting.retarget(model, *given, Path(wish.out), wish.person, wish.fps, not wish.as_drawn)
    for note in notes:
        say(note)
    result(made)
    return 0
