"""The engine for programs without an event loop: every method waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from . import _native
from ._engine import Engine, EngineOptions, EventStream
from ._records import Contact, Event

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from ._assistants import Assistant
    from ._protocols import Campaign, ContactStore
    from ._providers import AnyDialer

__all__ = ["BlockingEngine"]

P = ParamSpec("P")
T = TypeVar("T")


def _run(work: Coroutine[Any, Any, T]) -> T:
    from . import _loop

    return _loop.background.run(work)


def _waits(
    method: Callable[Concatenate[Engine, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingEngine, P], T]:
    def waiting(self: BlockingEngine, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return _run(method(self.engine, *args, **kwargs))

    waiting.__name__ = method.__name__
    waiting.__doc__ = method.__doc__
    return waiting


def _each(stream: AsyncIterator[T]) -> Iterator[T]:
    async def following() -> tuple[T] | None:
        try:
            return (await stream.__anext__(),)
        except StopAsyncIteration:
            return None

    while (found := _run(following())) is not None:
        yield found[0]


class BlockingEngine:
    """An :class:`Engine` whose methods wait. In a program with an event loop, await the engine's own methods instead.

    >>> import campaign
    >>> with campaign.BlockingEngine.open("memory://", dialer=campaign.SimulatedDialer(profile="instant")) as engine:
    ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
    ...     engine.add_contacts(c.id, [{"phone": "+12125550123"}]).imported
    ...     engine.start(c.id).status
    ...     engine.wait(c.id).completed_contacts
    1
    'running'
    1
    """

    def __init__(self, engine: Engine) -> None:
        self.engine: Engine = engine
        """The engine behind it."""

    @classmethod
    def open(
        cls,
        store: str | ContactStore = "memory://",
        *,
        dialer: AnyDialer,
        assistant: Assistant | _native.ConfiguredAssistant | None = None,
        kinds: Mapping[str, Campaign | Callable[[dict[str, Any]], Campaign]] | None = None,
        **options: Unpack[EngineOptions],
    ) -> Self:
        """As :meth:`Engine.open`. Coroutines of a dialer or a store run on an event loop of the package's own."""
        return cls(_run(Engine.open(store, dialer=dialer, assistant=assistant, kinds=kinds, **options)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _run(self.engine.__aexit__(kind, error, trace))

    create_campaign = _waits(Engine.create_campaign)
    get_campaign = _waits(Engine.get_campaign)
    list_campaigns = _waits(Engine.list_campaigns)
    update_campaign = _waits(Engine.update_campaign)
    delete_campaign = _waits(Engine.delete_campaign)
    start = _waits(Engine.start)
    schedule = _waits(Engine.schedule)
    unschedule = _waits(Engine.unschedule)
    pause = _waits(Engine.pause)
    resume = _waits(Engine.resume)
    cancel = _waits(Engine.cancel)
    complete = _waits(Engine.complete)
    re_execute = _waits(Engine.re_execute)
    wait = _waits(Engine.wait)
    progress = _waits(Engine.progress)
    import_contacts = _waits(Engine.import_contacts)
    add_contacts = _waits(Engine.add_contacts)
    get_contact = _waits(Engine.get_contact)
    list_contacts = _waits(Engine.list_contacts)
    remove_contacts = _waits(Engine.remove_contacts)
    record_reply = _waits(Engine.record_reply)
    create_list = _waits(Engine.create_list)
    update_list = _waits(Engine.update_list)
    get_list = _waits(Engine.get_list)
    lists = _waits(Engine.lists)
    delete_list = _waits(Engine.delete_list)
    attach_list = _waits(Engine.attach_list)
    suppress = _waits(Engine.suppress)
    unsuppress = _waits(Engine.unsuppress)
    suppressions = _waits(Engine.suppressions)
    is_suppressed = _waits(Engine.is_suppressed)
    import_suppressions = _waits(Engine.import_suppressions)
    export_suppressions = _waits(Engine.export_suppressions)
    executions = _waits(Engine.executions)
    timeline = _waits(Engine.timeline)
    amend = _waits(Engine.amend)
    explain = _waits(Engine.explain)
    explain_campaign = _waits(Engine.explain_campaign)
    simulate = _waits(Engine.simulate)
    preview_template = _waits(Engine.preview_template)
    preview_contact = _waits(Engine.preview_contact)
    lint_template = _waits(Engine.lint_template)
    callback = _waits(Engine.callback)
    is_signed = _waits(Engine.is_signed)
    receive_message = _waits(Engine.receive_message)
    send_message = _waits(Engine.send_message)
    conversations = _waits(Engine.conversations)
    messages = _waits(Engine.messages)
    relay = _waits(Engine.relay)
    nodes = _waits(Engine.nodes)
    now = _waits(Engine.now)
    stop = _waits(Engine.stop)
    close = _waits(Engine.close)

    def iter_contacts(self, campaign: int | None = None, *, list_id: int | None = None, status: str | None = None) -> Iterator[Contact]:
        """Every contact, however many there are."""
        return _each(self.engine.iter_contacts(campaign, list_id=list_id, status=status))

    def events(self, campaign: int | None = None) -> Iterator[Event]:
        """Events of one campaign, until it has ended, or of all."""
        stream: EventStream = _run(self.engine.events(campaign).open())
        return _each(stream)

    @property
    def node_name(self) -> str:
        """The name of this node."""
        return self.engine.node_name

    def abort(self) -> None:
        """Stops at once, as after a crash."""
        self.engine.abort()

    def __repr__(self) -> str:
        return f"<BlockingEngine {self.node_name}>"
