"""Provenance: launches, versions, and the data as downloads."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from reports.analysis.adopted import origin_words
from reports.blocks import Cell, Definitions, Downloads, Listing, Prose, Section, Table
from reports.data.study import Study
from reports.formatting import count, duration, listing
from study.store.privacy import private
from study.store.run_addresses import addresses

FINDING = "Launches, the command as typed, versions, and the data as downloads."


class Provenance:
    """Launches in order, their machines, and downloads with checksums."""

    title = "Provenance"
    needs = ()

    def render(self, study: Study) -> Section:
        if study.adopted:
            return Section([*_adopted(study), *self._data(study)], finding=FINDING)
        launches = study.launches
        blocks: list[object] = [self._facts(study)]
        rows = [_launch(launch) for launch in launches]
        columns = [
            "launched (UTC)",
            "git commit",
            "device",
            "workers",
            "planned",
            "stored before",
            "done",
            "diverged",
            "failed",
            "took",
        ]
        blocks.append(Table(columns, rows, "Launches of this study"))
        if launches:
            blocks.append(Prose("The last command, as typed:"))
            blocks.append(Listing(private(str(launches[-1].get("command", "not recorded")))))
            versions = launches[-1].get("versions") or {}
            blocks.append(
                Table(
                    ["package", "version"],
                    [[str(name), str(text)] for name, text in sorted(versions.items())],
                    "Versions at the last launch",
                )
            )
        return Section([*blocks, *self._data(study)], finding=FINDING)

    def _data(self, study: Study) -> list[object]:
        if study.sampling_note:
            return [
                Prose(
                    "The data behind this page are too many to lie in it: points.parquet and"
                    " study.json lie beside it in the study's folder."
                )
            ]
        return [
            Prose("The data behind this page:"),
            Downloads([self._points(study), self._study(study)]),
        ]

    def _facts(self, study: Study) -> Definitions:
        record = study.record
        mark: Mapping[str, Any] = record.get("fingerprint") or {}
        tasks = listing(f"{name} {digest}" for name, digest in (mark.get("tasks") or {}).items())
        starts = sorted({str(launch.get("time")) for launch in study.launches})
        items = [
            (
                "Study",
                (
                    f"{study.name}, experiment {record.get('experiment') or 'none'}, schema"
                    f" {record.get('schema')}, numerics {mark.get('numerics', 'n/a')}"
                ),
            ),
            ("Data, by hash", tasks),
            ("First and last launch", f"{starts[0]} and {starts[-1]}" if starts else "none"),
        ]
        rounded = [
            name
            for name in study.factors.get("precision") or [study.constant.get("precision", "full")]
            if name != "full"
        ]
        if rounded:
            items.append(
                (
                    "Precision",
                    (
                        f"products of updates in {listing(rounded)}; weights, validation, test"
                        " scores and probes in full precision"
                    ),
                )
            )
        online = addresses(study.store.folder)
        if runs := [online[id] for id in study.grid["id"] if id in online]:
            where = listing(sorted({address.partition("/runs/")[0] for address in runs}))
            items.append(("Weights & Biases", f"{count(len(runs), 'network')} logged at {where}"))
        dirty = [launch for launch in study.launches if (launch.get("git") or {}).get("dirty")]
        if dirty:
            sentence = (
                f"{len(dirty)} of {len(study.launches)} launches ran code with uncommitted changes:"
                " the commit alone does not reproduce them"
            )
            items.append(("Uncommitted changes", sentence))
        return Definitions(items)

    def _points(self, study: Study) -> tuple[str, str, str, str, int]:
        text = private(study.store.points().to_csv(index=False, lineterminator="\n"))
        return download(
            f"{study.name}-points.csv", "one row a stored network, every column", text, "text/csv"
        )

    def _study(self, study: Study) -> tuple[str, str, str, str, int]:
        text = private(json.dumps(study.record, indent=1, ensure_ascii=False))
        return download(
            f"{study.name}-study.json",
            "declaration, fingerprint and launches",
            text,
            "application/json",
        )


def download(name: str, what: str, text: str, kind: str) -> tuple[str, str, str, str, int]:
    """A file inside the page: (name, description, data URI, SHA-256, bytes)."""
    data = text.encode()
    return (
        name,
        what,
        f"data:{kind};base64,{base64.b64encode(data).decode()}",
        hashlib.sha256(data).hexdigest(),
        len(data),
    )


def _adopted(study: Study) -> list[object]:
    """Where adopted runs come from: each source with its hash, and the command that read it."""
    rows: list[list[Cell | str]] = []
    for launch in study.launches:
        source = launch.get("adopted") or {}
        planned, before = int(launch.get("planned") or 0), int(launch.get("stored_before") or 0)
        rows.append(
            [
                str(launch.get("time", "–")),
                *(private(str(source.get(key, "–"))) for key in ("name", "kind", "digest")),
                str(planned),
                str(planned - before),
                (launch.get("versions") or {}).get("rnn-gradient-study", "–"),
            ]
        )
    columns = [
        "adopted (UTC)",
        "from",
        "kind",
        "hash of its content",
        "networks",
        "new",
        "by version",
    ]
    last = study.launches[-1].get("command", "not recorded") if study.launches else "none"
    return [
        Prose(
            f"{origin_words(study)} On which machine, with which code and on which data they were"
            " trained was not recorded."
        ),
        Table(columns, rows, "Sources of these networks"),
        Prose("The last command, as typed:"),
        Listing(private(str(last))),
    ]


def _launch(launch: Mapping[str, Any]) -> Sequence[Cell | str]:
    git = launch.get("git")
    commit = (
        f"{str(git['commit'])[:12]}{' + changes' if git.get('dirty') else ''}"
        if git
        else "no checkout"
    )
    took = launch.get("seconds")
    counts = [
        str(launch.get(key, "–")) if launch.get(key) is not None else "–"
        for key in ("workers", "planned", "stored_before", "done", "diverged", "failed")
    ]
    return [
        str(launch.get("time", "–")),
        commit,
        str(launch.get("device", "–")),
        *counts,
        duration(float(took)) if took is not None else "not finished",
    ]
