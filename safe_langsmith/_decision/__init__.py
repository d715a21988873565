"""Decides why a request was refused, and what to do about it.

No network, clock, or files: generators that yield the requests they need. Each module
uses only those above it.

    protocol     the types: a refused request, a probe, a response
    answers      what a response says about a key, its workspaces, and the server
    case         one refused request under diagnosis, and what a repair may do
    steps        what to do, worded for the source of each setting
    unreachable  no response at all: what went wrong on the way
    checks       one module per group of causes; `CHECKS` is the order of decision
    conclusion   turns a cause into its diagnosis, free of secrets
    resolve      from a refusal to a verdict: runs the checks, and repairs
"""
