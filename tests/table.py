"""The complete table of scenarios: one row for each thing that can be wrong."""

from __future__ import annotations

from scenarios import ROWS, Scenario
from scenarios_regions import REGION_ROWS
from scenarios_settings import SETTINGS

SCENARIOS: tuple[Scenario, ...] = (*ROWS, *SETTINGS, *REGION_ROWS)
