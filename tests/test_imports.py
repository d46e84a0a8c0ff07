"""The house's order: imports go down only, and some neighbours never look at each other."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "unweave"

LEVELS = [
    {"errors", "attributes", "codes", "schedules", "muon", "pictures", "body", "figures", "verbs", "sampled", "method", "masks"},
    {"nn", "losses", "data", "metrics", "train", "runs", "logs", "machine"},
    {"methods"},
    {"recipe", "models", "evaluate", "compare", "report", "export", "edits", "retargeting", "sampling"} | {"unweave"},  # the public API
    {"cli", "demo", "studio", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}

# Neighbours on one level that must not know each other, whatever the levels say.
NEVER = {
    "train": {"data", "metrics"},
    "runs": {"train", "data", "metrics", "nn", "losses"},
    "losses": {"nn", "data", "metrics", "train", "runs"},
    "nn": {"losses", "data", "metrics", "train", "runs"},
    "data": {"nn", "losses", "metrics", "train", "runs"},
}
# Absent for good: the first does not import beside a CPU torch, the others would run code that somebody's file holds.
BANNED = {"torchvision", "pickle", "dill", "cloudpickle", "joblib"}


def part(path: Path) -> str:
    """The part of the house that a file belongs to."""
    relative = path.relative_to(SOURCE)
    name = relative.parts[0] if len(relative.parts) > 1 else relative.stem
    return "unweave" if name == "__init__" else name


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(module, line) of every import that runs, at whatever depth; imports for the type checker alone do not count."""
    idle = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in idle:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            if node.module == "unweave":
                yield from ((f"unweave.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield str(node.module), node.lineno


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down_only(path: Path) -> None:
    here = part(path)
    assert here in LEVEL, f"{here} has no place in the house: give it one in LEVELS"
    for module, line in imported(ast.parse(path.read_text())):
        root, *rest = module.split(".")
        assert root not in BANNED, f"{path}:{line} imports {module}"
        if root != "unweave":
            continue
        there = rest[0] if rest and rest[0] in LEVEL else "unweave"
        if there == here and here not in ("methods",):
            continue
        assert LEVEL[there] <= LEVEL[here], f"{path}:{line}: {here} must not import {there}, which stands above it"
        assert there not in NEVER.get(here, ()), f"{path}:{line}: {here} must not know {there}"


def test_methods_do_not_know_each_other() -> None:
    for path in (SOURCE / "methods").glob("*.py"):
        if path.stem == "__init__":
            continue
        for module, line in imported(ast.parse(path.read_text())):
            assert not module.startswith("unweave.methods"), f"{path}:{line} imports {module}"


def test_nothing_is_unpickled() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}, f"{path}:{node.lineno}"
                assert node.attr != "save_state", f"{path}:{node.lineno}: save_state pickles"
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, f"{path}: allow_pickle"


def test_torchvision_is_absent() -> None:
    assert importlib.util.find_spec("torchvision") is None, "torchvision breaks other packages beside a CPU torch: uninstall it"


@pytest.mark.parametrize("module", ["unweave", "unweave.cli"])
def test_importing_does_not_load_torch(module: str) -> None:
    slow = ("torch", "numpy", "PIL", "tyro", "sklearn", "accelerate")
    code = f"import sys, {module}; print([m for m in {slow} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
