"""Write expected/*.json and pages/*.html from stores/: with the environment of the version that
made the stores.
"""

import hashlib
import html
import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))
import test_stored_before as t  # noqa: E402
from study.checkpoints import Checkpoints  # noqa: E402
from study.search_store import SearchStore  # noqa: E402

from reports.data import Study  # noqa: E402
from study.store import Store  # noqa: E402

t.EXPECTED.mkdir(exist_ok=True)
(HERE / "pages").mkdir(exist_ok=True)


def last_command(name):
    typed = shlex.split(Store(t.STORES / name).study()["launches"][-1]["command"])
    assert typed[:3] == ["python", "-m", "study"]
    return typed[3:] + ([] if "device=cpu" in typed or "--config-dir" in typed else ["device=cpu"])


def write(name, found):
    (t.EXPECTED / f"{name}.json").write_text(
        json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


found = {}
for name in t.STUDIES:
    store = Store(t.STORES / name)
    found[name] = {
        "command": last_command(name),
        "ids": store.ids(),
        "declared": [point["id"] for point in store.study()["declaration"]["grid"]],
        "statuses": {id: store.status(id) for id in store.ids()},
        "rows": t.exact_rows(store.points()),
        "digests": {id: t.digests(store, id) for id in store.ids()},
    }
    write(name, found[name])

search = SearchStore(t.STORES / "searched" / "search")
trials = Store(t.STORES / "searched" / "search")
from study.records import SEARCH_TABLES  # noqa: E402

tables = {
    name: {
        "rows": len(search.table(name)),
        "sha256": t.digest_of(
            search.table(name).drop(columns=["seconds"], errors="ignore"), columns
        ),
    }
    for name, columns in SEARCH_TABLES.items()
}
told = shlex.split(search.summary()["command"])
write(
    "searched",
    {
        "command": told[3:],
        "places": len(t.searched_rows(search)),
        "ids": trials.ids(),
        "statuses": {id: trials.status(id) for id in trials.ids()},
        "tables": tables,
        "trials": t.searched_rows(search),
    },
)

with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
    pages = []
    for folder in map(Path, (one, two)):
        t.copied(folder)
        commands = t.asked(t.STUDIES)
        for name in ("quick", "compacted"):
            commands[name, "export"] = [
                "reports",
                "export",
                f"outputs/{name}",
                found[name]["ids"][0],
                "--to",
                f"exported_{name}",
            ]
        said = dict(zip(commands, t.together(folder, list(commands.values())), strict=True))
        for key, (code, text) in said.items():
            assert code == 0, (key, text)
        alone = t.command(folder, "reports", "render", "outputs/quick")
        assert alone.returncode == 0
        pages.append(
            {name: (folder / "outputs" / name / "report.html").read_bytes() for name in t.STUDIES}
        )
    assert pages[0] == pages[1], "rendering twice gives other bytes"
    for name, data in pages[1].items():
        (HERE / "pages" / f"{name}.html").write_bytes(data)
        page = data.decode()
        arms = list(Study(Store(t.STORES / name)).arms["label"])
        print(
            name,
            "arms not verbatim:",
            [arm for arm in arms if html.escape(arm, quote=False) not in page],
        )
        print("   ", t.headings(page))
        found[name]["status"] = said[name, "status"][1]
        table = said[name, "table"][1]
        found[name]["table"] = {
            "columns": table.splitlines()[0].split(","),
            "sha256": hashlib.sha256(table.encode()).hexdigest(),
        }
        found[name]["page"] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "arms": arms,
            "headings": t.headings(page),
        }
    for name in ("quick", "compacted"):
        from safetensors.numpy import load_file

        found[name]["exported"] = t.digest_of_arrays(
            load_file(Path(two) / f"exported_{name}" / "model.safetensors")
        )

with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
    finished = []
    for folder, resumes in ((Path(one), True), (Path(two), False)):
        if resumes:
            shutil.copytree(t.STORES / "partial", folder / "outputs" / "partial")
        ran = t.command(folder, "study", *found["partial"]["command"])
        assert ran.returncode == 0, ran.stdout + ran.stderr
        store = Store(folder / "outputs" / "partial")
        rows = t.exact_rows(store.points())
        finished.append(
            {
                id: {"row": rows[id], "digests": t.digests(store, id)}
                for id in found["partial"]["declared"]
            }
        )
        if resumes:
            resumed = {id: store.result(id)["provenance"].get("resumed") for id in store.ids()}
            print("resumed", resumed, ran.stdout)
            capability = {store.result(id)["provenance"]["cpu_capability"] for id in store.ids()}
    assert finished[0] == finished[1], "an undisturbed run gives other numbers"
    for id, row in found["partial"]["rows"].items():
        assert finished[1][id] == {"row": row, "digests": found["partial"]["digests"][id]}
    missing = [id for id in found["partial"]["declared"] if id not in found["partial"]["ids"]]
    found["partial"] |= {
        "missing": missing,
        "checkpoints": Checkpoints(t.STORES / "partial").updates(missing),
        "finished": {id: finished[0][id] for id in missing},
        "machine": t.machine(*capability),
    }
for name in t.STUDIES:
    write(name, found[name])
