"""The tasks as Celery tasks, with local files as broker and result backend."""

from __future__ import annotations

import os
from pathlib import Path

import celery  # type: ignore[import-not-found]

from fleets import tasks

FOLDER = Path(os.environ["FLEET_FOLDER"], "queue")
for name in ("messages", "control", "results"):
    (FOLDER / name).mkdir(parents=True, exist_ok=True)
app = celery.Celery("fleet", broker="filesystem://", backend=f"file://{FOLDER}/results")
app.conf.update(
    accept_content=["json"],
    result_accept_content=["json", "pickle"],
    result_serializer=os.environ["FLEET_RESULTS"],
    broker_transport_options={
        "data_folder_in": f"{FOLDER}/messages",
        "data_folder_out": f"{FOLDER}/messages",
        "control_folder": f"{FOLDER}/control",
        "polling_interval": 0.1,
    },
    worker_prefetch_multiplier=1,
)
TASKS = {name: app.task(name=name)(task) for name, task in tasks.TASKS.items()}
