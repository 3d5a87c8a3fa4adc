"""What a user's own classes must offer, and the values they get and give."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, runtime_checkable

from ._errors import InvalidError
from ._records import Record, masked, moment

if TYPE_CHECKING:
    from ._loop import Link

__all__ = [
    "Campaign",
    "CampaignView",
    "Capabilities",
    "ContactStore",
    "DialContext",
    "DialRequest",
    "Dialer",
    "FindRequest",
    "Finish",
    "Found",
    "OutboundMessage",
    "Outcome",
    "Reach",
    "Template",
    "Wait",
]

Disposition = Literal[
    "answered",
    "voicemail",
    "busy",
    "no_answer",
    "rejected",
    "sent",
    "delivered",
    "undeliverable",
    "opted_out",
    "failed",
    "cancelled",
    "in_doubt",
]
"""How an attempt ended."""


@dataclass(frozen=True, kw_only=True, repr=False)
class DialRequest(Record):
    """One attempt to be carried out. Everything a provider needs; nothing must be looked up."""

    attempt_id: int
    key: str
    """The idempotency key: unique over all stores, the same when the same attempt is handed over again."""
    campaign_id: int
    campaign_name: str
    contact_id: int
    attempt_number: int
    channel: str
    """``call``, ``sms`` or ``whatsapp``."""
    to: str
    """Whom to reach, in E.164."""
    from_number: str | None
    contact_name: str | None
    email: str | None
    company: str | None
    texts: dict[str, str]
    """The rendered templates by name."""
    message: str | None
    """The text of a message; ``None`` for calls."""
    variables: dict[str, Any]
    assistant_id: int | None
    enable_voicemail_detection: bool
    leave_voicemail: bool
    voicemail_message: str | None
    ring_timeout: float
    """Seconds to let it ring."""
    max_duration: float
    """Seconds a call may last."""
    not_after: datetime
    """The hand-off must not happen later than this."""
    valid_until: datetime | None
    """A message must not leave the provider later than this."""
    local_hour: int
    last_inbound_at: datetime | None
    options: dict[str, Any]
    """The campaign's ``dialer_options``."""

    _times = frozenset({"not_after", "valid_until", "last_inbound_at"})

    def _shown(self) -> dict[str, Any]:
        return {"attempt": self.attempt_id, "channel": self.channel, "to": masked(self.to)}


@dataclass(frozen=True, kw_only=True, repr=False)
class FindRequest(Record):
    """An attempt in doubt to be asked about."""

    attempt_id: int
    key: str
    channel: str
    to: str
    from_number: str | None
    since: datetime
    now: datetime
    provider_ref: str | None
    other_refs: list[str]

    _times = frozenset({"since", "now"})

    def _shown(self) -> dict[str, Any]:
        return {"attempt": self.attempt_id, "channel": self.channel, "to": masked(self.to)}


@dataclass(frozen=True, kw_only=True, repr=False)
class OutboundMessage(Record):
    """A message outside of attempts to be sent: a confirmation, an answer of the assistant, a message of the program."""

    key: str
    """Unique for this message; a dialer is never given the same twice."""
    channel: str
    """``sms`` or ``whatsapp``."""
    from_number: str
    """Our number or sender: the one that was written to."""
    to: str
    """The person, in E.164."""
    message: str
    """The text."""
    valid_until: datetime | None
    """It must not leave the provider later than this."""
    now: datetime
    """Now, by the engine's clock."""

    _times = frozenset({"valid_until", "now"})

    def _shown(self) -> dict[str, Any]:
        return {"key": self.key, "channel": self.channel, "to": masked(self.to)}


@dataclass(frozen=True)
class Outcome:
    """What a dialer reports when an attempt has ended.

    >>> Outcome.answered(61, cost=0.02)
    Outcome(disposition='answered', duration_seconds=61, cost=0.02)
    >>> Outcome("busy")
    Outcome(disposition='busy')
    """

    disposition: Disposition
    duration_seconds: float = 0
    cost: float | None = None
    provider_ref: str | None = field(default=None, repr=False)
    detail: str | None = field(default=None, repr=False)
    data: Mapping[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def answered(cls, duration_seconds: float = 0, **more: Any) -> Outcome:
        """Answered by a person who talked this long."""
        return cls("answered", duration_seconds, **more)

    def __repr__(self) -> str:
        parts = [f"disposition={self.disposition!r}"]
        parts += [f"duration_seconds={self.duration_seconds!r}"] if self.duration_seconds else []
        parts += [f"cost={self.cost!r}"] if self.cost is not None else []
        return f"Outcome({', '.join(parts)})"

    def _json(self) -> dict[str, Any]:
        form: dict[str, Any] = {"disposition": self.disposition, "duration_seconds": self.duration_seconds}
        if self.cost is not None:
            form["cost"] = self.cost
        if self.provider_ref is not None:
            form["provider_ref"] = self.provider_ref
        if self.detail is not None:
            form["detail"] = self.detail
        if self.data is not None:
            form["data"] = dict(self.data)
        return form


@dataclass(frozen=True)
class Found:
    """What a provider knows about an attempt in doubt.

    >>> Found.ended(Outcome("busy")).state, Found.running("CA1").state, Found.never_happened().state, Found.unknown().state
    ('ended', 'running', 'never_happened', 'unknown')
    """

    state: Literal["ended", "running", "never_happened", "unknown"]
    outcome: Outcome | None = None
    provider_ref: str | None = field(default=None, repr=False)

    @classmethod
    def ended(cls, outcome: Outcome) -> Found:
        """It happened and has ended like this."""
        return cls("ended", outcome=outcome)

    @classmethod
    def running(cls, provider_ref: str) -> Found:
        """It happened and still goes on."""
        return cls("running", provider_ref=provider_ref)

    @classmethod
    def never_happened(cls) -> Found:
        """It certainly never happened."""
        return cls("never_happened")

    @classmethod
    def unknown(cls) -> Found:
        """The provider cannot say."""
        return cls("unknown")

    def _json(self) -> dict[str, Any]:
        form: dict[str, Any] = {"state": self.state}
        if self.outcome is not None:
            form["outcome"] = self.outcome._json()
        if self.provider_ref is not None:
            form["provider_ref"] = self.provider_ref
        return form


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a provider gives; a dialer has them as its attribute ``capabilities``. What is left out takes the engine's default.

    >>> Capabilities(channels=["sms"], calls_per_second=10)
    Capabilities(channels=['sms'], calls_per_second=10)
    """

    channels: Sequence[Literal["call", "sms", "whatsapp"]] | None = None
    idempotency: Literal["native", "callback_ref", "lookup_only", "none"] | None = None
    key_ttl: float | None = None
    lookup_lag: float | None = None
    max_request_time: float | None = None
    account: str | None = None
    calls_per_second: int | None = None
    max_concurrent: int | None = None
    cancel: bool | None = None
    machine_detection: bool | None = None

    def _json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def __repr__(self) -> str:
        return f"Capabilities({', '.join(f'{name}={value!r}' for name, value in self._json().items())})"


class DialContext:
    """What the engine gives a dialer for one attempt."""

    __slots__ = ("_link", "_token")

    def __init__(self, link: Link, token: int) -> None:
        self._link = link
        self._token = token

    @property
    def now(self) -> datetime:
        """Now, by the engine's clock."""
        clock = self._link.bridge.clock(self._token)
        return datetime.now(timezone.utc) if clock is None else moment(clock[0])

    @property
    def is_cancelled(self) -> bool:
        """Whether the attempt is to be given up."""
        clock = self._link.bridge.clock(self._token)
        return clock is None or clock[1]

    def progress(self, stage: str) -> None:
        """Tells watchers how far the call is, for example ``ringing``. Not durable."""
        self._link.bridge.progress(self._token, stage)

    def placed(self, provider_ref: str) -> Awaitable[None]:
        """Makes the provider's reference durable. Asynchronous dialers await it; called from a synchronous one it waits itself."""
        return self._wait("placed", provider_ref)

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Waits, by the engine's clock. Asynchronous dialers await it; called from a synchronous one it waits itself."""
        return self._wait("sleep", float(seconds))

    def cancelled(self) -> Awaitable[None]:
        """Resolves when the attempt is to be given up."""
        return self._wait("cancelled", None)

    def _wait(self, method: str, argument: Any) -> Awaitable[None]:
        import asyncio

        work = self._context(method, argument)
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run_coroutine_threadsafe(work, self._link.loop).result()
            return _Done()
        if running is self._link.loop:
            return work
        # A plain function that runs a loop of its own for its provider's client.
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._link.loop))

    async def _context(self, method: str, argument: Any) -> None:
        await self._link.wait(self._link.bridge.context(self._token, method, argument))

    def __repr__(self) -> str:
        return "<DialContext>"


class _Done:
    """What synchronous code gets: it has waited already."""

    def __await__(self) -> Any:
        return iter(())


@runtime_checkable
class Dialer(Protocol):
    """Places calls and sends messages. ``dial`` may be a coroutine function or a plain one, which runs on a thread of its own.

    It returns when the call or message has *ended*, with an :class:`Outcome` (or the name of a disposition). It raises one of the
    subclasses of :class:`DialError` when nothing was placed; whatever else it raises leaves the attempt in doubt, with the exception
    as the cause. When the attempt is to be given up, the coroutine is cancelled; it may still hang up and return an outcome.

    Optional: ``capabilities`` (:class:`Capabilities`); ``find(request)``, which says what became of an attempt in doubt
    (:class:`Found`), and without which such an attempt is never tried again; and ``send(message)``, which sends an
    :class:`OutboundMessage` and returns the provider's reference, and without which confirmations, answers and
    :meth:`Engine.send_message` have no way out. It raises as ``dial`` does.
    """

    def dial(
        self, request: DialRequest, context: DialContext, /
    ) -> Outcome | Disposition | Awaitable[Outcome] | Awaitable[Disposition] | Awaitable[Outcome | Disposition]:
        """Carries out one attempt, to its end."""
        ...


@dataclass(frozen=True)
class Reach:
    """Reach out now."""

    step: int = 0
    channel: Literal["call", "sms", "whatsapp"] = "call"

    def _json(self) -> dict[str, Any]:
        return {"next": "reach", "step": self.step, "channel": self.channel}


@dataclass(frozen=True)
class Wait:
    """Not before this moment; then the step. Consumes no attempt."""

    until: datetime
    reason: str
    text: str
    step: int = 0
    channel: Literal["call", "sms", "whatsapp"] = "call"

    def _json(self) -> dict[str, Any]:
        return {
            "next": "wait",
            "until": self.until.isoformat(),
            "step": self.step,
            "channel": self.channel,
            "reason": self.reason,
            "text": self.text,
        }


@dataclass(frozen=True)
class Finish:
    """Nothing more: a terminal status, a code, and a sentence without personal data."""

    status: str
    reason: str
    text: str

    def _json(self) -> dict[str, Any]:
        return {"next": "finish", "status": self.status, "reason": self.reason, "text": self.text}


@dataclass(frozen=True, repr=False)
class CampaignView:
    """What a campaign sees of a contact when it decides. ``history`` are its settled attempts of this run, oldest first."""

    contact: dict[str, Any]
    history: list[dict[str, Any]]
    time_zone: str | None
    seed: int
    now: datetime

    def __repr__(self) -> str:
        return f"<CampaignView contact={self.contact['id']} attempts={len(self.history)}>"


@runtime_checkable
class Campaign(Protocol):
    """The policy of a kind of campaign of your own: given a contact and its attempts so far, what comes next.

    Pure and synchronous: no I/O, and the same answer for the same view. Register it with ``Engine.open(kinds={"name": ...})``, where the
    value is an object with ``next``, or a callable that makes one from the campaign's spec. An exception in it ends that contact.

    Optional: ``message_template(step, channel)``, the name of the template that makes the text of a message (``sms_message``), and
    ``templates``, a mapping from names to objects with the methods of :class:`Template`, in place of or beside those of the campaign.
    """

    def next(self, view: CampaignView, /) -> Reach | Wait | Finish | Awaitable[Reach | Wait | Finish]:
        """Decides."""
        ...


@runtime_checkable
class Template(Protocol):
    """A text with holes, in the ``templates`` of a :class:`Campaign` of your own.

    Pure: the same values give the same text; no I/O, no clock. ``render`` may be a coroutine function or a plain one, which runs on a
    thread of its own. An exception in it fails that contact with the reason ``template_error``, and goes on as the ``__cause__`` of
    what :meth:`Engine.preview_contact` raises; the engine goes on.

    >>> import campaign
    >>> class Greeting:
    ...     variables = ["name"]
    ...     def render(self, values):
    ...         return f"Hi {values['name']}"
    >>> class Once:
    ...     templates = {"sms_message": Greeting()}
    ...     def next(self, view):
    ...         return campaign.Finish("completed", "told", "Told.") if view.history else campaign.Reach(channel="sms")
    >>> carrier = campaign.SimulatedDialer(profile="instant")
    >>> with campaign.BlockingEngine.open(dialer=carrier, kinds={"once": Once()}) as engine:
    ...     c = engine.create_campaign(name="Reminders", campaign_type="once")
    ...     report = engine.add_contacts(c.id, [{"phone": "+12125550123", "name": "Ada"}])
    ...     engine.preview_contact(c.id, engine.list_contacts(c.id)[0].id)
    {'sms_message': 'Hi Ada'}
    """

    @property
    def variables(self) -> Sequence[str]:
        """Names of the variables it uses, as slugs (``first_name``). Read when the campaign is made ready to run."""
        ...

    def render(self, values: dict[str, str], /) -> str | Awaitable[str]:
        """Fills the holes. Every variable it named has its value, or its fallback."""
        ...


@runtime_checkable
class ContactStore(Protocol):
    """Durable storage. Methods may be coroutine functions or plain ones, which run on threads.

    Arguments and answers are plain data in the form in which records are stored; ``docs/python.md`` has the contract, and
    :func:`campaign.testing.run_store_suite` proves an implementation. The decisions a store needs are in :mod:`campaign.policy`.
    """

    def create_campaign(self, new: dict[str, Any], /) -> Any: ...
    def campaign(self, id: int, /) -> Any: ...
    def campaigns(self, query: dict[str, Any], /) -> Any: ...
    def save_campaign(self, save: dict[str, Any], /) -> Any: ...
    def delete_campaign(self, id: int, /) -> Any: ...
    def add_contacts(self, add: dict[str, Any], /) -> Any: ...
    def contact(self, id: int, /) -> Any: ...
    def contacts(self, query: dict[str, Any], /) -> Any: ...
    def update_contact(self, update: dict[str, Any], /) -> Any: ...
    def remove_contacts(self, owner: dict[str, int], ids: list[int], /) -> Any: ...
    def bulk_change(self, change: dict[str, Any], /) -> Any: ...
    def suppress(self, entries: list[dict[str, Any]], /) -> Any: ...
    def unsuppress(self, keys: list[dict[str, Any]], /) -> Any: ...
    def suppressions(self, query: dict[str, Any], /) -> Any: ...
    def register_node(self, node: dict[str, Any], /) -> Any: ...
    def renew_node(self, renew: dict[str, Any], /) -> Any: ...
    def retire_node(self, token: dict[str, int], /) -> Any: ...
    def nodes(self, now: str, /) -> Any: ...
    def claim(self, request: dict[str, Any], /) -> Any: ...
    def placed(self, placed: list[dict[str, Any]], /) -> Any: ...
    def settle(self, request: dict[str, Any], /) -> Any: ...
    def amend(self, attempt: int, outcome: dict[str, Any], /) -> Any: ...
    def take_over(self, request: dict[str, Any], /) -> Any: ...
    def counts(self, campaign: int, /) -> Any: ...
    def attempts(self, query: dict[str, Any], /) -> Any: ...
    def pending_zones(self, campaign: int, /) -> Any: ...
    def reasons(self, campaign: int, now: str, /) -> Any: ...
    def facts(self, contact: int, since: str | None, now: str, /) -> Any: ...
    def ledgers(self, scopes: list[Any], /) -> Any: ...
    def timeline(self, query: dict[str, Any], /) -> Any: ...
    def changes(self, /) -> Any: ...
    def events(self, query: dict[str, Any], /) -> Any: ...
    def put_document(self, put: dict[str, Any], /) -> Any: ...
    def documents(self, query: dict[str, Any], /) -> Any: ...
    def delete_document(self, collection: str, key: str, /) -> Any: ...
    def next_number(self, sequence: str, /) -> Any: ...
    def catalog(self, /) -> Any: ...
    def restore(self, snapshot: dict[str, Any], /) -> Any: ...
    def close(self, /) -> Any: ...


STORE_METHODS: tuple[str, ...] = tuple(name for name, value in vars(ContactStore).items() if not name.startswith("_") and callable(value))


def check(target: object, protocol: str, methods: Sequence[str], field: str | None = None) -> None:
    """Names what a user's object lacks, before anything is begun with it."""
    kind = type(target).__name__
    missing = [name for name in methods if not callable(getattr(target, name, None))]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        where = {} if field is None else {"field": field}
        raise InvalidError(f"{kind} is no {protocol}: it has no method {names}", context={"missing": ", ".join(missing), **where})


def check_campaign(target: object) -> dict[str, Template]:
    """As :func:`check`, for a campaign and the templates that it brings along, which are the answer."""
    check(target, "Campaign", ["next"])
    templates: object = getattr(target, "templates", {})
    if not isinstance(templates, Mapping):
        kind = type(target).__name__
        raise InvalidError(f"the `templates` of {kind} must map names to templates", context={"field": "templates"})
    for name, template in cast("Mapping[object, object]", templates).items():
        field = f"templates.{name}"
        check(template, "Template", ["render"], field)
        variables: object = getattr(template, "variables", None)
        if not isinstance(variables, (list, tuple, set, frozenset)) or not all(
            isinstance(one, str) for one in cast("Collection[object]", variables)
        ):
            kind = type(template).__name__
            raise InvalidError(f"{kind} is no Template: its `variables` must be a list of names", context={"field": field})
    return dict(cast("Mapping[str, Template]", templates))
