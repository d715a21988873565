"""The contents of workspaces: projects, runs, feedback, datasets, examples, prompts.

Records are plain dicts in the form of LangSmith's responses. The store only keeps
and finds them; access was checked before.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from safe_langsmith.testing._world import Workspace, new_id, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One run operation as it arrived: ``op`` is "post" or "patch"."""

    op: str
    id: str
    fields: Record


@dataclass(slots=True)
class Records:
    """All records of all workspaces; each has its workspace as ``tenant_id``."""

    projects: dict[str, Record] = field(default_factory=dict)
    runs: dict[tuple[str, str], Record] = field(default_factory=dict)
    feedback: dict[str, Record] = field(default_factory=dict)
    datasets: dict[str, Record] = field(default_factory=dict)
    examples: dict[str, Record] = field(default_factory=dict)
    prompts: dict[tuple[str, str], Record] = field(default_factory=dict)
    arrivals: dict[str, list[Record]] = field(default_factory=dict)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def add_project(self, workspace: Workspace, name: str, **fields: Any) -> Record:
        """Add a project."""
        project = {
            "id": new_id(),
            "name": name,
            "tenant_id": workspace.id,
            "start_time": now(),
            "end_time": None,
            "description": None,
            "extra": None,
            "reference_dataset_id": None,
            **{name: value for name, value in fields.items() if value is not None},
        }
        self.projects[project["id"]] = project
        return project

    def project_named(self, workspace: Workspace, name: str) -> Record | None:
        """The project of this name in a workspace."""
        return _first(self.projects, workspace, lambda p: p["name"] == name)

    def seed(self, workspace: Workspace, projects: int, runs: int) -> None:
        """Fill a new workspace; all runs go to its first project."""
        for number in range(1, max(projects, 1 if runs else 0) + 1):
            self.add_project(workspace, f"{workspace.name} project {number}")
        for number in range(1, runs + 1):
            started = datetime.now(timezone.utc) - timedelta(seconds=runs - number + 1)
            project = f"{workspace.name} project 1"
            self._store_run(workspace, _finished_run(number, started, project))

    def ingest(self, workspace: Workspace, operations: Iterable[Operation]) -> None:
        """Add run operations; ``arrivals`` keeps each one, even if it comes twice."""
        for operation in operations:
            arrived = {**operation.fields, "op": operation.op, "workspace": workspace.id}
            self.arrivals.setdefault(operation.id, []).append(arrived)
            self._store_run(workspace, {**operation.fields, "id": operation.id})

    def _store_run(self, workspace: Workspace, fields: Record) -> None:
        place = (workspace.id, fields["id"])
        if place not in self.runs:
            project = self._project_of(workspace, fields)
            self.runs[place] = _empty_run(project, fields["id"], next(self._order))
        run = self.runs[place]
        # A run stays in the project where it started.
        given = {k: v for k, v in fields.items() if v is not None and k != "session_id"}
        run.update(given, status=_status(run | given))

    def _project_of(self, workspace: Workspace, fields: Record) -> Record:
        known = self.projects.get(str(fields.get("session_id")))
        if known and known["tenant_id"] == workspace.id:
            return known
        name = fields.get("session_name") or "default"
        # Tracing creates the project that it names: `runs:create` is enough for that.
        return self.project_named(workspace, name) or self.add_project(workspace, name)

    def add_feedback(self, workspace: Workspace, fields: Record) -> Record:
        """Add feedback."""
        feedback = {
            "id": new_id(),
            "created_at": now(),
            "modified_at": now(),
            "run_id": None,
            "trace_id": None,
            **fields,
            "tenant_id": workspace.id,
        }
        self.feedback[feedback["id"]] = feedback
        return feedback

    def add_dataset(self, workspace: Workspace, name: str, **fields: Any) -> Record:
        """Add a dataset."""
        dataset = {
            "id": new_id(),
            "name": name,
            "description": None,
            "data_type": "kv",
            "created_at": now(),
            "modified_at": now(),
            "example_count": 0,
            "session_count": 0,
            **{name: value for name, value in fields.items() if value is not None},
            "tenant_id": workspace.id,
        }
        self.datasets[dataset["id"]] = dataset
        return dataset

    def dataset_named(self, workspace: Workspace, name: str) -> Record | None:
        """The dataset of this name in a workspace."""
        return _first(self.datasets, workspace, lambda d: d["name"] == name)

    def add_example(self, dataset: Record, fields: Record) -> Record:
        """Add an example to a dataset."""
        example_id = new_id()
        example = {
            "id": example_id,
            "name": f"#{example_id[:4]} @ {dataset['name']}",
            "inputs": {},
            "outputs": None,
            "metadata": {},
            "created_at": now(),
            "modified_at": now(),
            **fields,
            "dataset_id": dataset["id"],
            "tenant_id": dataset["tenant_id"],
        }
        metadata = example["metadata"] = dict(example["metadata"] or {})
        split = example.pop("split", None) or "base"
        metadata["dataset_split"] = [split] if isinstance(split, str) else split
        self.examples[str(example["id"])] = example
        dataset["example_count"] += 1
        return example

    def delete_example(self, example_id: str) -> None:
        """Delete an example."""
        example = self.examples.pop(example_id)
        self.datasets[example["dataset_id"]]["example_count"] -= 1

    def add_prompt(
        self, workspace: Workspace, name: str, owner: str | None, **fields: Any
    ) -> Record:
        """Add a prompt without a commit; with an owner's handle it is public."""
        prompt = {
            "id": new_id(),
            "repo_handle": name,
            "repo_type": "prompt",
            "tenant_id": workspace.id,
            "owner": owner,
            "full_name": f"{owner or '-'}/{name}",
            "is_public": owner is not None,
            "is_archived": False,
            "tags": [],
            "created_at": now(),
            "updated_at": now(),
            "num_likes": 0,
            "num_downloads": 0,
            "num_views": 0,
            "num_commits": 0,
            "last_commit_hash": None,
            "commits": [],
            **fields,
        }
        self.prompts[owner or workspace.id, name] = prompt
        return prompt

    def add_commit(self, prompt: Record, manifest: Record) -> Record:
        """Add a new version of a prompt."""
        commits: list[Record] = prompt["commits"]
        text = json.dumps([len(commits), manifest], sort_keys=True, default=str)
        commit = {
            "id": new_id(),
            "commit_hash": hashlib.sha256(text.encode()).hexdigest(),
            "manifest": manifest,
            "created_at": now(),
            "updated_at": now(),
            "parent_commit_hash": prompt["last_commit_hash"],
        }
        commits.append(commit)
        prompt["num_commits"] = len(commits)
        prompt["last_commit_hash"] = commit["commit_hash"]
        return commit

    def prompt(self, workspace: Workspace | None, owner: str, name: str) -> Record | None:
        """The prompt ``owner/name``; the owner "-" means the workspace itself."""
        if owner != "-":
            return self.prompts.get((owner, name))
        return self.prompts.get((workspace.id, name)) if workspace else None


def _first(
    records: dict[str, Record], workspace: Workspace, fits: Callable[[Record], bool]
) -> Record | None:
    mine = (r for r in records.values() if r["tenant_id"] == workspace.id)
    return next((r for r in mine if fits(r)), None)


def _empty_run(project: Record, run_id: str, order: int) -> Record:
    return {
        "tenant_id": project["tenant_id"],
        "session_id": project["id"],
        "app_path": f"/o/{project['tenant_id']}/projects/p/{project['id']}/r/{run_id}",
        "name": "run",
        "run_type": "chain",
        "start_time": now(),
        "trace_id": run_id,
        "inputs": {},
        "parent_run_id": None,
        "dotted_order": "",
        "order": order,
    }


def _finished_run(number: int, started: datetime, project: str) -> Record:
    run_id = new_id()
    return {
        "id": run_id,
        "trace_id": run_id,
        "name": f"run {number}",
        "session_name": project,
        "start_time": started.isoformat(),
        "end_time": (started + timedelta(milliseconds=20)).isoformat(),
        "inputs": {"question": number},
        "outputs": {"answer": number},
        "dotted_order": f"{started:%Y%m%dT%H%M%S%fZ}{run_id}",
    }


def _status(run: Record) -> str:
    if run.get("error"):
        return "error"
    return "success" if run.get("end_time") else "pending"
