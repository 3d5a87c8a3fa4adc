"""Small tables for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def _text(value: Any) -> str:
    return "" if value is None else escape(str(value))


def table(title: str, shown: Mapping[str, Any]) -> str:
    """Names and values, one row each."""
    cells = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in shown.items())
    return f"<table><caption>{escape(title)}</caption>{cells}</table>"


def rows(title: str, items: Sequence[Mapping[str, Any]], most: int = 50) -> str:
    """One row per item."""
    if not items:
        return ""
    names = list(dict.fromkeys(name for item in items for name in item))
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_text(item.get(name))}</td>" for name in names) + "</tr>" for item in items[:most])
    left = f"<p>and {len(items) - most} more</p>" if len(items) > most else ""
    return f"<table><caption>{escape(title)}</caption><tr>{head}</tr>{body}</table>{left}"
