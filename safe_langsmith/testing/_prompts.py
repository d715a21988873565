"""Endpoints of prompts, which also serve anonymous requests.

They treat a rejected key as anonymous, so a wrong key results in a 400, 404 or 422, not in
a 403, as users of the SDK have reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safe_langsmith.testing import _bodies
from safe_langsmith.testing._endpoint import Call, Endpoint, Reply, RequestError

if TYPE_CHECKING:
    from safe_langsmith.testing._records import Record

_NO_OWNER = "No prompt owner specified"


def _read_commit(call: Call) -> Reply:
    prompt = _prompt(call)
    commits: list[Record] = prompt["commits"]
    wanted = call.params["commit"]
    fitting = [c for c in commits if c["commit_hash"].startswith(wanted)]
    found = commits[-1:] if wanted == "latest" else fitting
    if not found:
        raise RequestError(404, f"Commit {wanted} not found")
    shown = {name: found[-1][name] for name in ("commit_hash", "manifest")}
    return Reply({**shown, "examples": []})


def _list_commits(call: Call) -> Reply:
    prompt = _prompt(call)
    names = {"owner": call.params["owner"], "repo": call.params["repo"]}
    commits = [{**names, **c} for c in reversed(prompt["commits"])]
    return Reply({"commits": call.page(commits), "total": len(commits)})


def _create_commit(call: Call) -> Reply:
    _need_owner(call)
    manifest = _bodies.record(call.body).get("manifest") or {}
    return Reply({"commit": call.records.add_commit(_prompt(call), manifest)}, 201)


def _list_prompts(call: Call) -> Reply:
    text = call.query.get("query", "").lower()
    prompts = call.mine(call.records.prompts)
    found = [p for p in prompts if text in p["repo_handle"].lower()]
    return Reply({"repos": [_shown(p) for p in call.page(found)], "total": len(found)})


def _read_prompt(call: Call) -> Reply:
    return Reply({"repo": _shown(_prompt(call))})


def _create_prompt(call: Call) -> Reply:
    _need_owner(call)
    fields = _bodies.record(call.body)
    name = str(fields.get("repo_handle", ""))
    if call.records.prompt(call.here, "-", name):
        raise RequestError(409, "Repo with this handle already exists")
    known = ("description", "readme", "tags")
    given = {k: fields[k] for k in known if k in fields}
    return Reply({"repo": _shown(call.records.add_prompt(call.here, name, None, **given))})


def _delete_prompt(call: Call) -> Reply:
    prompt = _prompt(call)
    del call.records.prompts[prompt["owner"] or call.here.id, prompt["repo_handle"]]
    return Reply({})


def _need_owner(call: Call) -> None:
    if call.workspace is None:
        raise RequestError(422, _NO_OWNER)


def _prompt(call: Call) -> Record:
    owner, name = call.params["owner"], call.params["repo"]
    if owner == "-" and call.workspace is None:
        raise RequestError(400, _NO_OWNER)
    prompt = call.records.prompt(call.workspace, owner, name)
    if prompt is None:
        raise RequestError(404, f"Repo {owner}/{name} not found")
    return prompt


def _shown(prompt: Record) -> Record:
    return {name: value for name, value in prompt.items() if name != "commits"}


_REPO = "/repos/{owner}/{repo}"
_COMMITS = "/commits/{owner}/{repo}"

ENDPOINTS = (
    Endpoint("GET", _COMMITS + "/{commit}", "prompt", "prompts:read", _read_commit),
    Endpoint("GET", _COMMITS, "prompt", "prompts:read", _list_commits),
    Endpoint("POST", _COMMITS, "prompt", "prompts:update", _create_commit),
    Endpoint("GET", "/repos", "workspace", "prompts:read", _list_prompts),
    Endpoint("POST", "/repos", "prompt", "prompts:create", _create_prompt),
    Endpoint("GET", _REPO, "workspace", "prompts:read", _read_prompt),
    Endpoint("DELETE", _REPO, "workspace", "prompts:delete", _delete_prompt),
)
