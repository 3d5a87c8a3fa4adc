"""Progress on a terminal or in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from ._records import ImportProgress, Progress


class _Line:
    """A bar without a library: one line, written anew."""

    def __init__(self, total: float | None, desc: str, unit: str) -> None:
        self.total = total
        self.n: float = 0
        self._words = (desc, unit)

    def refresh(self) -> None:
        desc, unit = self._words
        of = "" if not self.total else f"/{self.total:.0f}"
        print(f"\r{desc}: {self.n:.0f}{of} {unit}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        print(file=sys.stderr)


def _bar(desc: str, unit: str, total: float | None = None) -> Any:
    try:
        from tqdm.auto import tqdm  # pyright: ignore[reportMissingModuleSource]
    except ImportError:
        return _Line(total, desc, unit)
    return tqdm(total=total, desc=desc, unit=unit, unit_scale=unit == "B")


@contextmanager
def watching(what: str, progress: bool | Callable[[Progress], None]) -> Generator[Callable[[Progress], None]]:
    """Shows the counters of a campaign, or passes them on."""
    if callable(progress):
        yield progress
        return
    bar = _bar(what, "contacts")

    def tell(counters: Progress) -> None:
        bar.total = counters.total_contacts
        bar.n = counters.completed_contacts + counters.failed_contacts
        bar.refresh()

    try:
        yield tell
    finally:
        bar.close()


@contextmanager
def importing(progress: bool | Callable[[ImportProgress], None]) -> Generator[Callable[[ImportProgress], None] | None]:
    """Shows how far an import is, or passes it on."""
    if progress is False:
        yield None
        return
    if callable(progress):
        yield progress
        return
    bar = _bar("import", "B")

    def tell(read: ImportProgress) -> None:
        bar.total = read.total_bytes
        bar.n = read.bytes_read
        bar.refresh()

    try:
        yield tell
    finally:
        bar.close()
