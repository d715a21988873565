"""Why a request got no response, from the errors of requests, urllib3 and httpx.

Pure functions. Each library wraps socket errors in its own way, and two releases of httpx
may be loaded at once, so classes are recognized by their built-in bases or their names.
"""

from __future__ import annotations

import re
import socket
import ssl

from safe_langsmith._decision.protocol import Probe, Resend, Trouble, Unreachable
from safe_langsmith._knowledge.hosts import origin, shown
from safe_langsmith._settings.network import CERTIFICATES
from safe_langsmith._transport.passed_on import causes

OVER = "Policy.budget_s is over"
REQUESTS, HTTPX = CERTIFICATES[:2], CERTIFICATES[2:]
_LONGEST_ERROR = 2_000
_KINDS: tuple[tuple[type[BaseException], Trouble], ...] = (
    (ssl.SSLCertVerificationError, "certificate"),
    (socket.gaierror, "name"),
    (ConnectionRefusedError, "refused"),
    (TimeoutError, "timeout"),
    (ssl.SSLError, "tls"),
)
_NAMES: dict[str, Trouble] = {
    "InvalidProxyURL": "proxy-address",
    "ProxySchemeUnknown": "proxy-address",
    "ReadTimeout": "timeout",
}
_WORDS: dict[Trouble, str] = {
    "name": "host name not found",
    "certificate": "certificate not trusted",
    "bundle": "CA certificate file not found",
    "tls": "TLS handshake failed",
    "refused": "connection refused",
    "timeout": "timeout",
    "tunnel": "the proxy did not connect",
    "proxy-address": "the proxy's URL is invalid",
}
_NO_BUNDLE = "Could not find a suitable TLS CA certificate bundle"  # from requests
# As worded by http.client and httpcore.
_TUNNEL = re.compile(r"(?:Tunnel connection failed: )?(\d{3}\b(?: [\x20-\x7e]{1,60})?)")


def no_answer(
    probe: Probe | Resend,
    why: BaseException | str,
    before: BaseException | None = None,
    read: tuple[str, ...] = REQUESTS,
) -> Unreachable:
    """Describe why a probe or a resent request got no response.

    ``before``: the exception that the caller was handling already; it is unrelated.
    ``read``: the certificate variables that the HTTP library reads.
    """
    url = probe.url if isinstance(probe, Probe) else probe.access.endpoint
    there = f"no response from {shown(origin(url))}"
    if isinstance(why, str):
        return Unreachable(f"{there}: {why}", trouble="timeout")
    trouble, detail = trouble_in(why, before)
    words = _WORDS.get(trouble, type(why).__name__) + (f" ({detail})" if detail else "")
    at_proxy = any(_is_of_a_proxy(error) for error in causes(why, before))
    return Unreachable(
        f"{there}: {words}",
        trouble=trouble,
        detail=detail,
        at_proxy=at_proxy or (None if read == HTTPX else False),
        certificates=read,
    )


def trouble_in(
    error: BaseException, before: BaseException | None = None
) -> tuple[Trouble, str]:
    """What went wrong, and a detail; both are empty if unknown."""
    answered = tunnel_refusal(error, every=True)
    if answered:
        return "tunnel", answered
    for one in causes(error, before):
        name = type(one).__name__
        kind = next((k for of, k in _KINDS if isinstance(one, of)), _NAMES.get(name))
        if kind:
            detail = getattr(one, "verify_message", None) or getattr(one, "reason", None)
            return kind, detail if isinstance(detail, str) else ""
    return ("bundle" if str(error).startswith(_NO_BUNDLE) else ""), ""


def tunnel_refusal(error: BaseException, *, every: bool = False) -> str:
    """The 403 or 407 of a proxy to CONNECT, such as "403 Forbidden"; otherwise "".

    ``every``: also other statuses. The status is only in the error's text.
    """
    for one in causes(error):
        if type(one) is OSError or _is_of_a_proxy(one):
            found = _TUNNEL.match(str(one)[:_LONGEST_ERROR])
            if found and (every or found[1][:3] in ("403", "407")):
                return found[1].strip()
    return ""


def _is_of_a_proxy(error: BaseException) -> bool:
    return type(error).__name__ == "ProxyError"
