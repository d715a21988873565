"""Write `paths.md`, the page of the paths to LangSmith: `python docs/make_paths.py`.

The rows come from tests/ways.py; tests/client/test_everywhere.py tests each.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from ways import table

_HEAD = """\
# How your traces get to LangSmith, and what safe_langsmith does there

<!-- Written by make_paths.py. Change tests/ways.py, and run it again. -->

Find the row for your program. If the last column says "a safe client", change the import;
for traces and `evaluate()`, you can call `install()` instead. If it says
`everywhere=True`, call `install(everywhere=True)`, or start the program with
`safe-langsmith run`.

If a request is refused on one of these paths and the [rules](repair.md) allow a fix, it
is applied and the request is sent again; otherwise you get the typed error. The tests run
each row with a key that needs a workspace, once when the key has only one and once when it
has two. They also check that without a refusal, the same requests are sent as with the
plain client. The rows from "batches" on have separate tests.

| path | after a refusal | needs |
|---|---|---|
"""
_TAIL = """
## OpenTelemetry

- The SDK's exporter reads no workspace. If the key needs one, the first export of each
  process is refused, repaired, and sent again. To send the workspace from the start, pass
  `OtelSpanProcessor(headers={"X-Tenant-Id": ...})`, or set
  `OTEL_EXPORTER_OTLP_TRACES_HEADERS=X-Tenant-Id=...`. Older exporters (such as 1.30) ignore
  that variable if the SDK creates them; `OTEL_EXPORTER_OTLP_HEADERS` then needs both,
  `x-api-key=...,X-Tenant-Id=...`.
- A refused export is logged once, instead of the exporter's line for each batch. The
  typed error is kept for `raise_for_tracing_errors()` and passed to the
  `tracing_error_callback` of the client that created the exporter, or otherwise of the
  client that traces.
- Only exports to a URL that ends in `/otel/v1/traces`, with an `x-api-key`, are watched.
- safe_langsmith passes its own session to the exporter. An exporter that was created before
  `install(everywhere=True)` is not changed. Neither is a provider that the program set up
  before it created a client with `tracing_mode="otel"`: the SDK uses that provider.

## Not covered

- The websockets and tunnels of `langsmith.sandbox`, and requests to a sandbox itself:
  they go to the sandbox's own host, which cannot report workspaces or permissions.
- OpenTelemetry over gRPC, and exporters in another process, such as a collector.
"""


def page() -> str:
    """Return the page as Markdown."""
    return _HEAD + table() + _TAIL


if __name__ == "__main__":
    Path(__file__).with_name("paths.md").write_text(page(), encoding="utf-8")
