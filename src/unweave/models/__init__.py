"""Trained models: those that ship with the package, and how a model's name leads to its file.

Each shipped model is a pair of files here: NAME.safetensors (half precision, its config inside) and NAME.md (its card).
"""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import torch

    from unweave.method import Method

HERE = Path(__file__).parent


def shipped() -> dict[str, Path]:
    """The models that ship with the package: name -> weights file."""
    return {path.stem: path for path in sorted(HERE.glob("*.safetensors"))}


def card(name: str) -> str:
    """The card of a shipped model, as Markdown: data, figures, limits."""
    path = HERE / f"{name}.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def find(name: str | Path) -> Path:
    """The file or folder that a model's name stands for: see `load`. What is on this disk wins over the hub.

    Raises UserError, naming the nearest model, when there is nothing of that name.
    """
    text, path, here = str(name), Path(name).expanduser(), shipped()
    if path.exists():
        return path
    if text in here:
        return here[text]
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text) and not path.parent.exists() and path.suffix != ".safetensors":
        return _from_hub(text)
    beside = [str(one) for one in path.parent.glob("*") if one.suffix == ".safetensors" or (one / "config.json").exists()]
    raise UserError(f'There is no model "{text}": {did_you_mean(text, [*here, *sorted(beside)])}.')


def _from_hub(repository: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(hf_hub_download(repository, "weights.safetensors"))
    except RepositoryNotFoundError as error:
        raise UserError(f'There is no model "{repository}", neither here nor on the hub.') from error
    except Exception as error:  # whatever a network can do wrong
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise UserError(f'The hub\'s "{repository}" has no weights.safetensors: it is not a model of unweave.') from error
        raise UserError(f'There is no model "{repository}" here, and the hub cannot be reached: check the name.') from error


def load(name: str | Path, device: str | torch.device = "cpu", sure: float | None = None) -> Method:
    """A trained model, ready for edits: a shipped name, a run folder, a weights file, or OWNER/NAME on the Hugging Face hub.

    sure: of models of two sets (mask, content, difference; not of their published networks), in place of what they were trained with: a
    logit by which they are surer that a picture known to show the part does; 2 or 3 takes off more, also of what is none. Raises UserError
    when there is no model of that name, for a file that is damaged or not a model, and for `sure` that is no number or changes nothing.
    """
    from unweave import runs
    from unweave.methods import get

    model = runs.load(find(name), get, device)
    if sure is not None:
        if not hasattr(model.config, "sure") or model.config.published:
            raise UserError(f"{name} is a {model.name} model whose networks have no such setting as sure: leave it out.")
        if not math.isfinite(sure):
            raise UserError(f"sure is a number, such as 2, not {sure}.")
        model.config = dataclasses.replace(model.config, sure=sure)
    return model
