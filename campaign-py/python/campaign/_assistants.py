"""Assistants: by configuration, and of your own; the messages people exchange with them; and the telephone's relay."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, cast, runtime_checkable

from . import _native
from ._errors import InvalidError, UserCodeError
from ._loop import Droppable, in_thread
from ._protocols import check
from ._records import Record, Spoken

if TYPE_CHECKING:
    from typing_extensions import Required, Self, Unpack

    from ._loop import Link

__all__ = [
    "Assistant",
    "Dialogue",
    "OpenAiAssistant",
    "OpenAiSettings",
    "RelaySession",
    "Script",
    "ScriptedAssistant",
    "ToolCall",
]


@dataclass(frozen=True, kw_only=True, repr=False)
class Dialogue(Record):
    """Everything an assistant needs for its next turn; nothing must be looked up. A ``repr`` shows nothing of what was said."""

    channel: str
    """``call``, ``sms`` or ``whatsapp``."""
    campaign_id: int
    campaign_name: str
    contact_id: int
    phone_number: str
    contact_name: str | None
    email: str | None
    company: str | None
    variables: dict[str, Any]
    """The contact's variables."""
    system_prompt: str
    """The campaign's ``system_prompt``, rendered; a sentence of the engine when there is none."""
    agenda: str | None
    """The campaign's ``agenda``, rendered."""
    turns: list[dict[str, Any]]
    """What was said so far, oldest first. ``role`` is ``person`` or ``assistant`` with ``text``, ``tool`` with ``id``, ``tool`` and
    ``arguments``, or ``result`` with ``id`` and ``text``."""
    tools: list[dict[str, Any]]
    """What may be asked for: ``name``, ``description`` and ``parameters``, a JSON Schema."""
    max_characters: int | None
    """The answer is cut to so many characters; ``None``: it is not."""
    instructions: str
    """Prompt, agenda and the rules of the channel as one text: what a model gets as its system message."""
    options: dict[str, Any]
    """The campaign's ``dialer_options``."""

    def _shown(self) -> dict[str, Any]:
        return {"channel": self.channel, "campaign": self.campaign_id, "contact": self.contact_id, "turns": len(self.turns)}


@dataclass(frozen=True)
class ToolCall:
    """Something that an assistant wants done: ``opt_out``, ``transfer``, ``end_call`` or ``book``.

    >>> ToolCall("book", {"what": "a table"})
    ToolCall(name='book')
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    id: str | None = field(default=None, repr=False)
    """The id by which a model knows it again."""

    def _json(self) -> dict[str, Any]:
        return {"tool": self.name, "arguments": dict(self.arguments), "id": self.id}


Pieces = str | ToolCall | Iterable[str | ToolCall] | AsyncIterator[str | ToolCall]


@runtime_checkable
class Assistant(Protocol):
    """Answers people: text in, text out, piece by piece as it is made.

    ``answer`` is best an asynchronous generator that yields bits of text (a word or less, spaces are part of it) and :class:`ToolCall`. It
    may also be a coroutine function or a plain one, which runs on a thread of its own, and return a text, a list or an iterator of them.

    One call makes one turn; what it was told is all in the :class:`Dialogue`. It may be given up at any moment (the person speaks, the
    call ends): the generator is closed then. When it raises nothing of it is sent as a message, and the engine asks it again.

    >>> class Receptionist:
    ...     async def answer(self, dialogue):
    ...         question = dialogue.turns[-1]["text"]
    ...         for word in ["You ", "asked: ", question]:
    ...             yield word
    >>> isinstance(Receptionist(), Assistant)
    True
    """

    def answer(self, dialogue: Dialogue, /) -> Pieces | Awaitable[Pieces]:
        """Makes the next turn."""
        ...


class OpenAiSettings(TypedDict, total=False):
    """Settings of an :class:`OpenAiAssistant`. What is left out takes the engine's default."""

    model: Required[str]
    """The model."""
    api_key: str | None
    """The key, if the service wants one."""
    base_url: str
    """What stands before ``/chat/completions``. Default ``https://api.openai.com/v1``."""
    extra: Mapping[str, Any]
    """More fields of the request, for example ``temperature``."""
    timeout: float | timedelta
    """Seconds for a whole answer. Default 60."""


class OpenAiAssistant(_native.ConfiguredAssistant):
    """An assistant behind any service that speaks OpenAI's chat completions. The key is never shown again.

    >>> OpenAiAssistant(model="gpt-4o-mini", api_key="the key")
    <OpenAiAssistant>
    """

    def __new__(cls, **settings: Unpack[OpenAiSettings]) -> Self:
        return super().__new__(cls, "openai", settings)

    def __repr__(self) -> str:
        return "<OpenAiAssistant>"


Says = str | ToolCall | Mapping[str, Any] | Sequence[str | ToolCall | Mapping[str, Any]]


class Script(TypedDict, total=False):
    """What a :class:`ScriptedAssistant` says. The first of these that has an answer gives it.

    An answer is a text, or a list of texts and :class:`ToolCall`; ``{"fails": "why"}`` in it is a failure.
    """

    rules: Sequence[Mapping[str, Any]]
    """Answers to what a person says: ``contains`` (in any case) and ``says``."""
    answers: Sequence[Says]
    """Answers, one after the other."""
    otherwise: Says
    """The answer to everything else. Default: nothing is said."""


class ScriptedAssistant(_native.ConfiguredAssistant):
    """An assistant for tests, which says what it is told.

    >>> ScriptedAssistant(rules=[{"contains": "open", "says": "At nine."}], otherwise="I do not know.")
    <ScriptedAssistant>
    """

    def __new__(cls, **script: Unpack[Script]) -> Self:
        return super().__new__(cls, "scripted", script)

    def __repr__(self) -> str:
        return "<ScriptedAssistant>"


# --- of the user's own -------------------------------------------------------------------------------------------------------


def assistant_form(link: Link, register: Callable[[Any], int], assistant: Any) -> Any:
    """What the native half takes as an assistant."""
    if isinstance(assistant, _native.ConfiguredAssistant):
        return assistant
    check(assistant, "Assistant", ["answer"])
    answer = assistant.answer
    if inspect.iscoroutinefunction(answer) or inspect.isasyncgenfunction(answer):
        return register(_Answers(link, answer))
    return register(_PlainAnswers(link, answer))


class _Answers:
    """An assistant whose code runs on the event loop."""

    def __init__(self, link: Link, answer: Callable[[Dialogue], Any]) -> None:
        self._link = link
        self._make = answer

    async def answer(self, dialogue: dict[str, Any]) -> int:
        made = self._make(Dialogue._of(dialogue))
        if inspect.isawaitable(made):
            made = await made
        return self._link.register(answered(self._link, made))


class _PlainAnswers(_Answers):
    """An assistant whose code runs on a thread."""

    async def answer(self, dialogue: dict[str, Any]) -> int:
        made = await in_thread(lambda: self._make(Dialogue._of(dialogue)))
        # A function that is not marked as asynchronous and is so all the same.
        if inspect.isawaitable(made):
            made = await made
        return self._link.register(answered(self._link, made))


def answered(link: Link, made: Any) -> Answer:
    """An answer that can be asked for piece by piece."""
    if isinstance(made, (str, ToolCall)):
        made = [made]
    if hasattr(made, "__anext__") or hasattr(made, "__aiter__"):
        return Answer(link, cast("AsyncIterable[Any]", made).__aiter__())
    if hasattr(made, "__iter__") and not isinstance(made, (Mapping, bytes)):
        return PlainAnswer(link, iter(cast("Iterable[Any]", made)))
    kind = type(cast("object", made)).__name__
    raise UserCodeError(f"the answer of an assistant is a text or an iterator of texts and tool calls, not a {kind}")


class Answer(Droppable):
    """An answer as the native half asks for it: the next piece, or nothing at its end."""

    def __init__(self, link: Link, pieces: Any) -> None:
        self._link = link
        self._pieces = pieces
        self._busy = False

    async def next(self) -> Any:
        self._busy = True
        try:
            return await self._piece()
        except BaseException:
            # Whoever cannot go on, or must not, lets go of what it holds.
            await self._let_go()
            raise
        finally:
            self._busy = False

    async def _piece(self) -> Any:
        try:
            return await self._pieces.__anext__()
        except StopAsyncIteration:
            return None

    async def _let_go(self) -> None:
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            with contextlib.suppress(Exception):
                await close()

    def dropped(self) -> None:
        """Nobody needs the rest."""
        if not self._busy:
            self._link.background(self._let_go())


class PlainAnswer(Answer):
    """The same for an iterator that may block."""

    async def _piece(self) -> Any:
        pieces: Iterator[Any] = self._pieces
        return await in_thread(lambda: next(pieces, None))

    async def _let_go(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            # A generator that is still at work on its thread ends by itself.
            with contextlib.suppress(Exception):
                await in_thread(close)


# --- the telephone -----------------------------------------------------------------------------------------------------------


class RelaySession:
    """The conversation of one call behind a carrier's relay, while :meth:`campaign.Engine.relay` carries it."""

    def __init__(self, link: Link, token: int) -> None:
        self._link = link
        self._token = token

    def _do(self, command: str, argument: Any) -> None:
        self._link.bridge.command(self._token, {command: argument})

    def say(self, text: str) -> None:
        """Says something, whatever the assistant does."""
        self._do("say", text)

    def play(self, source: str, times: int = 1) -> None:
        """Plays a sound so many times."""
        self._do("play", {"source": source, "times": times})

    def send_digits(self, digits: str) -> None:
        """Presses keys."""
        self._do("send_digits", digits)

    def language(self, *, spoken: str | None = None, understood: str | None = None) -> None:
        """Changes the languages that are spoken and understood."""
        self._do("language", {"spoken": spoken, "understood": understood})

    def end(self, handoff: Mapping[str, Any] | None = None) -> None:
        """Ends the session after what waits to be said; the carrier's next instructions get ``handoff``."""
        self._do("end", dict(handoff or {}))

    def __repr__(self) -> str:
        return "<RelaySession>"


Frames = AsyncIterable[str | bytes] | Iterable[str | bytes]


async def carry(
    link: Link,
    engine: _native.EngineHandle,
    frames: Frames,
    send: Callable[[str], object],
    begun: Callable[[RelaySession], object] | None,
) -> list[Spoken]:
    """Carries a session between the engine and somebody's WebSocket."""
    incoming = _reading(frames)
    setup = await anext(incoming, None)
    if setup is None:
        # The socket closed before it said anything.
        return []
    token = link.bridge.relay(engine, setup)
    outgoing: asyncio.Queue[str | None] = asyncio.Queue()
    session = RelaySession(link, token)

    async def read() -> None:
        try:
            async for frame in incoming:
                session._do("receive", frame)
        finally:
            # The socket is closed: the session ends, and what was said is kept.
            link.bridge.command(token)

    async def write() -> None:
        while (frame := await outgoing.get()) is not None:
            sent = send(frame)
            if inspect.isawaitable(sent):
                await sent

    reader, writer = asyncio.ensure_future(read()), asyncio.ensure_future(write())
    # A socket that cannot be written to is closed, whoever finds out first.
    writer.add_done_callback(lambda _: link.bridge.command(token))
    try:
        if begun is not None:
            begun(session)
        spoken = await link.wait(token, cast("Any", outgoing.put_nowait))
        closed = reader.done()
        outgoing.put_nowait(None)
        try:
            await writer
        except Exception:
            # What is said into a closed socket is heard by nobody, and nobody's fault.
            if not closed:
                raise
        if closed:
            reader.result()
        return [Spoken._of(one) for one in spoken]
    finally:
        link.bridge.command(token)
        for task in (reader, writer):
            task.cancel()
        await asyncio.gather(reader, writer, return_exceptions=True)


async def _reading(frames: Frames) -> AsyncIterator[str]:
    if isinstance(frames, AsyncIterable):
        async for frame in frames:
            yield _frame(frame)
        return
    iterator = iter(frames)

    def following() -> str | bytes | None:
        return next(iterator, None)

    while (frame := await in_thread(cast("Callable[[], Any]", following))) is not None:
        yield _frame(frame)


def _frame(frame: Any) -> str:
    if isinstance(frame, str):
        return frame
    if isinstance(frame, bytes):
        return frame.decode()
    raise InvalidError(f"a frame is a text, not a {type(frame).__name__}", context={"field": "frames"})


Keyword = Literal["opt_out", "opt_in", "help"]


class ConversationKey(TypedDict):
    """Which conversation: between one person and one number (or sender) of ours, on one channel."""

    channel: Literal["call", "sms", "whatsapp"]
    our_number: str
    phone_number: str
