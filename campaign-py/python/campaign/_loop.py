"""The Python side of the bridge: one link per event loop, threads for synchronous user code, a loop of the package's own.

The engine's threads never touch the interpreter. They queue what Python has to do, and a byte in a pipe wakes the event loop, which
takes everything that waits at once.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import itertools
import logging
import os
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

from . import _native
from ._errors import CampaignError, ClosedError, StateError, Throttled, UnavailableError, form_of
from ._protocols import DialContext, DialRequest

T = TypeVar("T")

_numbers = itertools.count(1)
# What a dialer is asked for that must not happen twice.
_HAND_OFFS = ("dial", "send")
_links: dict[asyncio.AbstractEventLoop, Link] = {}
_logger = logging.getLogger("campaign")
_places: set[tuple[str, str, int | None]] = set()


def report(method: str, error: BaseException) -> None:
    """Says in the log where user code failed: the first time at a place as an error, without the exception's own text, which may hold
    anything; every time at the level of debugging, with it."""
    if isinstance(error, (CampaignError, asyncio.CancelledError)):
        # Raised on purpose.
        return
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    place = (type(error).__name__, last.filename if last else "", last.lineno if last else None)
    where = f" ({os.path.basename(last.filename)}:{last.lineno}, in {last.name})" if last else ""
    if place not in _places:
        _places.add(place)
        _logger.error("`%s` raised %s%s; its text is in the log at level DEBUG", method, place[0], where)
    _logger.debug("`%s` raised %s%s", method, place[0], where, exc_info=error)


class Workers:
    """Threads for synchronous user code, so that a slow callback stalls nobody. Daemons: they hold up no exit."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()

    def submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._work, name="campaign-callback", daemon=True).start()
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            self._jobs.get()()
            with self._lock:
                self._idle += 1


_workers = Workers()


async def in_thread(function: Callable[[], T]) -> T:
    """What a function gives that may block, from a thread of ours."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(finish: Callable[[], None]) -> None:
        # The loop may be gone, and whoever waited.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if future.done() else finish())

    def work() -> None:
        try:
            value = function()
        except StopIteration:
            settle(lambda: future.set_exception(RuntimeError("StopIteration was raised out of a function")))
        except BaseException as error:
            caught = error
            settle(lambda: future.set_exception(caught))
        else:
            settle(lambda: future.set_result(value))

    _workers.submit(work)
    return await future


class Droppable(ABC):
    """An object of the shell's own that is told when the engine needs it no more."""

    @abstractmethod
    def dropped(self) -> None:
        """Lets go of what it holds."""


class Link:
    """The way between the engine and one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.bridge: _native.Bridge = _native.Bridge()
        self.objects: dict[int, Any] = {}
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._progress: dict[int, Callable[[dict[str, Any]], None]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._guard: AsyncGenerator[None, None] = self._until_the_end()
        loop.add_reader(self.bridge.fileno(), self._drain)

    async def _until_the_end(self) -> AsyncGenerator[None, None]:
        # The loop ends its asynchronous generators after its tasks, so engines can still be closed by these.
        try:
            yield
        finally:
            self.close()
            # Begun after the loop had cancelled its tasks.
            late = [*self._tasks.values(), *self._background]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def begin(self) -> None:
        await self._guard.__anext__()

    def close(self) -> None:
        """The loop ends: engines that need it stop as if they had crashed, and nobody waits for answers any more."""
        if _links.pop(self.loop, None) is None:
            return
        if not self.loop.is_closed():
            self.loop.remove_reader(self.bridge.fileno())
        else:
            # Closed roughly: what never began is not worth a warning.
            for task in self._tasks.values():
                begun = task.get_coro()
                if inspect.iscoroutine(begun) and inspect.getcoroutinestate(begun) == inspect.CORO_CREATED:
                    begun.close()
        self.bridge.close()
        for future in self._futures.values():
            if not future.done() and not self.loop.is_closed():
                future.set_exception(ClosedError("the event loop is closing"))

    # --- calls of the engine ---------------------------------------------------------------------------------------------

    async def wait(self, token: int, progress: Callable[[dict[str, Any]], None] | None = None) -> Any:
        """The end of a call. Giving up waiting gives up the call."""
        future: asyncio.Future[Any] = self.loop.create_future()
        self._futures[token] = future
        if progress is not None:
            self._progress[token] = progress
        try:
            return await future
        except asyncio.CancelledError:
            self.bridge.abort(token)
            raise
        finally:
            self._futures.pop(token, None)
            self._progress.pop(token, None)

    # --- user code -------------------------------------------------------------------------------------------------------

    def register(self, target: Any) -> int:
        """A number by which the engine knows an object."""
        number = next(_numbers)
        self.objects[number] = target
        return number

    def done_with(self, handle: _native.EngineHandle, registered: Sequence[int]) -> None:
        """An engine that nobody holds any more: neither it nor its user code is kept for its sake. May be called on any thread."""
        self.bridge.forget(handle)
        for number in registered:
            self.objects.pop(number, None)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins what nobody waits for; it is kept until it has ended."""
        task = self.loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _drain(self) -> None:
        for item in self.bridge.drain():
            try:
                self._take(item)
            except Exception as error:
                # Whatever is wrong with one must not lose the others.
                self.loop.call_exception_handler({"message": f"the engine's {item[0]!r} was not carried out", "exception": error})

    def _take(self, item: tuple[Any, ...]) -> None:
        match item:
            case ("done", token, value, error):
                future = self._futures.get(token)
                if future is not None and not future.done():
                    if error is None:
                        future.set_result(value)
                    else:
                        future.set_exception(error)
            case ("dial", token, number, data):
                request = DialRequest._of(data)
                self._call(token, self.objects.get(number), "dial", [request, DialContext(self, token)])
            case ("call", token, number, method, arguments):
                self._call(token, self.objects.get(number), method, arguments)
            case ("cancel", token):
                task = self._tasks.get(token)
                if task is not None:
                    task.cancel()
            case ("discard", number):
                dropped = self.objects.pop(number, None)
                if isinstance(dropped, Droppable):
                    dropped.dropped()
            case ("progress", token, value):
                told = self._progress.get(token)
                if told is not None:
                    self._tell(told, value)
            case _:
                raise AssertionError(f"the engine asks for {item[0]!r}")

    def _tell(self, told: Callable[[dict[str, Any]], None], value: dict[str, Any]) -> None:
        try:
            told(value)
        except Exception as error:
            self.loop.call_exception_handler({"message": "a progress callback failed", "exception": error})

    def _call(self, token: int, target: Any, method: str, arguments: list[Any]) -> None:
        function = getattr(target, method, None)
        if function is None:
            self._failed(token, method, StateError("the object of this engine is gone: the engine was closed"))
        elif inspect.iscoroutinefunction(function):
            self._task(token, method, lambda: function(*arguments))
        else:
            try:
                _workers.submit(lambda: self._answer(token, method, lambda: function(*arguments)))
            except RuntimeError as error:
                # There are no more threads to be had; nothing was begun.
                kind = Throttled if method in _HAND_OFFS else UnavailableError
                failure = kind("no thread is to be had for user code", retry_after=1)
                failure.__cause__ = error
                self._failed(token, method, failure)

    def _task(self, token: int, method: str, begin: Callable[[], Awaitable[Any]]) -> None:
        if self.loop not in _links:
            # The loop ends and runs no new task; nothing was begun.
            self._failed(token, method, Throttled("the event loop is closing", retry_after=0))
            return
        begun: list[int] = []
        task = self.loop.create_task(self._run(token, method, begin, begun))
        self._tasks[token] = task
        task.add_done_callback(lambda ended: self._ended(token, method, ended, begun))

    async def _run(self, token: int, method: str, begin: Callable[[], Awaitable[Any]], begun: list[int]) -> None:
        begun.append(token)
        if method == "dial" and not self.bridge.begin(token):
            return
        try:
            value = await begin()
        except BaseException as error:
            self._failed(token, method, error)
            if not isinstance(error, (Exception, asyncio.CancelledError)):
                # An interrupt ends the program as it should, and the engine has its answer all the same.
                raise
        else:
            self._answered(token, method, value)

    def _ended(self, token: int, method: str, task: asyncio.Task[None], begun: list[int]) -> None:
        self._tasks.pop(token, None)
        if not begun:
            # Cancelled before its first step: user code was never called, so certainly nothing was placed.
            self._failed(token, method, Throttled("given up before it began", retry_after=0))
        elif not task.cancelled():
            # Looked at, so that nobody says that nobody did.
            task.exception()

    def _answer(self, token: int, method: str, work: Callable[[], Any]) -> None:
        if method == "dial" and not self.bridge.begin(token):
            return
        try:
            value = work()
        except BaseException as error:
            self._failed(token, method, error)
            return
        if inspect.isawaitable(value):
            # A function that is not marked as asynchronous and is so all the same, for example a partial one.
            try:
                self.loop.call_soon_threadsafe(self._task, token, method, lambda: value)
            except RuntimeError as error:
                if inspect.iscoroutine(value):
                    value.close()
                self._failed(token, method, error)
        else:
            self._answered(token, method, value)

    def _answered(self, token: int, method: str, value: Any) -> None:
        try:
            self.bridge.answer(token, plain(value))
        except Exception as error:
            self._failed(token, method, error)

    def _failed(self, token: int, method: str, error: BaseException) -> None:
        report(method, error)
        self.bridge.answer(token, None, form_of(error, dialing=method in _HAND_OFFS), error)


def plain(value: Any) -> Any:
    """A value of the package as plain data."""
    form = getattr(value, "_json", None)
    return value if form is None else form()


async def link() -> Link:
    """The link of the running loop."""
    loop = asyncio.get_running_loop()
    found = _links.get(loop)
    if found is None:
        for each in list(_links.values()):
            if each.loop.is_closed():
                # Closed without ending its asynchronous generators, so nobody told us.
                each.close()
        found = _links[loop] = Link(loop)
        await found.begin()
    return found


# --- a loop of our own, for programs without one -----------------------------------------------------------------------------


class Background:
    """An event loop on a thread of its own. Made when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="campaign-loop", daemon=True)
                self._thread.start()
            return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there and waits for it."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            work.close()
            raise StateError("this thread runs an event loop, which waiting would hold up; await the engine's own method instead")
        future = asyncio.run_coroutine_threadsafe(work, self.loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout=1)


background = Background()


def _at_exit() -> None:
    for each in list(_links.values()):
        each.bridge.close()
    _native.shutdown()
    background.stop()


def _after_fork() -> None:
    # The threads of the parent do not exist here, and its loops are not ours to use.
    global background, _workers
    _native.after_fork()
    _links.clear()
    # What the parent knew failed is news to the child's log.
    _places.clear()
    background = Background()
    _workers = Workers()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_native.before_fork, after_in_parent=_native.after_fork, after_in_child=_after_fork)
