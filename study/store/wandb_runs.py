"""Runs of Weights & Biases, and the ledgers of what was sent; for the tracker and for commands that
need no torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from study.records import StudyError

# Sending results needs no monitoring of machine, console, code or requirements. No host name and no
# path leaves this machine.
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
    "symlink": False,  # wandb/latest-run is of no use with a hundred runs per minute
    "finish_timeout_raises": True,
}

# What a `wandb agent` sets for the one run that it expects: with it, wandb gives every run that id.
AGENT = ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")
# Of one run, while a study has many, each with an id, a name and a place of its own.
ONE_RUN = ("WANDB_DIR", "WANDB_NAME", "WANDB_RESUME", "WANDB_RUN_ID")

LOGGED, SENT = "logged.jsonl", "artifacts.jsonl"  # ledgers in wandb/: of points, of artifacts
NO_KEY = 3  # exit status
LOST = "lost"  # in place of a mode: uploaded, but the server does not have the files


def package(otherwise: str = "") -> Any:
    """wandb, or a StudyError that says how to install it; `otherwise`: what else can be done."""
    # Without this, wandb contacts its maker even when it is offline.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        import wandb
    except ImportError as error:
        raise StudyError(f"wandb is not installed; pip install wandb{otherwise}") from error
    return wandb


def disabled() -> str:
    """What in the environment forbids W&B altogether, so that nothing is written or sent; or ""."""
    if os.environ.get("WANDB_MODE", "").lower() == "disabled":
        return "WANDB_MODE is disabled"
    if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes", "on"):
        return "WANDB_DISABLED is set"
    return ""


def unused() -> str:
    """What in the environment is not followed, in a sentence; or ""."""
    agents = ("WANDB_RUN_ID", "WANDB_DIR") if os.environ.get("WANDB_SWEEP_ID") else ()
    given = [name for name in ONE_RUN if os.environ.get(name) and name not in agents]
    if not given:
        return ""
    are = "is not used" if len(given) == 1 else "are not used"
    return (
        f"{', '.join(given)} {are}: every point is a run with its own id and name, in the study's"
        " folder, where `python -m study.sync` finds it"
    )


def leave_agent() -> str:
    """Keep the runs that this process makes apart from an agent's run, or any other single run; the
    sweep's id, or "".
    """
    left = {name: os.environ.pop(name, "") for name in {*AGENT, *ONE_RUN}}
    return left["WANDB_SWEEP_ID"]


def join_agent() -> str:
    """The id of the run that a `wandb agent` expects of this process, or "". wandb then takes its
    sweep and its parameters from the environment.
    """
    if not os.environ.get("WANDB_SWEEP_ID"):
        return ""
    for name in {*ONE_RUN} - {"WANDB_RUN_ID"}:
        os.environ.pop(name, "")
    return os.environ.get("WANDB_RUN_ID", "")


def fast(mode: str, patience: float, **further: Any) -> Any:
    """Settings of a run that only sends results; `patience`: seconds a server may take."""
    wandb = package()
    settings = {**FAST, "mode": mode, "init_timeout": patience, "finish_timeout": patience}
    settings |= further
    known = wandb.Settings.model_fields  # older versions have no finish_timeout
    return wandb.Settings(**{name: value for name, value in settings.items() if name in known})


def entries(ledger: Path) -> list[list[str]]:
    """[what, mode, project] of a ledger, oldest first; lines truncated by a crash are skipped."""
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


def files_of(what: str) -> str:
    """What SENT notes first: the digest of the files, without the artifacts that hold them."""
    return what.partition("+")[0]


def artifacts_of(what: str) -> list[tuple[str, str]]:
    """[(artifact, its digest)] of an entry of SENT."""
    pairs = (text.partition(":") for text in what.split("+")[1:])
    return [(name, digest) for name, _, digest in pairs]


def arrived(artifacts: Iterable[tuple[str, str]], where: str, seconds: float) -> bool:
    """Whether the server has all of these artifacts whole. wandb itself does not report files that
    it did not find. Raises StudyError if the server cannot be asked.
    """
    wandb = package()
    api = wandb.Api(timeout=max(1, round(seconds)))
    for name, digest in artifacts:
        try:
            if api.artifact(f"{where}/{name}:latest").digest != digest:
                return False
        except (wandb.Error, ValueError) as error:
            if "not found" in str(error):
                return False
            raise StudyError(
                f"whether {name} has arrived is not known: {' '.join(str(error).split())}; run the"
                " same command again"
            ) from error
    return True


def names(given: object) -> list[str]:
    """Tags: a list, or one text with commas as in WANDB_TAGS."""
    parts = given.split(",") if isinstance(given, str) else list(given or ())  # type: ignore[call-overload]
    return [text for part in parts if (text := str(part).strip())]


def run_id(study: str, point: str) -> str:
    """The id of a point's run: W&B allows letters, digits, - and _, at most 128 of them."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', study)[:100]}-{point}"


def key_configured(configured: Any) -> bool:
    """Whether wandb would find credentials in the environment, in its settings, or in netrc."""
    from requests.utils import get_netrc_auth  # comes with wandb

    if (
        os.environ.get("WANDB_API_KEY")
        or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
        or configured.api_key
    ):
        return True
    return get_netrc_auth(configured.base_url) is not None


def check_key(asked: str) -> None:
    """Raise StudyError unless wandb, if it is installed, would find credentials. `asked`: which
    setting wants them.

    In a process of its own, since wandb leaves a service behind; no process if the key is in the
    environment.
    """
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return
    code = (
        "import sys; from study.store.wandb_runs import key_configured, package; wandb = package();"
        " configured = wandb.setup(wandb.Settings(silent=True)).settings;"
        f" sys.exit(0 if key_configured(configured) else {NO_KEY})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    if done.returncode == NO_KEY:
        raise StudyError(
            f"tracker.wandb: {asked} is online, but no key is configured; run `wandb login`, set"
            " WANDB_API_KEY, or use tracker.wandb.mode=offline"
        )
