"""The source files of the user's own pieces: a point's numbers depend on them, its id does not."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
BESIDE = ("tracker", "executor", "search", "study")  # root keys that no number depends on
INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}


def targets(node: Any) -> Iterator[str]:
    """Every `_target_` in a configuration."""
    if isinstance(node, Mapping):
        if isinstance(target := node.get("_target_"), str):
            yield target
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def pieces_of(config: Mapping[str, Any]) -> Iterator[str]:
    """The targets of a point's configuration that its numbers depend on."""
    return targets({key: node for key, node in config.items() if key not in BESIDE})


def own_sources(config: Mapping[str, Any]) -> dict[str, str]:
    """{target: digest of its file} of the pieces that decide numbers and are the user's own.

    With the files of the user's own that it imports. The tool's own code and installed packages are
    left out: their versions are stored.
    """
    found = {}
    for target in sorted(set(pieces_of(config))):
        file = source_file(target)
        if file is not None and _is_own(file):
            digest = hashlib.blake2b(digest_size=8)
            for each in sorted(_with_imports(file)):
                digest.update(each.read_bytes())
            found[target] = digest.hexdigest()
    return found


def _is_own(file: Path) -> bool:
    return not any(folder in file.parents for folder in (PACKAGE, *INSTALLED))


def _with_imports(file: Path) -> set[Path]:
    """The file and the user's own files that it imports by name, directly or through others."""
    found, waiting = {file}, [file]
    while waiting:
        for name in _imported(waiting.pop()):
            other = source_file(name)
            if other is not None and other not in found and _is_own(other):
                found.add(other)
                waiting.append(other)
    return found


def _imported(file: Path) -> Iterator[str]:
    """Names that stand for modules in the imports of a file, each with something behind a dot."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"{alias.name}.x" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}.x" for alias in node.names)


@functools.lru_cache(maxsize=256)
def source_file(target: str) -> Path | None:
    """The file of the module that a target lies in, found without importing it."""
    module, found = target.rpartition(".")[0], None
    while module and found is None:
        try:
            found = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            found = None
        module = module.rpartition(".")[0]
    if found is None or not found.has_location or found.origin is None:
        return None
    return Path(found.origin).resolve()
