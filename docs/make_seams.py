"""Write `seams.md`, the page of the SDK's private names: `python docs/make_seams.py`."""

from __future__ import annotations

from pathlib import Path

from safe_langsmith._sdk.names import NAMES

_HEAD = """\
# Private SDK APIs

<!-- Written by make_seams.py. Change safe_langsmith/_sdk/names.py, and run it again. -->

safe_langsmith uses some names of langsmith that are not public. A new release may change
them. All of them are used in one place, `safe_langsmith/_sdk/`, and each has a fallback: if
a release lacks a name, everything works as with the plain client, one feature is missing,
and one WARNING says which. The tests rename each name in a copy of the SDK, run the same
short program with the plain and the safe clients, and compare.

| name | since | what it is for | without it |
|---|---|---|---|
"""
_TAIL = """
## If safe_langsmith itself fails

After an exception in its own code, you get the SDK's response or error, and one WARNING
says where safe_langsmith failed. The tests make every function of every module fail in
turn.

If the SDK adds a method or an argument with a name that safe_langsmith uses, such as
`whoami` or `policy`, the SDK's own is used, and one WARNING says so.

## Differences without a refusal

- A v2 resource without any key: the plain client raises a `TypeError` and sends nothing.
  The safe client sends the request, and raises `KeyMissingError`.
- If a replica on another host has its own service key, token, or cookie, the plain SDK
  adds the client's key and workspace. The safe client does not.
- `SafeClient.__dict__` does not contain the SDK's methods: it is a subclass.
- After `install(everywhere=True)` the SDK's classes have a `__new__`, and the clients of
  `langsmith.sandbox` and OpenTelemetry's `OTLPSpanExporter` have our `__init__`. After
  `undo()` both are still there, but do what the originals did.
- A watched OpenTelemetry exporter sends with our own `requests.Session`.
- A client that was created before a fork [also traces in the child](fleets.md).
- A key with characters around it that no header can contain, such as curly quotes, is
  cleaned when the client is created, and one line is logged. The plain client cannot send
  it.

For everything else, the SDK's own tests are run against both clients, and the results are
compared: `nox -s upstream`.

## Other assumptions about the SDK

- The SDK's log lines about lost traces, such as "Failed to multipart ingest runs". After a
  refusal, a filter on the loggers `langsmith.client` and `langsmith.run_helpers` drops
  those that repeat safe_langsmith's own line.
- The log line of OpenTelemetry's exporter that begins with "Failed to export". It is
  dropped once for each refused export, in the same way.
- OpenTelemetry's `OTLPSpanExporter` accepts a `session`, which is public. Its `__init__`
  is wrapped once the program, or the SDK, has imported it. Without that argument,
  exporters stay plain.
- `_http`, `_base_url`, `_api_key`, and `_default_headers` of the clients of
  `langsmith.sandbox`. Without one of them, these clients stay plain, and one WARNING says
  so.
- The files of `LANGSMITH_FAILED_TRACES_DIR`: version 1, `endpoint`, `headers`,
  `body_base64`.
- `delete_examples(hard_delete=True)` does not use `request_with_retries`. Its URL ends in
  `/platform/datasets/examples/delete`; its typed error is also a `requests.HTTPError` with
  the response.
- `LANGSMITH_*` is read before `LANGCHAIN_*`; the SDK strips white space, then double, then
  single quotes.
- On the httpx clients, a refused response gets a `raise_for_status` that raises the typed
  error: an error raised earlier would count as a failed connection.
"""


def page() -> str:
    """Return the page as Markdown."""
    rows = (f"| `{n.shown}` | {n.since} | {n.use} | {n.without} |\n" for n in NAMES)
    return _HEAD + "".join(rows) + _TAIL


if __name__ == "__main__":
    Path(__file__).with_name("seams.md").write_text(page(), encoding="utf-8")
