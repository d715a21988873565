"""From a rejected response to the decision and back, for requests and for httpx.

`hook` and `auth` see every response. What may be a rejection goes straight down from
there: to a driver, which does what `settle` and the decision ask for. Each module uses
only those above it.

    responses          what a response of requests tells at a glance
    httpx_requests     the same for httpx
    flights            one diagnosis at a time for the same question, remembered for a while
    owner              what is kept for one client
    messages           from HTTP to plain data and back
    settle             one rejected request, from start to end, without I/O
    unreachable        why there was no answer, read off the errors of both libraries
    verify             SafeClient(verify=...)
    budget             the time of a diagnosis: retries, pauses, threads
    requests_exchange  one rejected request of requests, and how to send it again
    requests_driver    asks, waits and sends for the sync client
    httpx_exchange     one rejected request of httpx, and how to send it again
    httpx_unsent       what was not sent at all
    httpx_wire         asks and waits, for a sync or an async httpx client
    httpx_driver       the steps of a rejected request, written once for both
    auth               the look at each response of an httpx client
    hook               the look at each response of a requests session
"""
