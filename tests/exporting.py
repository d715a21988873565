"""Clients and processors that send traces with OpenTelemetry's exporter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import langsmith
import opentelemetry.trace as opentelemetry
from langsmith.integrations.otel import OtelSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.util._once import Once

from safe_langsmith import Policy, SafeClient, install
from safe_langsmith.testing import SimulatedLangSmith

EXPORT = "POST /otel/v1/traces"


@contextmanager
def fresh_provider() -> Iterator[None]:
    """OpenTelemetry without a provider, as at the start of a program."""
    kept = opentelemetry._TRACER_PROVIDER, opentelemetry._TRACER_PROVIDER_SET_ONCE
    opentelemetry._TRACER_PROVIDER = None
    opentelemetry._TRACER_PROVIDER_SET_ONCE = Once()
    try:
        yield
    finally:
        provider: Any = opentelemetry.get_tracer_provider()
        getattr(provider, "shutdown", lambda: None)()
        opentelemetry._TRACER_PROVIDER, opentelemetry._TRACER_PROVIDER_SET_ONCE = kept


@langsmith.traceable(name="step")
def step(number: int) -> int:
    return number + 1


class Way:
    """One way to export: the client that gets the errors, and a function that exports."""

    def __init__(self, client: Any, export: Callable[[], object]) -> None:
        self.client, self.export = client, export


@contextmanager
def by_client(mode: str, make: Any = SafeClient, **arguments: Any) -> Iterator[Way]:
    """Export with the provider that the SDK creates for a client."""
    with fresh_provider():
        client = make(tracing_mode=mode, **arguments)

        def export() -> None:
            with langsmith.tracing_context(enabled=True, client=client):
                step(1)
            client.flush()
            provider: Any = opentelemetry.get_tracer_provider()
            provider.force_flush()

        try:
            yield Way(client, export)
        finally:
            client.cleanup()
            client.session.close()


@contextmanager
def by_processor(make: Any = SafeClient, **arguments: Any) -> Iterator[Way]:
    """Export with a processor that the program adds to its own provider."""
    policy = arguments.pop("policy", None)
    places = {"api_key": "api_key", "api_url": "url"}
    given = {places[n]: value for n, value in arguments.items() if n in places}
    if workspace := arguments.get("workspace_id"):
        given["headers"] = {"X-Tenant-Id": workspace}
    with by_provider(
        lambda: OtelSpanProcessor(SpanProcessor=SimpleSpanProcessor, **given), make, policy
    ) as way:
        yield way


@contextmanager
def by_exporter(make: Any = SafeClient, **arguments: Any) -> Iterator[Way]:
    """Export with OpenTelemetry's exporter, set up as in LangSmith's documentation."""
    with by_provider(
        lambda: SimpleSpanProcessor(OTLPSpanExporter(**arguments)), make
    ) as way:
        yield way


@contextmanager
def by_provider(
    processor: Callable[[], Any], make: Any, policy: Policy | None = None
) -> Iterator[Way]:
    """Export with this processor; with a safe client, after `install(everywhere=True)`."""
    given: dict[str, Any] = {"policy": policy} if make is SafeClient else {}
    client = make(auto_batch_tracing=False, **given)  # it sends nothing by itself
    installation = install(client, everywhere=True) if make is SafeClient else None
    provider = TracerProvider()
    try:
        provider.add_span_processor(processor())

        def export() -> None:
            provider.get_tracer("tests").start_span("step").end()

        yield Way(client, export)
    finally:
        provider.shutdown()
        if installation is not None:
            installation.undo()


WAYS: dict[str, Callable[..., Any]] = {
    "otel": partial(by_client, "otel"),
    "hybrid": partial(by_client, "hybrid"),
    "OtelSpanProcessor": by_processor,
    "exporter": by_exporter,
}


def spans(server: SimulatedLangSmith) -> Counter[bytes]:
    """How many times each span arrived."""
    found: Counter[bytes] = Counter()
    for exchange in server.exchanges:
        if exchange.path.endswith("/otel/v1/traces") and exchange.status == 200:
            batch = ExportTraceServiceRequest.FromString(exchange.body)
            resources = batch.resource_spans
            scopes = [scope for one in resources for scope in one.scope_spans]
            found.update(span.span_id for scope in scopes for span in scope.spans)
    return found
