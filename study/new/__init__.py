"""Write a working piece to start from: python -m study.new KIND NAME [--into DIR].

Writes DIR/NAME.py, DIR/KIND/NAME.yaml and DIR/test_NAME.py from study/new/skeletons; refuses bad
names and never overwrites a file. Does not import torch.
"""

from __future__ import annotations

import argparse
import builtins
import importlib.util
import keyword
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from study.config.paths import conf_folder
from study.program import command, python, training
from study.records import StudyError

SKELETONS = Path(__file__).parent / "skeletons"
KINDS = (
    "task",
    "cell",
    "initializer",
    "clip",
    "optimizer",
    "penalty",
    "schedule",
    "encoder",
    "block",
    "readout",
    "probe",
    "tracker",
    "executor",
    "model",
    "trainer",
    "section",
)
STUDY_ARGUMENTS = {
    "task": "task={name} cell=rnn,gru seed=0,1,2",
    "cell": "cell=rnn,{name} seed=0,1,2",
    "initializer": "initializer=orthogonal,{name} seed=0,1,2",
    "clip": "clip=norm,{name} seed=0,1,2",
    "optimizer": "optimizer=adam,{name} seed=0,1,2",
    "penalty": "penalty=none,{name} seed=0,1,2",
    "schedule": "schedule=constant,{name} seed=0,1,2",
    "encoder": "encoder=none,{name} seed=0,1,2",
    "block": "block=none,{name} seed=0,1,2",
    "readout": "readout=last,{name} seed=0,1,2",
    "tracker": "'tracker=[{name}]' cell=rnn,gru seed=0,1,2",
    "executor": "executor={name} cell=rnn,gru seed=0,1,2",
    "model": "model=stack,{name} seed=0,1,2",
    "trainer": "trainer={name} hidden=16,32 seed=0,1,2",
    "probe": "'probe=[transport,loss,recurrence,{name}]' cell=rnn,gru seed=0,1,2",
}
YAML_VALUES = ("null", "true", "false", "inf", "nan")  # YAML reads these as values


def create(kind: str, name: str, into: Path) -> list[Path]:
    """Write the three files of a piece and return their paths.

    Raises StudyError for a bad name or an existing file, before anything is written.
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
    """{path of a new file: its template}."""
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
    """Raise StudyError if this name cannot be that of a module, a class and a level."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name in YAML_VALUES:
        raise StudyError(
            "NAME: must be lower-case letters, digits and _, start with a letter, and be no keyword"
            f" of Python or YAML, such as my_{kind}; got {name!r}"
        )
    existing = [path for path in files(kind, name, into) if path.exists()]
    if existing:
        raise StudyError(
            f"{existing[0]}: exists already, so nothing was written. Choose another NAME, or"
            " another folder with --into"
        )
    if (conf_folder() / kind / f"{name}.yaml").exists():
        raise StudyError(
            f"NAME: the tool already has a {kind} {name}, and names must be unique. Choose another"
            " NAME"
        )
    used = set(
        re.findall(
            r"\w+",
            "".join(path.read_text(encoding="utf-8") for path in files(kind, name, into).values()),
        )
    )
    if class_name(name) in used or hasattr(builtins, class_name(name)):
        raise StudyError(
            f"NAME: {name} would name its class {class_name(name)}, which its file already uses for"
            " something else. Choose another NAME"
        )
    spec = None if name in sys.builtin_module_names else importlib.util.find_spec(name)
    if spec is not None or name in sys.builtin_module_names:
        raise StudyError(
            f"NAME: there is a module {name} on Python's path, which would be imported instead."
            " Choose another NAME"
        )


def next_steps(kind: str, name: str, into: Path, written: Sequence[Path]) -> str:
    """List the files written and the commands that try the new piece."""
    run = (
        command("reports", "render", "outputs/STUDY", "--config-dir", str(into))
        if kind == "section"
        else f"{training(many=True)} --config-dir {shlex.quote(str(into))} {STUDY_ARGUMENTS[kind]}"
    )
    commands: Mapping[str, str] = {
        "its own test": shlex.join([python(), "-m", "pytest", str(into / f"test_{name}.py")]),
        "all rules   ": command("study.check", str(into)),
        "in a study  ": run.format(name=name),
    }
    return "\n".join(
        [
            *(f"wrote {path}" for path in written),
            *(f"{what}  {command}" for what, command in commands.items()),
        ]
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=command("study.new"),
        description="write a working piece to start from, with its YAML and its test",
    )
    made.add_argument("kind", choices=KINDS, metavar="KIND", help=" | ".join(KINDS))
    made.add_argument(
        "name", metavar="NAME", help="name of the module and the level, such as leaky"
    )
    made.add_argument(
        "--into",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder of your own pieces, created if missing (default: this folder)",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit status 0, or 2 after an error message."""
    options = parser().parse_args(arguments)
    try:
        written = create(options.kind, options.name, options.into)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(next_steps(options.kind, options.name, options.into, written))
    return 0
