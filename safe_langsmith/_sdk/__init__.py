"""The only place that touches langsmith's private names.

Each has a fallback, so a release without one of them costs a feature and nothing else.
Each module uses only those above it.

    fork       no import while the process forks
    guard      stepping aside, so that a bug of ours costs nobody an answer
    modules    what comes from langsmith's modules: httpx, profiles, caches, adapters
    child      a client that was created before a fork traces in the child
    everywhere  `langsmith.Client(...)` creates one of ours
    imports    what is to happen once an optional module has been imported
    exporter   exporters of OpenTelemetry send with a session of ours
    warn       warnings of the SDK's constructors point at the line of the caller
    names      every private name: since when, what it is for, what is missing without it
    overrides  the private methods of the clients that call us
    resources  the generated clients behind `client.runs` and its neighbors
    sandbox    the clients of sandboxes, as another client of the SDK
    clients    what a client holds, and how to change it
"""
