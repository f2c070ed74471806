"""What Slipway's events are about, as Prefect names it."""

from __future__ import annotations


def resource_id(subject: str, kind: str = "image") -> str:
    """The id of the resource an event is about, as automations match it."""
    return f"slipway.{kind}/{subject}"
