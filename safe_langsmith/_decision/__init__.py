"""Finds out why a request was refused, and decides what to do about it.

No network, clock, or files: generators yield the requests to be sent. Each module
uses only those listed above it.

    protocol     the types: a refused request, a probe, a response
    answers      what a response tells about a key, its workspaces, and the server
    case         one refused request under diagnosis, and what a repair may do
    steps        the fixes, worded for where each setting comes from
    unreachable  why there was no response
    checks       one module per group of causes; `CHECKS` is the order of decision
    conclusion   turns a cause into its diagnosis, free of secrets
    resolve      from a refusal to a verdict: runs the checks, and repairs
"""
