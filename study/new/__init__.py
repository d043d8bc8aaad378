"""A working piece to start from: python -m study.new KIND NAME [--into DIR].

Writes DIR/NAME.py, DIR/KIND/NAME.yaml and DIR/test_NAME.py from study/new/skeletons; refuses to
overwrite and bad names. Imports no torch.
"""

from __future__ import annotations

import argparse
import builtins
import importlib.util
import keyword
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from study.config.paths import conf_folder
from study.records import StudyError

SKELETONS = Path(__file__).parent / "skeletons"
KINDS = (
    "task",
    "cell",
    "initializer",
    "clip",
    "optimizer",
    "encoder",
    "readout",
    "probe",
    "tracker",
    "executor",
    "section",
)
TRY = {
    "task": "task={name} cell=rnn,gru seed=0,1,2",
    "cell": "cell=rnn,{name} seed=0,1,2",
    "initializer": "initializer=orthogonal,{name} seed=0,1,2",
    "clip": "clip=norm,{name} seed=0,1,2",
    "optimizer": "optimizer=adam,{name} seed=0,1,2",
    "encoder": "encoder=none,{name} seed=0,1,2",
    "readout": "readout=last,{name} seed=0,1,2",
    "tracker": "'tracker=[{name}]' cell=rnn,gru seed=0,1,2",
    "executor": "executor={name} cell=rnn,gru seed=0,1,2",
    "probe": "'probe=[transport,loss,recurrence,{name}]' cell=rnn,gru seed=0,1,2",
}
WORDS = ("null", "true", "false", "inf", "nan")  # what YAML reads as a value, and no name


def create(kind: str, name: str, into: Path) -> list[Path]:
    """Write the three files of a piece, all or none; their paths.

    StudyError for a bad name or what is there already.
    """
    check_name(kind, name, into)
    texts = {path: filled(name, template) for path, template in files(kind, name, into).items()}
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise StudyError(f"{path}: cannot be written ({error.strerror or error})") from error
    return list(texts)


def files(kind: str, name: str, into: Path) -> dict[Path, Path]:
    """Where each file goes, and its template."""
    return {
        into / f"{name}.py": SKELETONS / f"{kind}.py",
        into / kind / f"{name}.yaml": SKELETONS / f"{kind}.yaml",
        into / f"test_{name}.py": SKELETONS / f"test_{kind}.py",
    }


def filled(name: str, template: Path) -> str:
    text = template.read_text(encoding="utf-8")
    return re.sub(r"\bskeleton\b", name, re.sub(r"\bSkeleton\b", class_name(name), text))


def class_name(name: str) -> str:
    """leaky_cell -> LeakyCell."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def check_name(kind: str, name: str, into: Path) -> None:
    """Raise the StudyError that says why this name cannot be the name of a module, a class and a
    level.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name in WORDS:
        raise StudyError(
            "NAME: must be small letters, digits and _, begin with a letter, and be no word of"
            f" Python or YAML, such as my_{kind}; got {name!r}"
        )
    there = [path for path in files(kind, name, into) if path.exists()]
    if there:
        raise StudyError(
            f"{there[0]}: is there already, and nothing was written. Choose another NAME, or"
            " another folder with --into"
        )
    if (conf_folder() / kind / f"{name}.yaml").exists():
        raise StudyError(
            f"NAME: {kind} {name} is one of the tool's own, and two of one name cannot be told"
            " apart. Choose another NAME"
        )
    used = set(
        re.findall(
            r"\w+",
            "".join(path.read_text(encoding="utf-8") for path in files(kind, name, into).values()),
        )
    )
    if class_name(name) in used or hasattr(builtins, class_name(name)):
        raise StudyError(
            f"NAME: {name} would make a class {class_name(name)}, a name that its file needs for"
            " something else. Choose another NAME"
        )
    spec = None if name in sys.builtin_module_names else importlib.util.find_spec(name)
    if spec is not None or name in sys.builtin_module_names:
        raise StudyError(
            f"NAME: there is a module {name} in Python's path, which would be imported in its"
            " place. Choose another NAME"
        )


def said(kind: str, name: str, into: Path, written: Sequence[Path]) -> str:
    """What was written, and how it is tried."""
    run = (
        f"python -m reports render outputs/STUDY --config-dir {into}"
        if kind == "section"
        else f"python -m study -m --config-dir {into} {TRY[kind]}"
    )
    todo: Mapping[str, str] = {
        "its own test": f"python -m pytest {into / f'test_{name}.py'}",
        "all rules   ": f"python -m study.check {into}   (make check-plugin DIR={into})",
        "in a study  ": run.format(name=name),
    }
    return "\n".join(
        [
            *(f"wrote {path}" for path in written),
            *(f"{what}  {command}" for what, command in todo.items()),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 after a line that says what was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m study.new",
        description="write a working piece to start from, with its YAML and its test",
    )
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=" | ".join(KINDS))
    parser.add_argument("name", metavar="NAME", help="of the module and the level, such as leaky")
    parser.add_argument(
        "--into",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder of your own pieces, made where it is missing (default: here)",
    )
    asked = parser.parse_args(arguments)
    try:
        written = create(asked.kind, asked.name, asked.into)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(said(asked.kind, asked.name, asked.into, written))
    return 0
