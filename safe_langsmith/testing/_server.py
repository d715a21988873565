"""The simulated LangSmith: what a test tells it, and what it tells a test."""

from __future__ import annotations

import copy
import traceback
from typing import TYPE_CHECKING, Any, Literal

from safe_langsmith.testing import _exchange, _faults, _routes
from safe_langsmith.testing._faults import Answer
from safe_langsmith.testing._records import Record, Records
from safe_langsmith.testing._socket import Listener
from safe_langsmith.testing._world import (
    Key,
    KeyKind,
    Organization,
    Role,
    Workspace,
    World,
    new_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from starlette.requests import Request

    from safe_langsmith.testing._exchange import Exchange

Layout = Literal["cloud", "self-hosted", "web"]

_APP = b"""<!doctype html>
<html><head><title>LangSmith</title></head>\
<body><div id="root"></div><script src="/index.js"></script></body></html>
"""
_NOT_ALLOWED = (
    b"<html>\r\n<head><title>405 Not Allowed</title></head>\r\n<body>\r\n"
    b"<center><h1>405 Not Allowed</h1></center>\r\n<hr><center>nginx</center>\r\n"
    b"</body>\r\n</html>\r\n"
)
_INFO: Record = {
    "git_sha": "0000000000000000000000000000000000000000",
    "license_expiration_time": None,
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20971520,
    },
    "instance_flags": {
        "ch_query_enabled": True,
        "sdb_query_enabled": True,
        "dataset_examples_multipart_enabled": True,
        "examples_multipart_enabled": True,
        "zstd_compression_enabled": True,
    },
    "customer_info": None,
}


class SimulatedLangSmith:
    """A LangSmith API on a loopback socket, for tests.

    A context manager; ``start`` and ``stop`` do the same. Safe to use from many
    threads, also while it serves.

    ``layout`` says where the API is: "cloud" at ``/…``, ``/api/…`` and ``/api/v1/…``;
    "self-hosted" only below ``/api`` and ``/api/v1``, with the web app everywhere else;
    "web" nowhere, as at the address of LangSmith's web app.
    """

    def __init__(
        self,
        layout: Layout = "cloud",
        *,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        version: str = "0.18.4",
    ) -> None:
        self._layout = layout
        self._host = host
        self._port = port
        self._ssl = (ssl_certfile, ssl_keyfile)
        self._world = World()
        self._records = Records()
        self._exchanges: list[Exchange] = []
        self._rules = _faults.Rules()
        self._listener: Listener | None = None
        #: What ``GET /info`` answers. Change it to switch features of the SDK.
        self.info: Record = {"version": version, **copy.deepcopy(_INFO)}

    # The socket

    def start(self) -> SimulatedLangSmith:
        """Listen, and return once requests are served."""
        if self._listener is None:
            address = (self._host, self._port)
            self._listener = Listener(self._serve, address, *self._ssl)
            self._port = self._listener.port
        return self

    def stop(self) -> None:
        """Stop listening, close all connections, end the thread.

        What arrived can still be asked for, and ``start`` listens on the same port.
        """
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def __enter__(self) -> SimulatedLangSmith:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port; before ``start`` it may still be 0."""
        return self._port

    @property
    def url(self) -> str:
        """The address, without a path."""
        scheme = "https" if self._ssl[0] else "http"
        return f"{scheme}://{self._host}:{self._port}"

    # What exists

    def add_organization(self, name: str) -> Organization:
        """Found an organization."""
        with self._world.lock:
            return self._world.add_organization(name)

    def add_workspace(
        self,
        name: str,
        *,
        organization: Organization | None = None,
        projects: int = 0,
        runs: int = 0,
    ) -> Workspace:
        """Open a workspace, in the first organization unless another is given.

        It gets that many projects, called ``"{name} project 1"`` and so on, and that
        many finished runs, all in the first of them.
        """
        with self._world.lock:
            owner = organization or self._world.first_organization()
            workspace = self._world.add_workspace(name, owner)
            self._records.seed(workspace, projects, runs)
            return workspace

    def delete_workspace(self, workspace: Workspace) -> None:
        """Delete a workspace: from now on no key reaches it."""
        with self._world.lock:
            self._world.deleted.add(workspace.id)

    def add_prompt(
        self,
        name: str,
        *,
        workspace: Workspace,
        manifest: Mapping[str, Any] | None = None,
        owner: str | None = None,
    ) -> str:
        """Store a prompt with one commit, and return the commit's hash.

        With an owner's handle it is public: everybody reads it at ``owner/name``.
        """
        with self._world.lock:
            prompt = self._records.add_prompt(workspace, name, owner)
            content = {"lc": 1, "id": ["prompt"]} if manifest is None else dict(manifest)
            return str(self._records.add_commit(prompt, content)["commit_hash"])

    def add_personal_key(
        self,
        *,
        workspaces: Iterable[Workspace] | None = None,
        default: Workspace | None = None,
        role: Role = "Admin",
        permissions: frozenset[str] | None = None,
        lists_workspaces: bool | None = None,
        secret: str | None = None,
        abac_denies: frozenset[str] = frozenset(),
    ) -> Key:
        """Make a personal access token, with the access of its user.

        Requests without a workspace go to ``default``, which is the first of
        ``workspaces`` unless given. A default that is not among ``workspaces`` is that
        of a user who has lost access to it. ``permissions`` replaces those of the role;
        ``abac_denies`` are refused although the role lists them. With ``workspaces``
        None it reaches all of its organization's.
        """
        return self._add_key(
            "personal",
            workspaces,
            default,
            role,
            permissions,
            lists_workspaces,
            secret,
            abac_denies,
        )

    def add_service_key(
        self,
        *,
        workspaces: Iterable[Workspace] | None = None,
        role: Role = "Admin",
        permissions: frozenset[str] | None = None,
        lists_workspaces: bool | None = None,
        secret: str | None = None,
        abac_denies: frozenset[str] = frozenset(),
        organization: Organization | None = None,
    ) -> Key:
        """Make a service key: of some workspaces, or with None of the organization.

        A key of the organization reaches all workspaces and must name one each time. A
        key of workspaces is refused at ``GET /workspaces`` unless ``lists_workspaces``.
        """
        return self._add_key(
            "service",
            workspaces,
            None,
            role,
            permissions,
            lists_workspaces,
            secret,
            abac_denies,
            organization,
        )

    def add_oauth_token(
        self,
        *,
        workspaces: Iterable[Workspace] | None = None,
        default: Workspace | None = None,
        role: Role = "Admin",
        permissions: frozenset[str] | None = None,
        lists_workspaces: bool | None = None,
        secret: str | None = None,
        abac_denies: frozenset[str] = frozenset(),
    ) -> Key:
        """Make the token of a login, which is sent as ``Authorization: Bearer``."""
        return self._add_key(
            "oauth",
            workspaces,
            default,
            role,
            permissions,
            lists_workspaces,
            secret,
            abac_denies,
        )

    def _add_key(
        self,
        kind: KeyKind,
        workspaces: Iterable[Workspace] | None,
        default: Workspace | None,
        role: Role,
        permissions: frozenset[str] | None,
        lists_workspaces: bool | None,
        secret: str | None,
        abac_denies: frozenset[str],
        organization: Organization | None = None,
    ) -> Key:
        with self._world.lock:
            reached = None if workspaces is None else list(workspaces)
            key = new_key(
                kind,
                organization or self._organization_of(reached, default),
                reached,
                default=default,
                role=role,
                permissions=permissions,
                lists_workspaces=lists_workspaces,
                secret=secret,
                abac_denies=abac_denies,
            )
            return self._world.add_key(key)

    def _organization_of(
        self, workspaces: list[Workspace] | None, default: Workspace | None
    ) -> Organization:
        some = next(iter(workspaces or ()), default)
        if some is None:
            return self._world.first_organization()
        return self._world.organizations[some.organization_id]

    def revoke(self, key: Key) -> None:
        """Refuse a key from now on, like one that never was."""
        with self._world.lock:
            self._world.revoked.add(key.secret)

    def restore(self, key: Key) -> None:
        """Let a revoked key in again."""
        with self._world.lock:
            self._world.revoked.discard(key.secret)

    def set_role(
        self, key: Key, *, role: Role, permissions: frozenset[str] | None = None
    ) -> Key:
        """Give a key another role; its text stays the same."""
        with self._world.lock:
            return self._world.set_role(key, role, permissions)

    @property
    def disabled_features(self) -> set[str]:
        """Features that are off: ``"projects"`` refuses all of ``projects:…``."""
        return self._world.disabled_features

    @property
    def name_permissions(self) -> bool:
        """Whether a 403 names the permission that is missing. LangSmith's seldom do."""
        return self._world.name_permissions

    @name_permissions.setter
    def name_permissions(self, value: bool) -> None:
        self._world.name_permissions = value

    # What happened

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every request so far, in order of arrival."""
        with self._world.lock:
            return tuple(self._exchanges)

    def clear(self) -> None:
        """Forget the exchanges so far."""
        with self._world.lock:
            self._exchanges.clear()

    def saw(self, secret: str) -> bool:
        """Whether this text arrived in any header, path, query or body."""
        return any(exchange.contains(secret) for exchange in self.exchanges)

    @property
    def runs(self) -> dict[str, list[Record]]:
        """What ingest has accepted: for each run id its operations, in order.

        Each has ``op`` ("post" or "patch"), ``workspace`` and the fields of the run. A
        run that was sent twice is there twice; of a refused request there is nothing.
        """
        with self._world.lock:
            return copy.deepcopy(self._records.arrivals)

    # Faults

    def answer(
        self,
        path: str,
        *,
        method: str | None = None,
        status: int | None,
        body: object = "",
        headers: Mapping[str, str] | None = None,
        times: int | None = None,
        delay: float = 0.0,
    ) -> None:
        """Answer like this from now on, ``times`` times or for ever. The newest wins.

        ``"/workspaces"`` stands for that path behind any prefix, ``*`` for any text.
        ``body`` is text, bytes, or what JSON can carry. A status of None lets the
        request through to the true answer, after ``delay`` seconds.
        """
        rule = _faults.new_rule(path, method, status, body, headers, times, delay)
        with self._world.lock:
            self._rules.add(rule)

    def clear_answers(self) -> None:
        """Forget all of these answers."""
        with self._world.lock:
            self._rules.clear()

    # Serving

    async def _serve(self, request: Request) -> Answer:
        body = await request.body()
        path = _faults.routed(request.scope["path"])
        with self._world.lock:
            try:
                answer = self._answer(request, path, body)
            except Exception:
                # A mistake of the simulator: say where, since nothing is logged.
                text = traceback.format_exc().encode()
                answer = Answer(500, text, {"content-type": "text/plain"})
            # Before the answer goes out, so that whoever has it finds the exchange.
            self._exchanges.append(_exchange.log(request, path, body, answer.status))
        return answer

    def _answer(self, request: Request, path: str, body: bytes) -> Answer:
        rule = self._rules.take(request.method, path)
        if rule and rule.status is not None:
            return Answer(rule.status, rule.body, rule.headers, rule.delay)
        delay = rule.delay if rule else 0.0
        api = self._layout == "cloud" or _faults.has_prefix(request.scope["path"])
        if self._layout == "web" or not api:
            return _web_page(request.method, delay)
        status, content = _routes.respond(
            _routes.Request(
                request.method,
                path,
                request.url.query,
                _exchange.headers(request),
                body,
            ),
            self._world,
            self._records,
            self.info,
        )
        headers = {"content-type": "application/json"}
        if status == 501:  # the generated clients try again after any other 5xx
            headers["x-should-retry"] = "false"
        return Answer(status, content, headers, delay)


def _web_page(method: str, delay: float) -> Answer:
    status, page = (200, _APP) if method in ("GET", "HEAD") else (405, _NOT_ALLOWED)
    return Answer(status, page, {"content-type": "text/html"}, delay)
