"""Why there was no response from LangSmith, and the step to fix it."""

from __future__ import annotations

from collections.abc import Iterator

from safe_langsmith._decision import steps
from safe_langsmith._decision.case import Case, Cause
from safe_langsmith._decision.protocol import Trouble, Unreachable
from safe_langsmith._knowledge.hosts import region_of_web
from safe_langsmith._knowledge.keys import oddity
from safe_langsmith._settings.network import CERTIFICATES, Proxy

_AT_PROXY: dict[Trouble, tuple[str, str]] = {
    "name": ("the host name of the proxy was not found", "correct the URL in {in_}"),
    "refused": (
        "the proxy refused the connection",
        "check the URL in {in_}, and that the proxy is running",
    ),
    "proxy-address": ("the URL of the proxy is not valid", "correct {in_}"),
}


def cannot_reach(case: Case, answer: Unreachable) -> Cause:
    """The cause for a probe that got no response, and what to do about it."""
    trouble, detail = answer.trouble, answer.detail
    if trouble == "tunnel" and detail[:3] in ("403", "407"):
        return tunnel_refused(case, detail)
    proxy = case.setup.network.proxy(case.sent.endpoint)
    at_proxy = answer.at_proxy
    if at_proxy is None:
        at_proxy = bool(proxy.variable) and trouble in ("name", "refused")
    if at_proxy or trouble == "proxy-address":
        words, step = _AT_PROXY.get(trouble, ("the proxy did not connect", "check {in_}"))
        step = step.format(in_=proxy.variable or "the proxy settings of your session")
        where = f"{proxy.variable} ({proxy.address})" if proxy.variable else "your session"
        found = f"requests to {case.host} go through the proxy in {where}"
        case.note("proxy", "unknown", f"{found}; it returned {detail}" if detail else found)
    else:
        case.note("server", "unknown", answer.reason)
        words, step = _on_the_way(case, answer, proxy)
    todo = (*_of_endpoint(case), step, *_of_key(case))
    return Cause("unknown", f"LangSmith could not be reached: {words}.", todo)


def _of_endpoint(case: Case) -> Iterator[str]:
    """The steps for an endpoint that is wrong by its text alone."""
    if region := region_of_web(case.sent.endpoint):
        yield steps.put(case, "ENDPOINT", region.api)
    if case.endpoint_mentions:
        yield from steps.mentioned(case, "ENDPOINT")


def _of_key(case: Case) -> Iterator[str]:
    """The steps for a key that is missing, or wrong by its text alone."""
    if not (case.sent.key or case.sent.session):
        yield from steps.mentioned(case, "API_KEY") or [steps.give_key(case)]
    elif odd := oddity(case.sent.key or ""):
        yield steps.correct(case, "API_KEY", f"{odd}; create a key at {case.keys_page}")


def _on_the_way(case: Case, answer: Unreachable, proxy: Proxy) -> tuple[str, str]:
    """What went wrong after the proxy, or without one, and the step to fix it."""
    host, source = case.host, case.held.endpoint.source
    ask = f"ask your network admin to allow {host}"
    own = None if case.region else f"check {source}"
    by_proxy = "" if own else "; if your network needs a proxy, set HTTPS_PROXY"
    by_proxy = f"; requests go through {proxy.variable}" if proxy.variable else by_proxy
    rows: dict[Trouble, tuple[str, str]] = {
        "name": (
            f"the host name of {host} was not found",
            f"{own or 'check your internet connection'}, DNS, and VPN{by_proxy}",
        ),
        "refused": (
            f"{host} refused the connection",
            f"{own}, and that the server is running" if own else f"{ask}{by_proxy}",
        ),
        "timeout": (
            f"{host} did not respond in time",
            f"{own or 'check your internet connection'}, and VPN or firewall{by_proxy}",
        ),
        "tls": (
            f"no TLS connection to {host}",
            f"{own}: this port does not speak https" if own else f"{ask}{by_proxy}",
        ),
    }
    if answer.trouble in ("certificate", "bundle"):
        return _certificate(case, answer)
    otherwise = f"check your connection{f' and {source}' if own else ''}"
    if proxy.variable:  # its URL may be one that the library cannot read
        otherwise = f"check the URL of the proxy in {proxy.variable}"
    return rows.get(answer.trouble, ("no response", otherwise))


def _certificate(case: Case, answer: Unreachable) -> tuple[str, str]:
    """The text and step if a certificate is not trusted, or the CA file is missing."""
    network, (wanted, *_) = case.setup.network, answer.certificates
    inside, words = network.certificates(answer.certificates), answer.detail.casefold()
    untrusted = f"the certificate of {case.host} is not trusted"
    if answer.trouble == "bundle":
        return (
            "the file with CA certificates was not found",
            f"correct the path in {inside}",
        )
    if "expired" in words or "mismatch" in words or "not valid" in words:
        step = f"check {case.held.endpoint.source}, and the clock of this machine"
        return f"the certificate of {case.host} is not valid", step
    authority = "the CA certificate of your server, or of your network's proxy"
    if inside:
        return untrusted, f"add {authority} to the file in {inside}"
    others = [name for name in CERTIFICATES if network.certificates((name,))]
    unread = f"; {others[0]} is set, but not read here" if others else ""
    other = "SSL_CERT_FILE" if wanted == "REQUESTS_CA_BUNDLE" and not others else ""
    names = f"{wanted} (and {other} for client.runs)" if other else wanted
    return untrusted, f"set {names} to a file with {authority}{unread}"


def tunnel_refused(case: Case, status: str) -> Cause:
    """The cause if a proxy refused to connect a request to its host.

    ``status``: the proxy's response to CONNECT, such as "403 Forbidden".
    """
    asked, host = case.refusal.operation, case.host
    proxy, no_proxy = case.setup.network.proxy(host), case.setup.network.name("no_proxy")
    summary = f"{asked} was not sent: the proxy refused to connect to {host} ({status})."
    where = f"the proxy in {proxy.variable}" if proxy.variable else "your proxy"
    step = f"ask the admin of {where} to allow {host}"
    if proxy.variable:
        case.note("proxy", "unknown", f"{proxy.variable} names the proxy {proxy.address}")
        step += (
            f"; if it can be reached without the proxy, add it to {no_proxy or 'NO_PROXY'}"
        )
    if status.startswith("407"):
        name = proxy.variable or "the URL of your proxy"
        step = f"the proxy requires a login: add user name and password to {name}"
        if proxy.has_login:
            step = f"the proxy rejected the login: correct user name and password in {name}"
    return Cause("blocked-by-proxy", summary, (step,))
