"""Disentangled image generation: a model is an encoder into named codes and a decoder out of them; every edit is arithmetic on codes.

    import unweave as uw

    model = uw.load("mask-glasses")
    him, her = uw.image("him.png"), uw.image("her.png")
    uw.save(model.transfer(her, onto=him), "both.png")

Importing this costs nothing: torch is loaded by the first name that needs it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# The public API: each name, and where it lives.
PUBLIC = {
    "load": "unweave.models:load",
    "image": "unweave.edits:image",
    "save": "unweave.edits:save",
    "data": "unweave.data:load",
    "Folders": "unweave.data:Folders",
    "Table": "unweave.data:Table",
    "ClassFolders": "unweave.data:ClassFolders",
    "Motions": "unweave.data:Motions",
    "train": "unweave.recipe:train",
    "resume": "unweave.recipe:resume",
    "evaluate": "unweave.evaluate:evaluate",
    "compare": "unweave.compare:compare",
    "Codes": "unweave.codes:Codes",
    "Sheet": "unweave.pictures:Sheet",
    "draw": "unweave.pictures:draw",
    "UserError": "unweave.errors:UserError",
}
__all__ = ["__version__", *PUBLIC]  # noqa: PLE0604

if TYPE_CHECKING:
    from unweave.codes import Codes as Codes
    from unweave.compare import compare as compare
    from unweave.data import ClassFolders as ClassFolders
    from unweave.data import Folders as Folders
    from unweave.data import Motions as Motions
    from unweave.data import Table as Table
    from unweave.data import load as data  # noqa: F401
    from unweave.edits import image as image
    from unweave.edits import save as save
    from unweave.errors import UserError as UserError
    from unweave.evaluate import evaluate as evaluate
    from unweave.models import load as load
    from unweave.pictures import Sheet as Sheet
    from unweave.pictures import draw as draw
    from unweave.recipe import resume as resume
    from unweave.recipe import train as train


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'unweave' has no attribute {name!r}")
    module, _, attribute = PUBLIC[name].partition(":")
    found = importlib.import_module(module)
    if module == f"unweave.{name}":
        return found  # a module that can be called
    value = getattr(found, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Callable(ModuleType):
    """A module that can be called: `unweave.data(...)` is `unweave.data.load(...)`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, _, attribute = PUBLIC[self.__name__.rpartition(".")[2]].partition(":")
        return getattr(importlib.import_module(module), attribute)(*args, **kwargs)


class _Package(ModuleType):
    """`data`, `train`, `evaluate` and `compare` are verbs of the public API and modules of the package: importing one makes it callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in PUBLIC and isinstance(value, ModuleType):
            value.__class__ = _Callable
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
