"""Commands of few-shot translation: translate, alphabet."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from unweave.cli import UsageError
from unweave.cli.editing import Edit, model_of, report, some
from unweave.cli.parsing import Flag, option, parse, words
from unweave.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from unweave.edits import Done
    from unweave.method import Method


@dataclass(kw_only=True)
class Translate(Edit):
    """Draw pictures in a class that is shown by a few examples: OUT/<picture>.png, and OUT/sheet.png with contents down, classes across."""

    images: Annotated[Positional[list[str]], words("IMAGE...")]
    """The pictures to translate: pictures or folders."""
    examples: Annotated[list[str], option("DIR...")]
    """A folder of example pictures of one class, all of which count; of several folders, each in turn (OUT/<picture>-<folder>.png)."""
    tidy: Flag = False
    """Pictures are ink on paper (handwriting): cut the ink out and place it as in the built-in glyphs."""


@dataclass(kw_only=True)
class Alphabet(Edit):
    """Draw a whole alphabet in a style that is shown by a few letters: OUT/<letter>.png and OUT/sheet.png."""

    examples: Annotated[str, option("DIR|FONT|FACE")]
    """A folder of example pictures; or a font file, or the name of a built-in typeface, whose true letters then stand beside."""
    letters: Annotated[str, option("ABCDE")] = "AGRS5"
    """Of a font or a typeface: which letters are shown to the model; AGRS5 if not given."""
    contents: Annotated[str | None, option("DIR|FONT|FACE")] = None
    """What to draw: a folder of pictures, a font file or a built-in typeface; a plain built-in one if not given."""
    tidy: Flag = False
    """Example pictures are ink on paper (handwriting): cut the ink out and place it as in the built-in glyphs."""


def translate(argv: list[str]) -> int:
    """unweave translate MODEL IMAGE... --examples DIR... -o OUT"""
    wish = parse(Translate, argv, "translate")
    from unweave import edits

    images = edits.pictures(some(wish.images))
    if not wish.examples:
        raise UsageError("Name at least one folder after --examples.")
    shown: dict[str, list[Path]] = {}
    for name in wish.examples:
        stem = Path(name).stem
        while stem in shown:
            stem += "-2"
        shown[stem] = edits.pictures([name])
    return report(edits.translate(_able(wish), images, shown, Path(wish.out), wish.fit, wish.tidy))


def alphabet(argv: list[str]) -> int:
    """unweave alphabet MODEL --examples DIR|FONT|FACE [--contents DIR|FONT|FACE] -o OUT"""
    wish = parse(Alphabet, argv, "alphabet")
    from unweave import edits
    from unweave.data.glyphs import PLAIN

    model = _able(wish)
    done = edits.Done()
    shown, named = _letters(wish.examples, model.size, wish, done)
    truth = shown if named else None
    if named:
        missing = [letter for letter in wish.letters if letter not in shown]
        if missing or not wish.letters:
            raise UsageError(f'--letters takes some of {"".join(shown)}, not "{wish.letters}".')
        shown = {letter: shown[letter] for letter in wish.letters}
    contents, _ = _letters(wish.contents or PLAIN, model.size, wish, done)
    import torch

    made = edits.alphabet(model, contents, torch.stack(list(shown.values())), Path(wish.out), truth, wish.tidy and not named)
    made.broken, made.notes = done.broken, done.notes + made.notes
    return report(made)


def _able(wish: Edit) -> Method:
    model = model_of(wish.model, wish.device)
    if "translate" not in model.verbs:
        raise UserError(f"A {model.name} model cannot translate: it offers {', '.join(model.verbs)}.")
    return model


def _letters(name: str, size: int, wish: Alphabet, done: Done) -> tuple[dict[str, Tensor], bool]:
    """Pictures (3, S, S) by name, and whether the names are letters: of a font, a built-in typeface, or a folder of pictures."""
    import torch

    from unweave import edits
    from unweave.data.feed import to_float
    from unweave.data.fonts import ENDINGS, draw_font, fonts_in
    from unweave.data.glyphs import CHARACTERS, PLAIN, face, faces

    if Path(name).suffix.lower() in ENDINGS:
        drawn = draw_font(name, size)
    elif name in faces() and not Path(name).exists():
        drawn = face(name, size)
    elif Path(name).exists():
        if Path(name).is_dir() and (fonts := fonts_in(name)):
            raise UserError(f'The folder "{name}" holds fonts, of which one is a style: name it, as {fonts[0]}.')
        found, read = {}, edits.read(edits.pictures([name]), size, wish.fit, done, wish.tidy)
        for path, picture in read:
            found[path.stem if path.stem not in found else path.name] = picture
        return found, False
    else:
        near = get_close_matches(name.lower(), faces(), n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"check the path, or name one of {len(faces())} typefaces, as {PLAIN}."
        raise UserError(f'There is no folder, font file or built-in typeface "{name}": {hint}')
    pictures = to_float(torch.from_numpy(drawn.copy()))[:, None].expand(-1, 3, -1, -1)
    return dict(zip(CHARACTERS, pictures, strict=True)), True
