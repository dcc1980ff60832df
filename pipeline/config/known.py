"""The table of known sources of data and weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from pipeline.config.shipped import shipped_sources
from pipeline.config.sources import Source

TABLE = Path(__file__).with_name("known_sources.yaml")


def known_sources() -> Mapping[str, Source]:
    """Return the table of known sources and the networks that ship, by name."""
    return {**_table(), **shipped_sources()}


@cache
def _table() -> Mapping[str, Source]:
    entries = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return TypeAdapter(dict[str, Source]).validate_json(json.dumps(entries))
