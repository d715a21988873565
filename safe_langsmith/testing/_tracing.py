"""Endpoints of projects, runs and feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safe_langsmith.testing import _bodies, _queries
from safe_langsmith.testing._endpoint import Call, Endpoint, Reply, RequestError, only

if TYPE_CHECKING:
    from safe_langsmith.testing._records import Operation, Record


def _list_projects(call: Call) -> Reply:
    fields = {"id": "id", "name": "name", "reference_dataset": "reference_dataset_id"}
    found = only(call.mine(call.records.projects), call.query, fields)
    if call.query.get("reference_free", "").lower() == "true":
        found = [p for p in found if not p["reference_dataset_id"]]
    return Reply([_counted(call, project) for project in call.page(found)])


def _read_project(call: Call) -> Reply:
    return Reply(_counted(call, call.one(call.records.projects, "Project")))


def _counted(call: Call, project: Record) -> Record:
    runs = call.records.runs.values()
    return {**project, "run_count": sum(r["session_id"] == project["id"] for r in runs)}


def _create_project(call: Call) -> Reply:
    fields = _bodies.record(call.body)
    name = str(fields.pop("name", None) or "default")
    existing = call.records.project_named(call.here, name)
    if existing is None:
        return Reply(call.records.add_project(call.here, **_own(fields), name=name))
    if call.query.get("upsert", "").lower() == "true":
        return Reply(existing)
    raise RequestError(409, "Session already exists.")


def _update_project(call: Call) -> Reply:
    project = call.one(call.records.projects, "Project")
    fields = _own(_bodies.record(call.body))
    project.update({k: v for k, v in fields.items() if v is not None and k != "id"})
    return Reply(project)


def _delete_project(call: Call) -> Reply:
    project = call.one(call.records.projects, "Project")
    del call.records.projects[project["id"]]
    for place, run in list(call.records.runs.items()):
        if run["session_id"] == project["id"]:
            del call.records.runs[place]
    return Reply({"message": "Session deleted"})


def _create_run(call: Call) -> Reply:
    operation = _bodies.run_operation("post", _bodies.record(call.body))
    return _ingest(call, [operation], "Run created")


def _update_run(call: Call) -> Reply:
    fields = _bodies.record(call.body)
    operation = _bodies.run_operation("patch", fields, call.params["id"])
    return _ingest(call, [operation], "Run updated")


def _batch(call: Call) -> Reply:
    body = _bodies.record(call.body)
    operations = [
        _bodies.run_operation(op, fields)
        for op in ("post", "patch")
        for fields in body.get(op) or []
    ]
    return _ingest(call, operations, "Runs batch ingested")


def _multipart(call: Call) -> Reply:
    form = _bodies.parts(call.body, call.headers)
    operations = _bodies.run_operations(form)
    feedback = _bodies.feedback(form)
    # The whole form is parsed before any of it is stored.
    for fields in feedback:
        call.records.add_feedback(call.here, fields)
    return _ingest(call, operations, "Runs batch ingested")


def _ingest(call: Call, operations: list[Operation], message: str) -> Reply:
    call.records.ingest(call.here, operations)
    return Reply({"message": message}, 202)


def _export(_: Call) -> Reply:
    """OpenTelemetry spans. They are not parsed: see `SimulatedLangSmith.exchanges`."""
    return Reply({})


def _query_runs(call: Call) -> Reply:
    runs = call.mine(call.records.runs)
    return Reply(_queries.search(runs, _bodies.record(call.body)))


def _query_runs_v2(call: Call) -> Reply:
    runs = call.mine(call.records.runs)
    return Reply(_queries.search_v2(runs, _bodies.record(call.body)))


def _read_run(call: Call) -> Reply:
    return Reply({k: v for k, v in _run(call).items() if k != "order"})


def _read_run_v2(call: Call) -> Reply:
    return Reply(_queries.v2(_run(call), call.query.getlist("selects") or ["ID"]))


def _run(call: Call) -> Record:
    found = call.records.runs.get((call.here.id, call.params["id"]))
    if found is None:
        raise RequestError(404, "Run not found")
    return found


def _create_feedback(call: Call) -> Reply:
    return Reply(call.records.add_feedback(call.here, _bodies.record(call.body)))


def _list_feedback(call: Call) -> Reply:
    fields = {"run": "run_id", "key": "key", "session": "session_id"}
    feedback = call.mine(call.records.feedback)
    return Reply(call.page(only(feedback, call.query, fields)))


def _read_feedback(call: Call) -> Reply:
    return Reply(call.one(call.records.feedback, "Feedback"))


def _update_feedback(call: Call) -> Reply:
    feedback = call.one(call.records.feedback, "Feedback")
    feedback.update(_own(_bodies.record(call.body)))
    return Reply(feedback)


def _delete_feedback(call: Call) -> Reply:
    del call.records.feedback[call.one(call.records.feedback, "Feedback")["id"]]
    return Reply({"message": "Feedback deleted"})


def _own(fields: Record) -> Record:
    """What a client may set: not the workspace that a record belongs to."""
    return {name: value for name, value in fields.items() if name != "tenant_id"}


ENDPOINTS = (
    Endpoint("GET", "/sessions", "workspace", "projects:read", _list_projects),
    Endpoint("POST", "/sessions", "workspace", "projects:create", _create_project),
    Endpoint("GET", "/sessions/{id}", "workspace", "projects:read", _read_project),
    Endpoint("PATCH", "/sessions/{id}", "workspace", "projects:update", _update_project),
    Endpoint("DELETE", "/sessions/{id}", "workspace", "projects:delete", _delete_project),
    Endpoint("POST", "/runs/query", "workspace", "runs:read", _query_runs),
    Endpoint("POST", "/v2/runs/query", "workspace", "runs:read", _query_runs_v2),
    Endpoint("GET", "/v2/runs/{id}", "workspace", "runs:read", _read_run_v2),
    Endpoint("POST", "/runs", "workspace", "runs:create", _create_run),
    Endpoint("POST", "/runs/batch", "workspace", "runs:create", _batch),
    Endpoint("POST", "/runs/multipart", "workspace", "runs:create", _multipart),
    Endpoint("PATCH", "/runs/{id}", "workspace", "runs:create", _update_run),
    Endpoint("POST", "/otel/v1/traces", "workspace", "runs:create", _export),
    Endpoint("GET", "/runs/{id}", "workspace", "runs:read", _read_run),
    Endpoint("GET", "/feedback", "workspace", "feedback:read", _list_feedback),
    Endpoint("POST", "/feedback", "workspace", "feedback:create", _create_feedback),
    Endpoint("GET", "/feedback/{id}", "workspace", "feedback:read", _read_feedback),
    Endpoint("PATCH", "/feedback/{id}", "workspace", "feedback:update", _update_feedback),
    Endpoint("DELETE", "/feedback/{id}", "workspace", "feedback:delete", _delete_feedback),
)
