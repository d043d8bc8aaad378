"""Takes a piece's class, and all that its numbers come from, out of the source files.

Read, never imported or run: the same for our pieces and for those of somebody's own.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from study.records import StudyError

INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
Place = tuple[str, str]  # module, name


def standalone(targets: Mapping[str, frozenset[str]]) -> str:
    """Python of these classes, with the functions, classes and constants that they need.

    Of a class and its bases, it has the members that `targets` names, what those need, and special
    methods. StudyError if the source is not there, or has a form that cannot be taken out of it.
    """
    taken, texts = _Taken(), list[str]()
    for target, used in targets.items():
        module, _, name = target.rpartition(".")
        of, node = _definition((module, name))
        if not isinstance(node, ast.ClassDef):
            raise StudyError(f"{target} is no class")
        family = [(of, node), *_bases(of, node)]
        for of, one in family:
            taken.claim(one.name, (of.name, one.name))
        kept = list(zip(family, _members(family, used), strict=True))
        for (of, one), members in reversed(kept):
            for each in (*one.decorator_list, *one.bases, *members):
                taken.need(of, each)
        texts += [_class_text(*one, members) for one, members in reversed(kept)]
    head = ["from __future__ import annotations", "", *taken.import_lines(), ""]
    return "\n".join([*head, *(f"\n{text}\n" for text in [*taken.texts, *texts])])


@dataclass(frozen=True)
class _Module:
    """A source file: its lines, what stands at its top by name, and what it imports by name."""

    name: str
    lines: list[str]
    defined: dict[str, Definition]
    imported: dict[str, Place]


@functools.lru_cache(maxsize=64)
def _read(name: str) -> _Module | None:
    """A module whose source is to be taken; None if it is of Python or of an installed package."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None:
        raise StudyError(f"the module {name} cannot be found; put its folder on Python's path")
    if found.origin is None or not found.origin.endswith(".py"):
        return None
    path = Path(found.origin).resolve()
    ours = name.partition(".")[0] == "study"
    if not ours and any(folder in path.parents for folder in INSTALLED):
        return None
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise StudyError(f"{path.name} is not Python: {error.msg}, line {error.lineno}") from error
    defined: dict[str, Definition] = {}
    imported: dict[str, Place] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for each in (part for one in targets for part in ast.walk(one)):
                if isinstance(each, ast.Name):
                    defined[each.id] = node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imported[alias.asname or alias.name.partition(".")[0]] = (alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            package = name.rpartition(".")[0] if node.level else ""
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            source = ".".join(part for part in (package, node.module or "") if part)
            for alias in node.names:
                imported[alias.asname or alias.name] = (source, alias.name)
    return _Module(name, text.splitlines(), defined, imported)


@dataclass
class _Taken:
    """What has been taken so far, in an order in which it can be run."""

    texts: list[str] = field(default_factory=list)
    imports: dict[str, set[str]] = field(default_factory=dict)  # module -> names; "": itself
    done: dict[str, Place] = field(default_factory=dict)  # name in the text -> where it is from

    def claim(self, name: str, place: Place) -> None:
        if self.done.setdefault(name, place) != place:
            raise StudyError(
                f"{name} stands for different things in {place[0]} and {self.done[name][0]}, which"
                " one file cannot say; rename one of them"
            )

    def need(self, module: _Module, node: ast.AST) -> None:
        """Take all that the names in a piece of source stand for."""
        for each in ast.walk(node):
            if isinstance(each, ast.Import | ast.ImportFrom):
                raise StudyError(
                    f"{module.name}, line {each.lineno}: an import inside of what is needed cannot"
                    " be taken out of the file; put it at the top of the file"
                )
        for name in _names(node):
            if name in module.defined:
                self._add(name, (module.name, name))
            elif name in module.imported:
                source, original = module.imported[name]
                if not self._outside(name, source, original):
                    self._add(name, (source, original))

    def _add(self, name: str, place: Place) -> None:
        """A definition, after all that it needs."""
        module, node = _definition(place)
        place = (module.name, place[1])
        if self.done.get(name) == place:
            return
        if place[1] != name:
            raise StudyError(
                f"{place[1]} of {place[0]} is imported under another name, {name}; import it under"
                " its own"
            )
        for other, each in module.defined.items():
            if each is node:
                self.claim(other, (module.name, other))
        self.need(module, node)
        self.texts.append(_text(module, node))

    def _outside(self, name: str, source: str, original: str) -> bool:
        """Whether a name comes from Python or from an installed package, whose import is kept."""
        if original and _read(source) is not None:
            return False
        if not original and _read(source.partition(".")[0]) is not None:
            raise StudyError(
                f"{source} is imported as a module; import the names that are needed from it"
            )
        there = original or source
        named = there if name in (there, source.partition(".")[0]) else f"{there} as {name}"
        self.imports.setdefault(source if original else "", set()).add(named)
        return True

    def import_lines(self) -> list[str]:
        lines = [f"import {name}" for name in sorted(self.imports.pop("", ()))]
        for module, names in sorted(self.imports.items()):
            lines.append(f"from {module} import {', '.join(sorted(names))}")
        return lines


def _definition(place: Place) -> tuple[_Module, Definition]:
    module = _read(place[0])
    if module is None or place[1] not in module.defined:
        if module is not None and place[1] in module.imported:
            return _definition(module.imported[place[1]])
        raise StudyError(f"{place[0]} has no {place[1]} at the top of its file")
    return module, module.defined[place[1]]


def _bases(module: _Module, node: ast.ClassDef) -> Iterator[tuple[_Module, ast.ClassDef]]:
    """The bases of a class that are not of Python or of a package, next ones first."""
    for base in node.bases:
        if not isinstance(base, ast.Name):
            continue
        if base.id in module.defined:
            place = (module.name, base.id)
        elif base.id in module.imported and _read(module.imported[base.id][0]) is not None:
            place = module.imported[base.id]
        else:
            continue
        of, found = _definition(place)
        if isinstance(found, ast.ClassDef):
            yield of, found
            yield from _bases(of, found)


def _members(
    family: list[tuple[_Module, ast.ClassDef]], used: frozenset[str]
) -> list[list[ast.stmt]]:
    """Of each class what is used, or special, or needed by such."""
    needed, before = set(used), -1
    while len(needed) != before:
        before = len(needed)
        for _, node in family:
            for each in node.body:
                if _kept(each, needed):
                    needed |= {
                        part.attr for part in ast.walk(each) if isinstance(part, ast.Attribute)
                    }
    return [[each for each in node.body if _kept(each, needed)] for _, node in family]


def _kept(node: ast.stmt, needed: set[str]) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name in needed or (node.name.startswith("__") and node.name.endswith("__"))
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return bool(needed & set(_names(node, ast.Store)))
    return True


def _names(node: ast.AST, context: type[ast.expr_context] = ast.Load) -> list[str]:
    """Names that are read in a piece of source, each once, in their order; texts in annotations
    are left alone."""
    found = [
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, context)
    ]
    return list(dict.fromkeys(found))


def _class_text(module: _Module, node: ast.ClassDef, members: list[ast.stmt]) -> str:
    """The class with these members only."""
    begins = [node.lineno, *(one.lineno for one in node.decorator_list)]
    text = "\n".join(module.lines[min(begins) - 1 : _first_line(module, node.body[0]) - 1]).rstrip()
    for each in members:
        first = _first_line(module, each)
        blank = not module.lines[first - 2].strip()
        text += ("\n\n" if blank else "\n") + _text(module, each)
    return text if members else f"{text}\n    pass"


def _text(module: _Module, node: ast.stmt) -> str:
    return "\n".join(module.lines[_first_line(module, node) - 1 : node.end_lineno])


def _first_line(module: _Module, node: ast.stmt) -> int:
    """Of a statement, with its decorators and the comments right above."""
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    while first > 1 and module.lines[first - 2].lstrip().startswith("# "):
        if "# ---" in module.lines[first - 2]:
            break  # a heading of the file
        first -= 1
    return first
