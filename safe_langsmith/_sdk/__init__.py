"""The only place that touches langsmith's private names.

Each has a fallback: if a release of langsmith lacks one, only that feature is missing.
Each module uses only those above it.

    fork        no import while the process forks
    guard       if our own code fails, the caller gets the SDK's own result
    modules     parts of langsmith's modules: httpx, profiles, caches, adapters
    child       a client that was created before a fork also traces in the child
    everywhere  `langsmith.Client(...)` creates a SafeClient
    imports     run code once an optional module has been imported
    exporter    OpenTelemetry exporters send through our session
    warn        warnings of the SDK's constructors point at the caller's line
    names       every private name: first release, purpose, what we lose without it
    overrides   overrides of the clients' private methods
    resources   the generated clients behind `client.runs` and its neighbors
    sandbox     the sandbox clients, adapted to look like another client of the SDK
    clients     a client's settings, and how to change them
"""
