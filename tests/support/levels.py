"""The table of levels in conf/README.md, made from conf/: python -m tests.support.levels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from study.config.paths import conf_folder

FOLDERS = (
    "model",
    "trainer",
    "cell",
    "initializer",
    "clip",
    "optimizer",
    "schedule",
    "average",
    "penalty",
    "readout",
    "encoder",
    "block",
    "task",
    "probe",
    "tracker",
    "executor",
    "search",
    "search/sampler",
    "search/pruner",
    "search/objective",
    "experiment",
    "claim",
    "section",
)


def lines() -> Iterator[str]:
    """A row per folder of conf/: its levels, the default of conf/config.yaml in bold."""
    yield "| key | levels (default in bold) |"
    yield "|---|---|"
    chosen = defaults()
    for folder in FOLDERS:
        names = sorted(path.stem for path in (Path(conf_folder()) / folder).glob("*.yaml"))
        marked = [
            f"**`{name}`**" if name in chosen.get(folder, ()) else f"`{name}`" for name in names
        ]
        yield f"| `{folder}` | {', '.join(marked)} |"


def defaults() -> dict[str, list[str]]:
    """{folder: levels chosen by default}."""
    text = (Path(conf_folder()) / "config.yaml").read_text(encoding="utf-8")
    found = re.findall(r"^  - (\w+): (\S.*?)\s*(?:#|$)", text.split("_self_")[0], re.MULTILINE)
    return {key: [name.strip() for name in value.strip("[]").split(",")] for key, value in found}


if __name__ == "__main__":
    print("\n".join(lines()))
