"""What is sent to Weights & Biases and noted of it, for the tracker and for the commands that need
no torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from study.records import StudyError

# Results need nobody to watch machine, console, code or requirements while they are sent. No host
# name and no path leaves.
FAST: dict[str, Any] = {
    "silent": True,
    "host": "-",
    "program": "python -m study",
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_save_requirements": False,
    "symlink": False,  # wandb/latest-run: of a hundred runs a minute nobody asks for the latest
    "finish_timeout_raises": True,
}

LOGGED, SENT = (
    "logged.jsonl",
    "artifacts.jsonl",
)  # ledgers in wandb/: of points, and of what study.artifacts sent


def package(otherwise: str = "") -> Any:
    """wandb, or the StudyError that says how to get it, or what to do `otherwise`."""
    os.environ.setdefault(
        "WANDB_ERROR_REPORTING", "false"
    )  # else wandb calls home even when it is offline
    try:
        import wandb
    except ImportError as error:
        raise StudyError(f"wandb is not installed; pip install wandb{otherwise}") from error
    return wandb


def fast(mode: str, patience: float, **further: Any) -> Any:
    """Settings of a run that only sends results: FAST, and what is `further` wanted."""
    wandb = package()
    wanted = {**FAST, "mode": mode, "init_timeout": patience, "finish_timeout": patience, **further}
    known = wandb.Settings.model_fields  # older versions lack the time limit at the end of a run
    return wandb.Settings(**{name: value for name, value in wanted.items() if name in known})


def entries(ledger: Path) -> list[list[str]]:
    """[what, mode, project] of a ledger, oldest first; a line cut short by a crash is none."""
    found = []
    for line in (
        ledger.read_text(encoding="utf-8", errors="replace").splitlines() if ledger.exists() else ()
    ):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if (
                isinstance(entry, list)
                and len(entry) == 3
                and all(isinstance(text, str) for text in entry)
            ):
                found.append(entry)
    return found


def note(ledger: Path, added: Iterable[Sequence[str]]) -> None:
    """Each entry begins a line, so that one cut short by a crash spoils no other."""
    with ledger.open("a", encoding="utf-8") as file:
        file.write("".join(f"\n{json.dumps(entry)}\n" for entry in added))


def run_id(study: str, point: str) -> str:
    """W&B's ids take letters, digits, - and _ only, at most 128."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', study)[:100]}-{point}"


def key_configured(configured: Any) -> bool:
    """Whether wandb would find credentials without asking: environment, its settings, or netrc for
    its server.
    """
    from requests.utils import get_netrc_auth  # comes with wandb

    if (
        os.environ.get("WANDB_API_KEY")
        or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
        or configured.api_key
    ):
        return True
    return get_netrc_auth(configured.base_url) is not None
