"""The table of scenarios, whole: each row is a thing that can be wrong."""

from __future__ import annotations

from scenarios import ROWS, Scenario
from scenarios_regions import REGION_ROWS
from scenarios_settings import SETTINGS

SCENARIOS: tuple[Scenario, ...] = (*ROWS, *SETTINGS, *REGION_ROWS)
