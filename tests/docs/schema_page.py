"""docs/schema/slipway.schema.json, generated from the request: what editors complete a slipway.toml by."""

from __future__ import annotations

import json
from pathlib import Path

from prefect_slipway.flows.request.release_schema import release_schema

PAGE = Path(__file__).parents[2] / "docs" / "schema" / "slipway.schema.json"


def rendered() -> str:
    return json.dumps(release_schema(), indent=2, ensure_ascii=False) + "\n"
