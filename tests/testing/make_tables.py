"""Derive two tables for the simulated LangSmith from LangSmith's OpenAPI document.

    curl -O https://api.smith.langchain.com/openapi.json
    python tests/testing/make_tables.py openapi.json

It writes `routes.txt` (all routes, and the access that each needs), in the folder of the
simulated LangSmith, and `answers.json` (the required fields of the responses of simulated
routes), in the folder of this script.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safe_langsmith.testing
from safe_langsmith.testing._catalogue import key_of
from safe_langsmith.testing._routes import ENDPOINTS

ROUTES = Path(safe_langsmith.testing.__file__).with_name("routes.txt")
ANSWERS = Path(__file__).with_name("answers.json")
_HEAD = """\
# The routes of LangSmith's API, derived from its OpenAPI document by make_tables.py.
# Columns: the path, the access it needs, and its methods (=permission, if known).
"""
_REF = "#/components/schemas/"

# From the page "Organization and workspace operations" of LangSmith's documentation, for
# the permissions of the simulated roles. The first matching row is used.
_PERMISSIONS = (
    (r"\w+ (/v1/fleet|/v1/platform/sessions)/.*", None),
    (r"POST .*/annotation-queues", "annotation-queues:create"),
    (r"DELETE .*/annotation-queues(/{\w+})?", "annotation-queues:delete"),
    (r"(GET .*|POST .*/export)", "annotation-queues:read", "annotation-queues"),
    (r".*", "annotation-queues:update", "annotation-queues"),
    (r"\w+ .*/datasets/comparative.*|GET .*/comparative", None),
    (r"POST .*/datasets(/upload)?", "datasets:create"),
    (r"DELETE .*/datasets(/{\w+})?", "datasets:delete"),
    (r"(PUT|DELETE) .*/datasets/{\w+}/share", "datasets:share"),
    (r"GET .*/datasets/{\w+}/(csv|jsonl|openai|openai_ft)", None),
    (r"\w+ .*/datasets/(playground|studio|upload-).*", None),
    (r"\w+ .*/experiment-view-overrides.*", "datasets:update"),
    (r"GET .*|PUT .*/splits", "datasets:read", "datasets"),
    (r"POST .*/datasets/{\w+}/(runs|group|experiments)\b.*", "datasets:read"),
    (r".*", "datasets:update", "datasets"),
    (r"GET .*|POST .*/validate.*", "datasets:read", "examples"),
    (r".*", "datasets:update", "examples"),
    (r"\w+ .*/feedback/tokens", "feedback:create"),
    (r"GET .*", "feedback:read", "feedback"),
    (r"POST .*", "feedback:create", "feedback"),
    (r"(PATCH|PUT) .*", "feedback:update", "feedback"),
    (r"DELETE .*", "feedback:delete", "feedback"),
    (r"GET .*/feedback-configs", "feedback:read"),
    (r"POST .*/feedback-configs", "feedback:create"),
    (r"PATCH .*/feedback-configs", "feedback:update"),
    (r"\w+ .*/insights.*", None),
    (r"GET .*|POST .*/dashboard", "projects:read", "sessions"),
    (r"POST .*(/views|/sessions)", "projects:create", "sessions"),
    (r"PATCH .*", "projects:update", "sessions"),
    (r"DELETE .*", "projects:delete", "sessions"),
    (r"\w+ .*/runs/(rules|experiments)\b.*", None),
    (r"POST .*/runs/delete.*", "runs:delete"),
    (r"(PUT|DELETE) .*/runs/{\w+}/share", "runs:share"),
    (r"POST .*/runs(/batch|/multipart)?|PATCH .*/runs/{\w+}", "runs:create"),
    (r"(GET|POST) .*", "runs:read", "runs"),
    (r"(GET|POST) .*", "runs:read", "threads"),
    (r"GET .*", "runs:read", "traces"),
    (r"\w+ .*", "runs:read", "alerts"),
    (r"GET .*", "prompts:read", "(commits|comments|repos)"),
    (r"\w+ .*/(logs|owners|tags)\b.*", None, "repos"),
    (r"POST .*/repos(/{\w+}/{\w+}/(fork|optimization-jobs))?", "prompts:create"),
    (r"POST .*/optimize-job|PATCH .*", "prompts:update", "repos"),
    (r"DELETE .*", "prompts:delete", "repos"),
    (r"\w+ .*", "prompts:read", "(comments|likes)"),
    (r"POST .*", "prompts:update", "commits"),
    (r"\w+ .*/(members.+|secrets.*)", None, "workspaces/current"),
    (r"GET .*|POST .*/tags/resources", "workspaces:read", "workspaces/current"),
    (r"\w+ .*", "workspaces:manage", "workspaces/current/(shared|tag\\S*)"),
    (r"(PATCH|DELETE) .*/workspaces/{\w+}", "workspaces:manage"),
)
# The document requires a key here too, but programs without a key get a token this way.
_PUBLIC = re.compile(r"/\.well-known/.*|/oauth/(device/code|register|revoke|token)")


def permission_of(method: str, path: str) -> str | None:
    """Return the permission that an operation needs, or None if unknown."""
    named = f"{method} {path}"
    for pattern, permission, *under in _PERMISSIONS:
        where = rf"(/api/v1|/v1/platform|/v2)?/{under[0]}(/.*)?" if under else ".*"
        if re.fullmatch(str(pattern), named) and re.fullmatch(where, path):
            return permission
    return None


def needs_of(path: str, security: list[dict[str, list[str]]]) -> str:
    """Return the access that a route needs, from the document's security schemes."""
    names = set() if _PUBLIC.fullmatch(path) else {name for one in security for name in one}
    if "Tenant ID" in names:
        return "workspace"
    if "API Key" in names:  # with or without the organization's header
        return "organization"
    return "login" if names else "nothing"


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield the method, the path, and the document's entry of each operation."""
    for path, by_method in document["paths"].items():
        for method, operation in by_method.items():
            yield method.upper(), path, operation


def routes(document: Any) -> str:
    """Return the table of routes."""
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for method, path, operation in operations(document):
        needs = needs_of(path, operation.get("security") or [])
        found = permission_of(method, path) if needs == "workspace" else None
        rows[path, needs].append(f"{method}={found}" if found else method)
    lines = (f"{p} {needs} {' '.join(sorted(ms))}\n" for (p, needs), ms in rows.items())
    return _HEAD + "".join(sorted(lines))


class Answers:
    """The shapes of the responses, and of the schemas that they use."""

    def __init__(self, document: Any) -> None:
        self._all: dict[str, Any] = document["components"]["schemas"]
        self.schemas: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, Any] = {}
        for method, path, operation in operations(document):
            if (method, key_of(path)) not in ENDPOINTS:
                continue
            for status, answer in operation["responses"].items():
                for content in list(answer.get("content", {}).values())[:1]:
                    key = f"{method} {key_of(path)} {status}"
                    self.answers[key] = self.shape(content.get("schema", {}))

    def shape(self, schema: Any) -> Any:
        """Return a short form of a schema: a type or a name, or a list of several."""
        if "$ref" in schema:
            return self._named(schema["$ref"].removeprefix(_REF))
        if "enum" in schema:
            return {"one of": schema["enum"]}
        several = schema.get("anyOf") or schema.get("oneOf")
        if several:
            return [self.shape(one) for one in several]
        kind = schema.get("type", "any")
        if kind == "array":
            return {"each": self.shape(schema.get("items", {}))}
        return {"uuid": "uuid", "date-time": "time"}.get(schema.get("format"), kind)

    def _named(self, name: str) -> Any:
        schema = self._all[name]
        if "properties" not in schema:
            return self.shape(schema)
        if name not in self.schemas:
            self.schemas[name] = {}  # it may refer to itself
            fields = schema["properties"]
            required = sorted(schema.get("required", ()))
            self.schemas[name] |= {field: self.shape(fields[field]) for field in required}
        return name


def main(source: str) -> None:
    """Write both tables."""
    document = json.loads(Path(source).read_text(encoding="utf-8"))
    ROUTES.write_text(routes(document), encoding="utf-8")
    found = Answers(document)
    tables = {"answers": found.answers, "schemas": found.schemas}
    text = json.dumps(tables, indent=1, sort_keys=True) + "\n"
    ANSWERS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
