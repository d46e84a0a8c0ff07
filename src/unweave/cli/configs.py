"""Options from a YAML file, strictly: unknown keys, keys given twice and values of the wrong type are mistakes."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from unweave.cli import UsageError
from unweave.errors import did_you_mean


class _Strict(yaml.SafeLoader):
    """YAML without objects, and without a key given twice (of which YAML itself silently takes the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise UsageError(f"{node.start_mark.name} gives {key!r} twice: keep one.")
        return super().construct_mapping(node, deep)


def read(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises UsageError for a missing file and for anything but a mapping with plain keys."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            values = yaml.load(file, _Strict)
    except OSError as error:
        raise UsageError(f'The config file "{path}" cannot be read ({error.strerror}).') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = f", line {error.problem_mark.line + 1}" if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark else ""
        raise UsageError(f'The config file "{path}" is not YAML{where}.') from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f'The config file "{path}" must hold lines such as "batch: 16".')
    return {key.replace("-", "_"): value for key, value in values.items()}


def checked(values: Mapping[str, Any], kinds: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values, each of the type that `kinds` says. Raises UsageError for an unknown key or a wrong type."""
    good = {}
    for key, value in values.items():
        if key not in kinds:
            raise UsageError(f'{where} has an unknown key "{key}": {did_you_mean(key, kinds)}.')
        try:
            good[key] = _as(value, kinds[key])
        except TypeError:
            raise UsageError(f'{where}: "{key}" must be {_said(kinds[key])}, not {value!r}.') from None
    return good


def kinds(cls: type) -> dict[str, Any]:
    """The types of a dataclass's fields, by name."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _as(value: Any, kind: Any) -> Any:
    """The value as that type; a float may be written as a whole number, or as 2e-4 (which YAML takes for text)."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _as(value, inner[0])
    if origin in (Union, types.UnionType):
        for one in inner:
            try:
                return _as(value, one)
            except TypeError:
                continue
        raise TypeError
    if origin is Literal:
        if value in inner and type(value) in {type(one) for one in inner}:
            return value
        raise TypeError
    if origin is tuple:
        if isinstance(value, (list, tuple)) and (len(inner) == 2 and inner[1] is ... or len(inner) == len(value)):
            return tuple(_as(one, inner[0] if inner[-1] is ... else inner[i]) for i, one in enumerate(value))
        raise TypeError
    if kind is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise TypeError from None
    if kind is float and type(value) is int:
        return float(value)
    if kind in (int, float, str, bool, type(None)) and type(value) is kind:
        return value
    raise TypeError


def _said(kind: Any) -> str:
    """A type in plain words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _said(inner[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_said(one) for one in inner if one is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin is tuple:
        return "a list"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(kind, str(kind))
