"""Run folders and model files: what a training leaves behind, and how it is read again.

    config.json           method, its config, data, settings, versions
    weights.safetensors   the best snapshot, the networks that editing needs; its config in the file: it loads by itself
    last.safetensors      the same of the latest step saved
    state/                everything an exact resume needs, in one file
    log.jsonl             one line every few steps;  samples/: sheets;  card.md: what this model is

Files are written under a temporary name and renamed, so that each is whole at any moment. Nothing is pickled, and no pickle is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from unweave.errors import UserError, did_you_mean
from unweave.method import Method

PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")
KEY = "unweave"  # the one key of a file's metadata: of several, safetensors would shuffle the order, and so the bytes


def write(path: Path, data: bytes) -> None:
    """A whole file or none: under a temporary name first, on the disk, then renamed. Raises UserError where that cannot be done."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"The disk is full: {path} could not be written, and what was saved before is intact; make room, then go on.")
    return UserError(f"{path} cannot be written ({error.strerror}): choose another place.")


def _packed(tensors: Mapping[str, Tensor], about: dict[str, Any], half: bool = False) -> bytes:
    """Tensors and their JSON as a safetensors file. Same tensors and JSON, same bytes."""
    ready = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}  # a copy each: shared memory is refused
    if half:
        ready = {k: v.half() if v.is_floating_point() else v for k, v in ready.items()}
    return save(ready, metadata={KEY: json.dumps(about, sort_keys=True)})


# -- run folders ---------------------------------------------------------------------------------------------------------------


class Run:
    """A run folder. `config` is its config.json: {"method", "config", "data", "settings", "versions", ...}."""

    def __init__(self, path: str | Path):
        """Opens a folder that is there. Raises UserError if it is not a run."""
        self.path = Path(path)
        file = self.path / "config.json"
        if not file.is_file():
            if not self.path.exists():
                near = did_you_mean(self.path.name, sorted(p.parent.name for p in self.path.parent.glob("*/config.json")))
                raise UserError(f"There is no run {self.path}; {near}.")
            raise UserError(f"{self.path} is not a run folder: it has no config.json.")
        try:
            self.config: dict[str, Any] = json.loads(file.read_text())
            self.config["method"], self.config["config"], self.config["settings"]  # noqa: B018
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} is damaged: a run's config says its method, config and settings.") from error

    @staticmethod
    def vacant(path: str | Path) -> None:
        """Raises UserError unless `path` is an empty folder or nothing yet: a run never writes over anything."""
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file: give --out a new folder.")
        if path.exists() and any(path.iterdir()):
            go_on = f", or go on with the run in it: unweave resume {path}" if (path / "config.json").exists() else ""
            raise UserError(f"The folder {path} is not empty: give --out a new one{go_on}.")

    @classmethod
    def create(cls, path: str | Path, config: dict[str, Any]) -> Run:
        """A new run in a vacant place."""
        cls.vacant(path)
        write(Path(path) / "config.json", (json.dumps(config, indent=2) + "\n").encode())
        return cls(path)

    def settle(self, config: Mapping[str, Any] | None = None, **settings: Any) -> None:
        """Changes settings of the training, and of the method (`config`), here and in config.json."""
        self.config["settings"].update(settings)
        self.config["config"].update(config or {})
        write(self.path / "config.json", (json.dumps(self.config, indent=2) + "\n").encode())

    # -- what training writes --------------------------------------------------------------------------------------------------

    def write_weights(self, name: str, method: Method) -> None:
        """`weights` or `last`: the tensors that editing needs, with the config that builds their networks. No path, no time, no host."""
        about = {"method": self.config["method"], "config": self.config["config"]}
        write(self.path / f"{name}.safetensors", _packed(method.kept(), about))

    def write_state(self, tensors: Mapping[str, Tensor], facts: dict[str, Any]) -> None:
        """What `read_state` reads again. One file: one rename makes it whole."""
        write(self.path / "state" / "state.safetensors", _packed(tensors, facts))

    def read_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and facts saved last, or None before the first time."""
        file = self.path / "state" / "state.safetensors"
        if not file.exists():
            return None
        about, tensors = _read(file)
        return tensors, about

    def write_sample(self, images: int, picture: Image.Image) -> None:
        """A sheet, named by the number of images read so far."""
        memory = io.BytesIO()
        picture.save(memory, "PNG")
        write(self.path / "samples" / f"{images:08}.png", memory.getvalue())

    def log(self, line: dict[str, Any]) -> None:
        """One line of log.jsonl."""
        file = self.path / "log.jsonl"
        try:
            with file.open("a") as end:
                end.write(json.dumps(line) + "\n")
        except OSError as error:
            raise _unwritten(file, error) from error

    def lines(self) -> list[dict[str, Any]]:
        """The log so far. A last line cut short by a kill is left out."""
        file = self.path / "log.jsonl"
        whole = file.read_text().split("\n")[:-1] if file.exists() else []
        return [json.loads(line) for line in whole]

    def cut_log(self, images: int) -> None:
        """Drops what was logged after so many images: they will be read again."""
        kept = [line for line in self.lines() if line["images"] <= images]
        write(self.path / "log.jsonl", "".join(json.dumps(line) + "\n" for line in kept).encode())

    def write_card(self) -> None:
        """card.md: what this model is, in words."""
        known, settings, facts = self.config, self.config["settings"], self.facts
        best = next((line for line in reversed(self.lines()) if line.get("best") and line["figures"]), None)
        text = [f"# {known['method']}: {self.path.absolute().name}", known.get("about", "")]
        text.append(
            f"Trained on {known.get('data', {}).get('spec', 'data of its own')}: {facts['images']:,} images read, "
            f"batch {settings.get('batch')}, seed {settings.get('seed')}, {facts['seconds'] / 60:.1f} minutes, "
            f"unweave {known.get('versions', {}).get('unweave', '')}."
        )
        text.append("## Figures of its weights")
        if best:
            text.append(f"On held-out pictures of the validation split, after {best['images']:,} images:")
            text.append("\n".join(f"- {name}: {number:.4g}" for name, number in best["figures"].items()))
        else:
            text.append("None: nothing chose among the snapshots, so these are the latest.")
        text += ["## Config", "\n".join(f"- {name}: {number}" for name, number in known["config"].items()), "## Use"]
        text.append("\n".join(f"    unweave {verb} {self.path} ..." for verb in [*known.get("verbs", []), "evaluate"]))
        write(self.path / "card.md", ("\n\n".join(text) + "\n").encode())

    # -- where it stands -------------------------------------------------------------------------------------------------------

    @property
    def facts(self) -> dict[str, Any]:
        """What the last saved state says of itself: step, images, seconds, best."""
        file = self.path / "state" / "state.safetensors"
        return _about(file) if file.exists() else {"step": 0, "images": 0, "seconds": 0.0, "best": None}

    @property
    def images(self) -> int:
        """Images read up to the last saved state."""
        return self.facts["images"]

    @property
    def finished(self) -> bool:
        """Whether all images asked for have been read, and the weights have settled since, where the method has anything to settle."""
        asked, facts = self.config["settings"].get("images"), self.facts
        settled = not self.config.get("settles") or any(line.get("settled") and line["step"] == facts["step"] for line in self.lines())
        return bool(asked) and facts["images"] >= asked and settled


# -- model files ---------------------------------------------------------------------------------------------------------------


def _about(path: Path) -> dict[str, Any]:
    """The JSON in a file's metadata. Raises UserError for whatever is not a whole safetensors file of ours."""
    try:
        with path.open("rb") as file:
            first, brace = file.read(8), file.read(1)  # a safetensors file: the length of its header, and the header, which is JSON
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions.") from error
    if path.suffix in PICKLES or (brace != b"{" and (first[:4] == b"PK\x03\x04" or first[:1] == b"\x80")):
        raise UserError(f"{path} looks like a pickle, which can run any code and is never loaded here: give a .safetensors file.")
    try:
        with safe_open(path, "pt") as opened:
            metadata = opened.metadata() or {}
    except SafetensorError as error:
        if path.suffix == ".safetensors" and int.from_bytes(first, "little") < 100_000_000:  # the length of its header is credible
            raise UserError(f"{path} is cut short or damaged: copy or download it again.") from error
        raise UserError(f"{path} is not a safetensors file.") from error
    try:
        about = json.loads(metadata[KEY])
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} has no unweave config inside: it was not written by unweave.") from error
    if not isinstance(about, dict):
        raise UserError(f"The config inside {path} is damaged.")
    return about


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    about = _about(path)
    return about, load_file(path)


def configured(kind: type[Method], values: Mapping[str, Any]) -> Any:
    """A method's config from JSON values. Raises UserError for one that is not its own."""
    fields = {field.name: field for field in dataclasses.fields(kind.Config)}
    for name in values:
        if name not in fields:
            raise UserError(f'{kind.name} has no setting "{name}"; {did_you_mean(name, fields)}.')
    try:
        return kind.Config(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    except (TypeError, ValueError) as error:
        raise UserError(f"This config does not fit {kind.name}: {error}.") from error


def build(kind: type[Method], values: Mapping[str, Any]) -> Method:
    """A method from its config as JSON values. Raises UserError for a config that is not its own."""
    config = configured(kind, values)
    try:
        return kind(config)
    except (TypeError, ValueError) as error:
        raise UserError(f"This config does not fit {kind.name}: {error}.") from error


def weights(path: Path) -> Path:
    """The weights file of a run folder, or the file itself. Raises UserError where there is none."""
    if not path.exists():
        raise UserError(f"There is no model {path}: give a run folder or a .safetensors file.")
    if not path.is_dir():
        return path
    if (path / "weights.safetensors").exists():
        return path / "weights.safetensors"
    if (path / "config.json").exists():
        raise UserError(f"The run {path} has no weights yet: let it train on (unweave resume {path}).")
    raise UserError(f"{path} is not a run folder: it has no weights.safetensors.")


def load(path: str | Path, table: Callable[[str], type[Method]], device: str | torch.device = "cpu") -> Method:
    """A trained model, ready to edit with: in eval mode, float32, without gradients.

    path: a run folder or a .safetensors file. table: name of a method -> its class.
    Raises UserError, in one sentence, for whatever is missing, damaged or not a model.
    """
    path = weights(Path(path))
    about, tensors = _read(path)
    if not isinstance(about.get("method"), str) or not isinstance(about.get("config"), dict):
        raise UserError(f"{path} is not a model: the config inside names no method.")
    with torch.random.fork_rng(devices=[]):  # the first, random weights are not the caller's business
        try:
            method = build(table(about["method"]), about["config"])
        except UserError as error:
            raise UserError(f"{path} cannot be loaded. {error}") from error
    wanted = method.kept()
    for name, tensor in wanted.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            has = f"is {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}" if name in tensors else "is missing"
            raise UserError(f'{path} does not fit its config: the tensor "{name}" {has}.')
    if extra := sorted(tensors.keys() - wanted.keys()):
        raise UserError(f'{path} does not fit its config: the tensor "{extra[0]}" belongs to nothing.')
    method.load_state_dict(tensors, strict=False)  # half precision becomes float32; networks that only training needs are not in the file
    return method.to(device).requires_grad_(False).eval()


def export_half(method: Method, path: str | Path, limit: int = 6_000_000) -> int:
    """Writes a model in half precision, to ship it. -> its size in bytes. Raises UserError above `limit` bytes."""
    data = _packed(method.kept(), {"method": method.name, "config": method.settings()}, half=True)
    if len(data) > limit:
        raise UserError(f"The model would take {len(data) / 1e6:.1f} MB, more than {limit / 1e6:.1f} MB: train a narrower one.")
    write(Path(path), data)
    return len(data)
