"""Write the page of the SDK's private names: `python docs/make_seams.py`."""

from __future__ import annotations

from pathlib import Path

from safe_langsmith._sdk.names import NAMES

_HEAD = """\
# Private names of the SDK

<!-- Written by make_seams.py. Change safe_langsmith/_sdk/names.py, and run it again. -->

safe_langsmith uses some names of langsmith that are not public. A new release may change
them. All of them are used in one place, `safe_langsmith/_sdk/`, and each has a fallback:
with a release that lacks a name, everything works as with the plain client, one feature is
missing, and one WARNING says which. The tests rename each name in a copy of the SDK, run
the same short program with the plain clients and with ours, and compare.

| name | since | what it is for | without it |
|---|---|---|---|
"""
_TAIL = """
## If something of ours breaks

An exception of ours costs nobody an answer. After a response, the SDK's own response or
error goes through, and one WARNING says that safe_langsmith stepped aside, and where. The
tests let every function of every module fail in turn.

If the SDK gains a method or an argument with a name we use, such as `whoami` or `policy`,
the SDK's own wins, and one WARNING says so.

## What is different without a rejection

- A v2 resource without any key: the plain client raises a `TypeError` before it sends
  anything. Ours sends the request, and raises `KeyMissingError`.
- A replica on another host that has a service key, a token or a cookie of its own does not
  get the client's key and workspace, which the plain SDK adds.
- `SafeClient.__dict__` does not hold the SDK's methods: it is a subclass.
- After `install(everywhere=True)` the SDK's classes have a `__new__`. After `undo()` it
  creates what they created before. The clients of `langsmith.sandbox` and OpenTelemetry's
  `OTLPSpanExporter` have an `__init__` of ours, which then does what it did before.
- An exporter of OpenTelemetry that is watched sends with a session of ours, a
  `requests.Session`.

Everything else is compared by running the SDK's own tests against both: `nox -s upstream`.

## Known by their shape

- The SDK's log lines about lost traces, such as "Failed to multipart ingest runs". After a
  rejection a filter on the loggers `langsmith.client` and `langsmith.run_helpers` drops
  those that repeat what ours says.
- The line of OpenTelemetry's exporter that begins with "Failed to export". It is dropped
  once for each rejected export, in the same way.
- OpenTelemetry's `OTLPSpanExporter` takes a `session`, which is public. Its `__init__` is
  wrapped once the program, or the SDK, has imported it. Without that argument exporters
  stay plain.
- `_http`, `_base_url`, `_api_key`, and `_default_headers` of the clients of
  `langsmith.sandbox`. Without one of them these clients stay plain, and one WARNING says
  so.
- The files of `LANGSMITH_FAILED_TRACES_DIR`: version 1, `endpoint`, `headers`,
  `body_base64`.
- `delete_examples(hard_delete=True)` goes around `request_with_retries`. Its address ends
  in `/platform/datasets/examples/delete`; there the typed error is a `requests.HTTPError`
  that holds the response.
- `LANGSMITH_*` is read before `LANGCHAIN_*`; the SDK strips white space and one layer of
  quotes.
- On the httpx clients a rejected response gets a `raise_for_status` that raises the typed
  error: raising earlier would count as a failed connection.
"""


def page() -> str:
    """The page as Markdown."""
    rows = (f"| `{n.shown}` | {n.since} | {n.use} | {n.without} |\n" for n in NAMES)
    return _HEAD + "".join(rows) + _TAIL


if __name__ == "__main__":
    Path(__file__).with_name("seams.md").write_text(page(), encoding="utf-8")
