"""Endpoints of datasets and their examples."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from safe_langsmith.testing import _bodies
from safe_langsmith.testing._endpoint import Call, Endpoint, Reply, RequestError, only
from safe_langsmith.testing._world import now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from safe_langsmith.testing._records import Record


def _list_datasets(call: Call) -> Reply:
    fields = {"id": "id", "name": "name", "data_type": "data_type"}
    datasets = call.mine(call.records.datasets)
    return Reply(call.page(only(datasets, call.query, fields)))


def _read_dataset(call: Call) -> Reply:
    return Reply(call.one(call.records.datasets, "Dataset"))


def _create_dataset(call: Call) -> Reply:
    return Reply(_new_dataset(call, _bodies.record(call.body)))


def _new_dataset(call: Call, fields: Record) -> Record:
    name = str(fields.pop("name", "Untitled"))
    if call.records.dataset_named(call.here, name):
        raise RequestError(409, "Dataset with this name already exists.")
    return call.records.add_dataset(call.here, name, **fields)


def _upload(call: Call) -> Reply:
    form: dict[str, list[str]] = {}
    for part in _bodies.parts(call.body, call.headers):
        form.setdefault(part.name, []).append(part.content.decode())
    if "file" not in form:
        raise RequestError(422, "a file is expected", "body", "file")
    known = ("id", "name", "description", "data_type")
    dataset = _new_dataset(call, {k: form[k][0] for k in known if k in form})
    for row in csv.DictReader(io.StringIO(form["file"][0], newline="")):
        inputs = {key: row[key] for key in form.get("input_keys", [])}
        outputs = {key: row[key] for key in form.get("output_keys", [])}
        call.records.add_example(dataset, {"inputs": inputs, "outputs": outputs})
    return Reply(dataset)


def _delete_dataset(call: Call) -> Reply:
    dataset = call.one(call.records.datasets, "Dataset")
    examples = call.records.examples
    of_it = [i for i, e in examples.items() if e["dataset_id"] == dataset["id"]]
    for example_id in of_it:
        del examples[example_id]
    del call.records.datasets[dataset["id"]]
    return Reply({"message": "Dataset deleted"})


def _list_examples(call: Call) -> Reply:
    fields = {"id": "id", "dataset": "dataset_id"}
    found = only(call.mine(call.records.examples), call.query, fields)
    splits = set(call.query.getlist("splits"))
    if splits:
        found = [e for e in found if splits & set(e["metadata"]["dataset_split"])]
    return Reply(call.page(found))


def _read_example(call: Call) -> Reply:
    return Reply(call.one(call.records.examples, "Example"))


def _create_examples(call: Call) -> Reply:
    dataset = call.one(call.records.datasets, "Dataset")
    form = _bodies.examples(_bodies.parts(call.body, call.headers))
    return _changed(call.records.add_example(dataset, new) for new in form.values())


def _create_examples_in_bulk(call: Call) -> Reply:
    rows = _bodies.parsed(call.body)
    if not isinstance(rows, list):
        raise RequestError(422, "a list of examples is expected", "body")
    pairs = [(_dataset_of(call, row), row) for row in rows]
    return Reply([call.records.add_example(dataset, row) for dataset, row in pairs])


def _create_example(call: Call) -> Reply:
    fields = _bodies.record(call.body)
    return Reply(call.records.add_example(_dataset_of(call, fields), fields))


def _dataset_of(call: Call, fields: Record) -> Record:
    dataset = call.records.datasets.get(str(fields.get("dataset_id")))
    if dataset is None or dataset["tenant_id"] != call.here.id:
        raise RequestError(404, "Dataset not found")
    return dataset


def _update_examples(call: Call) -> Reply:
    call.one(call.records.datasets, "Dataset")
    form = _bodies.examples(_bodies.parts(call.body, call.headers))
    old = _examples(call, form)
    for example in old:
        example.update(form[example["id"]], modified_at=now())
    return _changed(old)


def _changed(examples: Iterable[Record]) -> Reply:
    ids = [example["id"] for example in examples]
    return Reply({"example_ids": ids, "count": len(ids), "as_of": now()}, 201)


def _examples(call: Call, ids: Iterable[str]) -> list[Record]:
    known = {e["id"]: e for e in call.mine(call.records.examples)}
    wanted = list(ids)
    if not known.keys() >= set(wanted):
        raise RequestError(404, "Example not found")
    return [known[example_id] for example_id in wanted]


def _delete_example(call: Call) -> Reply:
    call.records.delete_example(call.one(call.records.examples, "Example")["id"])
    return Reply({"message": "Example deleted"})


def _delete_examples(call: Call) -> Reply:
    return _delete(call, call.query.getlist("example_ids"))


def _delete_examples_for_good(call: Call) -> Reply:
    return _delete(call, _bodies.record(call.body).get("example_ids") or [])


def _delete(call: Call, ids: Iterable[str]) -> Reply:
    examples = _examples(call, ids)
    for example in examples:
        call.records.delete_example(example["id"])
    return Reply({"count": len(examples)})


_EXAMPLES = "/v1/platform/datasets/{id}/examples"
_DELETE = "/v1/platform/datasets/examples/delete"
_UPDATE = "datasets:update"

ENDPOINTS = (
    Endpoint("GET", "/datasets", "workspace", "datasets:read", _list_datasets),
    Endpoint("POST", "/datasets", "workspace", "datasets:create", _create_dataset),
    Endpoint("POST", "/datasets/upload", "workspace", "datasets:create", _upload),
    Endpoint("GET", "/datasets/{id}", "workspace", "datasets:read", _read_dataset),
    Endpoint("DELETE", "/datasets/{id}", "workspace", "datasets:delete", _delete_dataset),
    Endpoint("GET", "/examples", "workspace", "datasets:read", _list_examples),
    Endpoint("POST", "/examples", "workspace", _UPDATE, _create_example),
    Endpoint("POST", "/examples/bulk", "workspace", _UPDATE, _create_examples_in_bulk),
    Endpoint("DELETE", "/examples", "workspace", _UPDATE, _delete_examples),
    Endpoint("GET", "/examples/{id}", "workspace", "datasets:read", _read_example),
    Endpoint("DELETE", "/examples/{id}", "workspace", _UPDATE, _delete_example),
    Endpoint("POST", _DELETE, "workspace", _UPDATE, _delete_examples_for_good),
    Endpoint("POST", _EXAMPLES, "workspace", _UPDATE, _create_examples),
    Endpoint("PATCH", _EXAMPLES, "workspace", _UPDATE, _update_examples),
)
