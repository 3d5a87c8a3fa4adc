"""Where contacts come from: a path, an open file, bytes, rows, or a frame."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from ._errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Frame"]


@runtime_checkable
class Frame(Protocol):
    """A table of pandas, or one that speaks the same."""

    @property
    def columns(self) -> Any: ...


@asynccontextmanager
async def opened(source: Any, options: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    """The arguments for the native half. What is not a file yet is written into one, so that memory does not grow with it, and by a
    thread, so that the event loop goes on."""
    arguments = {name: value for name, value in options.items() if value is not None}
    if "rejects" in arguments:
        arguments["rejects"] = os.fspath(arguments["rejects"])
    if isinstance(source, (str, os.PathLike)):
        yield {**arguments, "path": os.fspath(cast("str | os.PathLike[str]", source))}
        return
    write: Callable[[IO[bytes]], Awaitable[None]] | None = None
    suffix = ".csv"
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(cast("bytes", source))
        suffix = Path(str(arguments.get("file_name", ""))).suffix
        write = _threaded(lambda file: file.write(data))
    elif callable(getattr(source, "read", None)):
        # `filename` is what an upload of a web framework has.
        own = getattr(source, "filename", None) or getattr(source, "name", None)
        if isinstance(own, str):
            arguments.setdefault("file_name", os.path.basename(own))
        suffix = Path(str(arguments.get("file_name", ""))).suffix
        write = _awaited(source.read) if inspect.iscoroutinefunction(source.read) else _threaded(_pieces(source.read))
    elif callable(getattr(source, "write_csv", None)):
        write = _threaded(source.write_csv)
    elif callable(getattr(source, "to_csv", None)):
        write = _threaded(lambda file: source.to_csv(file, index=False))
    if write is None:
        yield {**arguments, "rows": _rows(source)}
        return
    folder = tempfile.mkdtemp(prefix="campaign-")
    try:
        path = os.path.join(folder, f"contacts{suffix}")
        with open(path, "wb") as file:
            await write(file)
        # The file's own name means nothing to anybody.
        arguments.setdefault("file_name", f"contacts{suffix}")
        yield {**arguments, "path": path}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_PIECE = 1 << 20


def _bytes(piece: Any) -> bytes:
    return piece.encode() if isinstance(piece, str) else piece


def _threaded(write: Callable[[IO[bytes]], Any]) -> Callable[[IO[bytes]], Awaitable[None]]:
    async def written(file: IO[bytes]) -> None:
        await asyncio.to_thread(write, file)

    return written


def _pieces(read: Callable[[int], Any]) -> Callable[[IO[bytes]], None]:
    def pieces(file: IO[bytes]) -> None:
        while piece := read(_PIECE):
            file.write(_bytes(piece))

    return pieces


def _awaited(read: Callable[[int], Awaitable[Any]]) -> Callable[[IO[bytes]], Awaitable[None]]:
    async def pieces(file: IO[bytes]) -> None:
        while piece := await read(_PIECE):
            file.write(_bytes(piece))

    return pieces


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
        rows.append({str(name): _cell(value) for name, value in cast("Mapping[object, Any]", row).items()})
    return rows


def _cell(value: Any) -> Any:
    """A cell of a table; what is not a number there, or missing in one of its other ways, is an empty cell."""
    try:
        return None if value != value else value
    except (TypeError, ValueError):
        # `pandas.NA` is neither equal nor unequal to itself; what an array is to itself is no single answer.
        return None if type(value).__name__ == "NAType" else value
