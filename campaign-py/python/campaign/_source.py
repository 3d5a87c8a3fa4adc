"""Where contacts come from: a path, an open file, bytes, rows, or a frame."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from ._errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Frame"]


@runtime_checkable
class Frame(Protocol):
    """A table of pandas, or one that speaks the same."""

    @property
    def columns(self) -> Any: ...


@contextmanager
def opened(source: Any, options: dict[str, Any]) -> Generator[dict[str, Any]]:
    """The arguments for the native half. What is not a file yet is written into one, so that memory does not grow with it."""
    arguments = {name: value for name, value in options.items() if value is not None}
    for name in ("rejects",):
        if name in arguments:
            arguments[name] = os.fspath(arguments[name])
    if isinstance(source, (str, os.PathLike)):
        yield {**arguments, "path": os.fspath(cast("str | os.PathLike[str]", source))}
        return
    write: Callable[[Any], None] | None = None
    suffix = ".csv"
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(cast("bytes", source))
        suffix = Path(str(arguments.get("file_name", ""))).suffix

        def whole(file: IO[bytes]) -> None:
            file.write(data)

        write = whole
    elif callable(getattr(source, "read", None)):
        own = getattr(source, "name", None)
        if isinstance(own, str):
            arguments.setdefault("file_name", os.path.basename(own))
        suffix = Path(str(arguments.get("file_name", ""))).suffix

        def pieces(file: IO[bytes]) -> None:
            while piece := source.read(1 << 20):
                file.write(piece.encode() if isinstance(piece, str) else piece)

        write = pieces
    elif callable(getattr(source, "write_csv", None)):
        write = source.write_csv
    elif callable(getattr(source, "to_csv", None)):

        def frame(file: IO[bytes]) -> None:
            source.to_csv(file, index=False)

        write = frame
    if write is None:
        yield {**arguments, "rows": _rows(source)}
        return
    folder = tempfile.mkdtemp(prefix="campaign-")
    try:
        path = os.path.join(folder, f"contacts{suffix}")
        with open(path, "wb") as file:
            write(file)
        # The file's own name means nothing to anybody.
        arguments.setdefault("file_name", f"contacts{suffix}")
        yield {**arguments, "path": path}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rows(source: Any) -> list[dict[str, Any]]:
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        kind = type(cast("object", source)).__name__
        raise InvalidError(
            f"contacts cannot be read from {kind}; give a path, an open file, bytes, a list of dicts or a frame",
            context={"field": "source"},
        )
    rows: list[dict[str, Any]] = []
    for row in cast("Iterable[object]", source):
        if not isinstance(row, Mapping):
            raise InvalidError("every row must be a dict", context={"field": "source", "row": str(len(rows) + 1)})
        rows.append({str(name): value for name, value in cast("Mapping[object, Any]", row).items()})
    return rows
