"""The whole path for real: command, store, W&B files, upload to a loopback server, report in a
browser.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import ROOT
from tests.support.wandb_stub import KEY, stub

pytestmark = pytest.mark.slow

WANDB = str(Path(sys.executable).with_name("wandb"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A small grid trained by the command, tracked offline, rendered by the command."""
    folder = tmp_path_factory.mktemp("whole")
    home = folder / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(home), "OMP_NUM_THREADS": "1"}
    run = [
        sys.executable,
        "-m",
        "study",
        "-m",
        "experiment=digits",
        "cell=rnn,gru",
        "initializer=orthogonal,normal",
        "clip=norm",
        "depth=1",
        "seed=0,1",
    ]
    trained = subprocess.run(
        [*run, "updates=30", "task.form=row", "validate_every=10"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    render = [sys.executable, "-m", "reports", "render", "outputs/digits"]
    rendered = subprocess.run(
        render, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert rendered.returncode == 0, rendered.stdout + rendered.stderr
    return folder / "outputs" / "digits", trained.stdout, rendered.stdout


def test_the_points_table_holds_the_grid(study):
    folder, told, _ = study
    table = pd.read_parquet(folder / "points.parquet")
    assert sorted(zip(table["cell"], table["initializer"], table["seed"], strict=True)) == sorted(
        (cell, initializer, seed)
        for cell in ("rnn", "gru")
        for initializer in ("orthogonal", "normal")
        for seed in (0, 1)
    )
    assert (table["status"] == "done").all()
    assert table["verdict"].notna().all()
    assert table["score"].between(0.05, 1).all()
    assert "8 done of 8 points" in told
    told_by = [
        json.loads((folder / "points" / id / "result.json").read_text())["provenance"]
        for id in table["id"]
    ]
    assert {one["flush_denormal"] for one in told_by} == {True}, (
        "by every worker, or time is confounded with vanishing gradients"
    )


def test_the_offline_runs_agree_with_the_table_and_upload(study):
    folder, told, _ = study
    table = pd.read_parquet(folder / "points.parquet").set_index("id")
    runs = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(runs) == 8
    assert "W&B: offline (mode=auto, no key is configured)" in told
    for path in runs:
        read = json.loads(
            subprocess.run(
                [WANDB, "leet", "inspect", "--summary", "--json", str(path)],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            ).stdout
        )
        row = table.loc[read["config"]["point"]]
        assert read["run_id"] == f"digits-{row.name}"
        assert read["config"]["cell"] == row["cell"]
        assert read["summary"]["score"] == row["score"]
        assert row["verdict"] in read["tags"]
    with stub() as server:
        environment = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        for path in runs[:2]:
            subprocess.run(
                [WANDB, "sync", str(path.parent)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
        assert len(server.runs) == 2
        for id, run in server.runs.items():
            history = pd.read_parquet(
                folder / "points" / id.removeprefix("digits-") / "history.parquet"
            ).set_index("update")
            assert sorted(run["history"]) == list(range(31))
            assert run["history"][7]["train/loss"] == history.loc[7, "loss"]


@pytest.mark.browser
def test_the_report_opens_alone_and_works_from_the_keyboard(study, page):
    folder, _, told = study
    assert "outputs/digits/report.html" in told
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((folder / "report.html").as_uri())
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert errors == []
    headings = " ".join(page.locator("main h2, main h3").all_inner_texts()).lower()
    for section in (
        "summary",
        "design",
        "how far back",
        "gradient flow",
        "learning curves",
        "clipping",
        "accuracy",
        "failures",
        "method",
        "provenance",
    ):
        assert section in headings, section
    table = page.locator("table:has(th button)").first
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    button = table.locator("th button").nth(0)
    column = button.evaluate("each => each.closest('th').cellIndex")

    def values():
        return [
            row.locator("th, td").nth(column).inner_text()
            for row in table.locator("tbody tr").all()
        ]

    button.focus()
    page.keyboard.press("Enter")
    once = values()
    page.keyboard.press("Enter")
    assert values() != once or len(set(once)) == 1
    assert sorted(values()) == sorted(once)
    assert page.locator("th[aria-sort]").count() >= 1
