"""Certificates for the tests: a temporary authority, and a certificate per host name."""

from __future__ import annotations

import functools
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import trustme


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="authority")


@functools.cache
def _authority() -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(Path(_folder().name) / "authority.pem"))
    return authority


def authority_file() -> str:
    """Return the path of the authority's certificate."""
    _authority()
    return str(Path(_folder().name) / "authority.pem")


@functools.cache
def unused_authority_file() -> str:
    """Return the path of an authority that has issued no certificate."""
    path = Path(_folder().name) / "nobody.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


@functools.cache
def files_for(host: str) -> tuple[str, str]:
    """Return the paths of a host name's certificate and private key."""
    certificate = _authority().issue_cert(host)
    chain, key = (Path(_folder().name) / f"{host}.{end}" for end in ("pem", "key"))
    chain.write_bytes(b"".join(c.bytes() for c in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(key))
    return str(chain), str(key)


@functools.cache
def wrong_files_for(host: str, wrong: str) -> tuple[str, str]:
    """The same with a wrong "name", an "expired" date, or an unknown "authority"."""
    authority = trustme.CA() if wrong == "authority" else _authority()
    past = datetime(2020, 1, 1, tzinfo=timezone.utc) if wrong == "expired" else None
    named = "elsewhere.example" if wrong == "name" else host
    certificate = authority.issue_cert(named, not_before=past, not_after=past)
    chain, key = (Path(_folder().name) / f"{wrong}-{host}.{end}" for end in ("pem", "key"))
    chain.write_bytes(b"".join(c.bytes() for c in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(key))
    return str(chain), str(key)
