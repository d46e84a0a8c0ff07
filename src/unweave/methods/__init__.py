"""The table of methods: one file per published system."""

from __future__ import annotations

import importlib

from unweave.errors import UserError, did_you_mean
from unweave.method import Method

METHODS: dict[str, str] = {
    "autoencoder": "unweave.methods.autoencoder:Autoencoder",
    "content": "unweave.methods.content:Content",
    "difference": "unweave.methods.difference:Difference",
    "fader": "unweave.methods.fader:Fader",
    "funit": "unweave.methods.funit:Funit",
    "mask": "unweave.methods.mask:Mask",
    "retarget": "unweave.methods.retarget:Retarget",
    "stylegan": "unweave.methods.stylegan:Stylegan",
}


def get(name: str) -> type[Method]:
    """The class of a method, by its name in the table. Raises UserError for an unknown one."""
    if name not in METHODS:
        raise UserError(f'There is no method "{name}": {did_you_mean(name, METHODS)}.')
    module, _, cls = METHODS[name].partition(":")
    return getattr(importlib.import_module(module), cls)
