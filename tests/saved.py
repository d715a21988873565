"""A folder of saved traces, and the server that they are for."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import langsmith
from conftest import QUICK
from scenarios import GONE

from safe_langsmith import Replay, SafeClient
from safe_langsmith.testing import Exchange, SimulatedLangSmith

WAYS = ("zstd", "plain", "batch")
INGEST = ("/runs/multipart", "/runs/batch")
START = "20260101T000000000000Z"


class Place:
    """A server, a valid key, and the folder where the SDK saves batches."""

    def __init__(self, server: SimulatedLangSmith, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.workspace = server.add_workspace("Research", projects=1)
        self.key = server.add_personal_key(workspaces=[self.workspace]).secret
        self.secrets = [self.key, GONE]

    def client(self, **arguments: Any) -> SafeClient:
        arguments = {"api_key": self.key, "policy": QUICK, **arguments}
        return SafeClient(self.server.url, auto_batch_tracing=False, **arguments)

    def replay(self, **arguments: Any) -> Replay:
        return self.client(**arguments).replay_failed_traces(self.folder)

    def save(self, way: str, batches: int = 1, *, extras: bool = False) -> list[str]:
        """Make the SDK trace with a rejected key, so that it saves each batch."""
        info = self.server.info
        info["instance_flags"]["zstd_compression_enabled"] = way == "zstd"
        info["batch_ingest_config"]["use_multipart_endpoint"] = way != "batch"
        client = SafeClient(self.server.url, api_key=GONE, policy=QUICK)
        before = len(self.files)
        runs = []
        for number in range(batches):
            run = uuid.uuid4()
            files: Any = {"picture": ("image/png", b"\x89PNG\r\n--\r\n" * 1000)}
            client.create_run(
                "run",
                {"text": f"x{number}" * 100},
                "chain",
                id=run,
                trace_id=run,
                dotted_order=f"{START}{run}",
                attachments=files if extras else None,
            )
            if extras:
                client.create_feedback(
                    run, "score", score=1, trace_id=run, session_id=uuid.uuid4()
                )
            client.flush()
            runs.append(str(run))
        client.cleanup()
        # On a slow machine, a run and its feedback can be separate batches.
        assert len(self.files) >= before + batches
        return runs

    def write(self, **changes: Any) -> tuple[Path, str]:
        """Save a batch as the SDK does, with changed fields in the file."""
        run = str(uuid.uuid4())
        fields = {"id": run, "trace_id": run, "dotted_order": START + run}
        body = json.dumps({"post": [{**fields, "name": "run", "run_type": "chain"}]})
        before = set(self.folder.iterdir())
        langsmith.Client._write_trace_to_fallback_dir(
            str(self.folder),
            changes.pop("body", body.encode()),
            endpoint=changes.pop("endpoint", "runs/batch"),
            headers=changes.pop("headers", {"Content-Type": "application/json"}),
        )
        (file,) = set(self.folder.iterdir()) - before
        if changes:
            file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
        return file, run

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def posts(self, *statuses: int) -> list[Exchange]:
        """The batches that arrived, optionally only those with one of these statuses."""
        found = [e for e in self.server.exchanges if e.path in INGEST]
        return [e for e in found if not statuses or e.status in statuses]

    def arrived(self, *runs: str) -> list[int]:
        """How many times each run arrived."""
        return [len(self.server.runs.get(run, [])) for run in runs]
