"""A W&B server's upload path on loopback, enough for `wandb sync` and online runs: what was sent is
kept for the tests.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789" * 4


class Stub(ThreadingHTTPServer):
    """`runs`: run id -> {"upserts": [variables], "history": {step: row}, "lines": of history that
    came, "summary": {…}}; `sent`:
    every path and body; `artifacts`: what was said of each when it was created; `committed`:
    digests of those whose files all arrived, by name; `stored`: path -> bytes that were put there.

    With `refuses` set, runs can be opened and their history is turned down, as by a server that
    dies meanwhile. `sweep`: what a `wandb agent` is given: its command, and the parameters of each
    of its runs by id.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.sent: list[str] = []
        self.artifacts: list[dict[str, Any]] = []
        self.committed: dict[str, str] = {}
        self.stored: dict[str, bytes] = {}
        self.refuses = False
        self.sweep: dict[str, Any] = {"command": [], "runs": {}}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def run(self, id: str) -> dict[str, Any]:
        return self.runs.setdefault(id, {"upserts": [], "history": {}, "lines": 0, "summary": {}})


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_POST(self) -> None:  # names as http.server asks for them
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        self.server.sent.append(f"{self.path} {body.decode(errors='replace')}")
        if self.server.refuses and self.path.endswith("/file_stream"):
            self._answer({}, status=503)
            return
        if not self.path.endswith(("/graphql", "/file_stream")):
            self._answer({})
            return
        sent = json.loads(body or b"{}")
        with self.server.lock:
            if self.path.endswith("/file_stream"):
                self._file_stream(self.path.split("/")[-2], sent)
                self._answer({})
            else:
                self._answer(
                    {"data": self._graphql(sent.get("query", ""), sent.get("variables") or {})}
                )

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.stored[self.path] = body
        self.server.sent.append(f"{self.path} {body.decode(errors='replace')}")
        self._answer({})

    do_GET = do_PUT

    def _graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        name = query.split("(")[0].split("{")[0].split()[-1] if query else ""
        if "UpsertBucket" in name:
            run = self.server.run(variables["name"])
            inserted = not run["upserts"]
            run["upserts"].append(variables)
            id = base64.b64encode(f"Run:v1:{variables['name']}:p:e".encode()).decode()
            project = {
                "id": "p",
                "name": variables.get("project") or "p",
                "entity": {"id": "e", "name": "e"},
            }
            bucket = {
                "id": id,
                "name": variables["name"],
                "displayName": variables.get("displayName"),
                "sweepName": None,
                "historyLineCount": 0,
                "config": "{}",
                "project": project,
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}
        if "CreateRunFiles" in name:
            files = [
                {"name": file, "uploadUrl": f"{self.server.url}/storage/{file}"}
                for file in variables.get("files", [])
            ]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if "ClientIDMapping" in name:
            return {"clientIDMapping": {"serverID": self._server_id(variables["clientID"])}}
        if "Artifact" in name:
            return self._artifact(name, variables)
        if "ServerFeatures" in name:
            return {"serverInfo": {"features": []}}
        if "RunResumeStatus" in name:
            bucket = self._bucket(variables["name"])
            return {
                "model": {
                    "id": "p",
                    "name": "p",
                    "entity": {"id": "e", "name": "e"},
                    "bucket": bucket,
                }
            }
        if "SweepWithRuns" in name:
            config = json.dumps({"command": self.server.sweep["command"]})
            sweep = {"id": "s", "name": "s", "config": config, "runs": {"edges": []}}
            return {"project": {"sweep": sweep}}
        if "CreateAgent" in name:
            return {"createAgent": {"agent": {"id": "a"}}}
        if "Heartbeat" in name:
            return {"agentHeartbeat": {"agent": {"id": "a"}, "commands": self._next_run(variables)}}
        return {
            "serverInfo": {"features": []},
            "viewer": {
                "id": "v",
                "entity": "e",
                "username": "v",
                "flags": "{}",
                "teams": {"edges": []},
            },
        }

    def _bucket(self, name: str) -> dict[str, Any] | None:
        """What a run that is resumed asks for; None for a new one."""
        if name not in self.server.runs:
            return None
        run = self.server.run(name)
        last = [json.dumps(run["history"][step]) for step in sorted(run["history"])[-1:]]
        return {
            "id": "r",
            "name": name,
            "sweepName": None,
            "tags": [],
            "displayName": name,
            "historyLineCount": len(run["history"]),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(last),
            "eventsTail": "[]",
            "summaryMetrics": json.dumps(run["summary"]),
            "config": "{}",
            "wandbConfig": json.dumps({"t": 1}),
        }

    def _next_run(self, variables: dict[str, Any]) -> str:
        """The next run of the sweep for an agent, as JSON; the end, when there is no more."""
        if json.loads(variables["runState"]):
            return "[]"
        runs = self.server.sweep["runs"]
        if not runs:
            return json.dumps([{"type": "exit"}])
        id = next(iter(runs))
        args = {name: {"value": value} for name, value in runs.pop(id).items()}
        return json.dumps([{"type": "run", "run_id": id, "program": "study", "args": args}])

    def _artifact(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answers on the way of an artifact: is its type known, create it, its manifest, its files,
        commit.
        """
        asked = variables.get("input") or variables
        if "MembershipByName" in name:
            return {"project": {"artifactCollectionMembership": self._membership(asked["name"])}}
        if "Manifest" in name:
            file = {
                "id": "m",
                "name": "manifest",
                "displayName": "manifest",
                "uploadUrl": f"{self.server.url}/storage/manifest",
                "uploadHeaders": [],
            }
            return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}
        if "Files" in name:
            nodes = [
                {
                    "id": file["name"],
                    "name": file["name"],
                    "displayName": file["name"],
                    "uploadUrl": f"{self.server.url}/storage/artifact/{file['name']}",
                    "uploadHeaders": [],
                    "uploadMultipartUrls": None,
                    "storagePath": file["name"],
                    "artifact": {"id": file["artifactID"]},
                }
                for file in asked["artifactFiles"]
            ]
            return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
        if "Commit" in name:
            made = self.server.artifacts[int(asked["artifactID"])]
            self.server.committed[made["artifactCollectionName"]] = made["digest"]
            return {"commitArtifact": {"artifact": {"id": asked["artifactID"], "digest": "d"}}}
        if "Create" in name:
            self.server.artifacts.append(asked)
            return {
                "createArtifact": {
                    "artifact": {
                        "id": str(len(self.server.artifacts) - 1),
                        "state": "PENDING",
                        "artifactSequence": {"id": "s", "latestArtifact": None},
                    }
                }
            }
        return {"project": {"artifact": None}}

    def _server_id(self, client: str) -> str:
        found = [made.get("clientID") for made in self.server.artifacts]
        return base64.b64encode(f"Artifact:{found.index(client)}".encode()).decode()

    def _membership(self, alias: str) -> dict[str, Any] | None:
        """An artifact as wandb's Python API asks for it; None unless it is whole."""
        name = alias.partition(":")[0]
        if name not in self.server.committed:
            return None
        project = {"id": "p", "internalId": "p", "name": "p", "entity": {"name": "e"}}
        collection = {"__typename": "ArtifactSequence", "name": name, "project": project}
        nothing = ("description", "metadata", "historyStep", "updatedAt")
        artifact = {
            "__typename": "Artifact",
            "id": "a",
            "artifactSequence": collection,
            "versionIndex": 0,
            "artifactType": {"name": "t"},
            "ttlDurationSeconds": 0,
            "ttlIsInherited": False,
            "tags": [],
            "state": "COMMITTED",
            "size": 0,
            "digest": self.server.committed[name],
            "commitHash": "c",
            "fileCount": 1,
            "createdAt": "2026-01-01T00:00:00Z",
            "aliases": [],
            **dict.fromkeys(nothing),
        }
        return {
            "id": "m",
            "versionIndex": 0,
            "createdAt": artifact["createdAt"],
            "aliases": [],
            "artifactCollection": collection,
            "artifact": artifact,
        }

    def _file_stream(self, id: str, sent: dict[str, Any]) -> None:
        run = self.server.run(id)
        for name, part in (sent.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                run["lines"] += len(part["content"])
                for row in map(json.loads, part["content"]):
                    run["history"][row["_step"]] = row
            elif name == "wandb-summary.json":
                run["summary"] |= json.loads(part["content"][-1])

    def _answer(self, data: dict[str, Any], status: int = 200) -> None:
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Tests print what they need."""


@contextmanager
def stub() -> Iterator[Stub]:
    server = Stub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
