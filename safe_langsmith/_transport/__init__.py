"""Handles refused requests over HTTP, with requests and with httpx.

`hook` (requests) and `auth` (httpx) check every response. A possible refusal goes to a
driver, which sends and waits on behalf of `settle` and the decision. Each module uses only
those above it.

    passed_on          masks keys in the SDK's errors and log lines
    responses          quick checks of a requests response
    owner              our state of each client
    httpx_requests     quick checks of an httpx request
    flights            single-flight: one diagnosis per set of credentials; the cooldown
    messages           converts HTTP messages to plain data and back
    settle             handles one refused request from start to end, without I/O
    unreachable        why there was no response, from the errors of both libraries
    verify             SafeClient(verify=...)
    budget             the time limit of a diagnosis: retries, pauses, threads
    requests_exchange  one refused request of the requests library, and how to resend it
    requests_driver    sends and waits for the sync client
    httpx_exchange     one refused request of httpx, and how to resend it
    httpx_unsent       requests that could not be sent
    httpx_wire         sends probes and waits, for a sync or an async httpx client
    httpx_driver       the steps for a refused request, shared by both
    auth               checks each response of an httpx client
    hook               checks each response of a requests session
"""
