"""The engine: the handle everybody uses."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from . import _native
from ._assistants import assistant_form, carry
from ._errors import ClosedError, InvalidError
from ._loop import Link, link
from ._protocols import (
    STORE_METHODS,
    CampaignView,
    Outcome,
    check,
    check_campaign,
)
from ._providers import CallbackResponse, dialer_form, request_form
from ._records import (
    CampaignExplanation,
    CampaignRecord,
    Contact,
    ContactExplanation,
    ContactList,
    Conversation,
    Event,
    Execution,
    ImportProgress,
    ImportReport,
    LintReport,
    Message,
    NodeInfo,
    Page,
    Progress,
    SimulationReport,
    Spoken,
    SuppressionEntry,
    TimelineBucket,
    moment,
    page_of,
)
from ._source import opened

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import IO

    from typing_extensions import Self, Unpack

    from ._assistants import Assistant, ConversationKey, Frames, Keyword, RelaySession
    from ._blocking import BlockingEngine
    from ._protocols import Campaign, ContactStore
    from ._providers import AnyDialer
    from ._source import Frame

    Source = str | os.PathLike[str] | bytes | IO[bytes] | IO[str] | Iterable[Mapping[str, Any]] | Frame

__all__ = ["CampaignFields", "Copied", "Engine", "EngineOptions", "EventStream", "ImportOptions", "SimulatedDialer", "copy_store"]


class EngineOptions(TypedDict, total=False):
    """Settings of a node; times in seconds. What is left out takes the engine's default."""

    node_name: str
    lease: float
    longest_pause: float
    poll_interval: float
    look_ahead: float
    batch: int
    max_in_flight: int
    max_rate: Mapping[str, int]
    doubt_patience: float
    event_buffer: int
    conversations: bool
    executes: bool
    seed: int
    alone: bool


class CampaignFields(TypedDict, total=False):
    """What a campaign is made from. Names and defaults are those of the REST API; ``docs/guide.md`` explains each."""

    name: str
    description: str | None
    campaign_type: str
    organization_id: int | None
    assistant_id: int | None
    assistant_name: str | None
    templates: Mapping[str, str | None]
    welcome_message_template: str | None
    agenda_template: str | None
    end_call_message_template: str | None
    sms_message_template: str | None
    template_syntax: Literal["jinja", "brace"]
    fallback_values: Mapping[str, str]
    variable_mappings: Mapping[str, str]
    available_variables: Sequence[str] | Mapping[str, str]
    steps: Sequence[Mapping[str, Any]]
    max_attempts: int
    retry_delay_minutes: int
    retry: Mapping[str, Any]
    concurrent_limit: int | Literal["unlimited"] | None
    rate_limit_per_minute: int | Literal["unlimited"] | None
    calls_per_day: int | None
    priority: Literal["low", "medium", "high"]
    time_zone: str
    windows: Mapping[str, Any]
    allowed_hours: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    time_windows: Sequence[Mapping[str, Any]]
    schedule: Mapping[str, Any]
    deadline: datetime | str | None
    consent_required: bool
    frequency_caps: Sequence[Mapping[str, Any]]
    budget: float | None
    cost_per_attempt: float
    budget_threshold_percent: int
    caller_ids: Sequence[Mapping[str, Any]]
    voicemail: Mapping[str, Any]
    replies: Mapping[str, Any]
    ring_timeout_seconds: int
    max_duration_seconds: int
    dialer_options: Mapping[str, Any]
    metadata: Mapping[str, Any]
    execution_settings: Mapping[str, Any]
    advanced_settings: Mapping[str, Any]
    settings: Mapping[str, Any]


class ImportOptions(TypedDict, total=False):
    """How a source is read. What is left out is found by looking."""

    format: Literal["csv", "tsv", "json", "json_lines", "xlsx", "xls", "ods"]
    default_region: str
    column_mappings: Mapping[str, str]
    duplicates: Literal["skip", "update_variables"]
    file_name: str
    max_errors: int
    delimiter: str
    encoding: str
    sheet: str
    consent_moment: datetime | str
    replace_untouched: bool
    rejects: str | os.PathLike[str]


class SimulatedDialer(_native.SimulatedDialer):
    """A seeded carrier that exists only here: it rings, answers, talks, fails and bills.

    ``profile`` is ``"default"``, ``"instant"`` (everything succeeds at once), ``"troubled"``, or a dict of the fields of a carrier
    profile; ``speed=60`` makes a minute a second; ``log`` keeps the hand-offs in a file.

    >>> SimulatedDialer(profile="instant", seed=7)
    <SimulatedDialer hand_offs=0>
    """

    def __repr__(self) -> str:
        return f"<SimulatedDialer hand_offs={self.stats()['hand_offs']}>"


class _Policy:
    """A campaign of the user's, as the native half asks it."""

    def __init__(self, campaign: Any) -> None:
        self._campaign = campaign

    def next(self, view: dict[str, Any]) -> Any:
        seen = CampaignView(view["contact"], view["history"], view["time_zone"], int(view["seed"]), moment(cast("str", view["now"])))
        return self._campaign.next(seen)

    def message_template(self, step: int, channel: str) -> str:
        own = getattr(self._campaign, "message_template", None)
        return "sms_message" if own is None else own(step, channel)


class _Kind:
    """A kind of campaign of the user's: makes a policy from a spec."""

    def __init__(self, link: Link, kind: Any) -> None:
        self._link = link
        self._kind = kind
        self._makes = isinstance(kind, type) or (callable(kind) and not hasattr(kind, "next"))
        if not self._makes:
            check_campaign(kind)

    def build(self, spec: dict[str, Any]) -> dict[str, Any]:
        made = self._kind(spec) if self._makes else self._kind
        templates = check_campaign(made)
        return {
            "campaign": self._link.register(_Policy(made)),
            "templates": {name: [self._link.register(one), sorted(set(one.variables))] for name, one in templates.items()},
        }


def _id(value: Any) -> int:
    """An id (of numpy too), or the record that has it."""
    if not hasattr(value, "__index__"):
        value = getattr(value, "id", value)
    try:
        return operator.index(value)
    except TypeError:
        kind = type(cast("object", value)).__name__
        raise InvalidError(f"an id is a whole number, not a {kind}; the records of the engine have one", context={"field": "id"}) from None


def _owner(campaign: Any, list_id: Any) -> dict[str, Any]:
    """Whose contacts are meant."""
    if (campaign is None) == (list_id is None):
        raise InvalidError("name a campaign or a contact list, one of them", context={"field": "campaign"})
    return {"list": _id(list_id)} if campaign is None else {"campaign": _id(campaign)}


class Engine:
    """The campaign engine: a handle to a running node. Open one with :meth:`open`, and close it, or use it as a context manager.

    >>> import asyncio, campaign
    >>> async def main():
    ...     async with await campaign.Engine.open("memory://", dialer=campaign.SimulatedDialer(profile="instant")) as engine:
    ...         c = await engine.create_campaign(name="Reminders", campaign_type="call")
    ...         report = await engine.import_contacts(c.id, [{"phone": "+12125550123", "name": "Ada"}])
    ...         await engine.start(c.id)
    ...         print(report.imported, (await engine.wait(c.id)).success_rate)
    >>> asyncio.run(main())
    1 100.0
    """

    def __init__(self, handle: _native.EngineHandle, link: Link, registered: Sequence[int]) -> None:
        self._handle = handle
        self._link = link
        self._registered = tuple(registered)
        self._ended = False

    @classmethod
    async def open(
        cls,
        store: str | ContactStore = "memory://",
        *,
        dialer: AnyDialer,
        assistant: Assistant | _native.ConfiguredAssistant | None = None,
        kinds: Mapping[str, Campaign | Callable[[dict[str, Any]], Campaign]] | None = None,
        **options: Unpack[EngineOptions],
    ) -> Self:
        """Registers a node on a store and starts it. Campaigns that were running go on.

        ``store`` is a URL (``memory://``, ``sqlite://campaigns.db``, ``postgres://...``) or an object with the methods of
        :class:`ContactStore`; ``dialer`` one by configuration (:class:`TwilioDialer`, :class:`ElevenLabsDialer`, :class:`WebhookDialer`,
        :class:`RoutedDialer`, :class:`SimulatedDialer`) or an object with the methods of :class:`Dialer`; ``assistant`` answers people, an
        :class:`OpenAiAssistant` or an object with the method of :class:`Assistant`; ``kinds`` names campaigns of your own. A method that is
        missing is named here.
        """
        bridge = await link()
        # Only what is registered here: engines that open side by side share the link.
        registered: list[int] = []

        def register(target: Any) -> int:
            registered.append(bridge.register(target))
            return registered[-1]

        try:
            if isinstance(store, str):
                place: str | int = store
            else:
                check(store, "ContactStore", STORE_METHODS)
                place = register(store)
            numbers = {name: register(_Kind(bridge, kind)) for name, kind in (kinds or {}).items()}
            talks = None if assistant is None else assistant_form(bridge, register, assistant)
            token = bridge.bridge.open(place, dialer_form(register, dialer), dict(options), numbers, talks)
            handle = await bridge.wait(token)
        except BaseException:
            for number in registered:
                bridge.objects.pop(number, None)
            raise
        return cls(handle, bridge, registered)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            await self.close()
        else:
            # What is left is recovered by the next start; an error must not wait for calls that go on.
            await self.stop(patience=0)

    async def _call(self, method: str, progress: Callable[[dict[str, Any]], None] | None = None, /, **arguments: Any) -> Any:
        bridge = await link()
        return await bridge.wait(bridge.bridge.call(self._handle, method, arguments), progress)

    @property
    def run_blocking(self) -> BlockingEngine:
        """The same engine with methods that wait, for scripts and threads without an event loop."""
        from ._blocking import BlockingEngine

        return BlockingEngine(self)

    # --- campaigns -------------------------------------------------------------------------------------------------------

    async def create_campaign(self, **fields: Unpack[CampaignFields]) -> CampaignRecord:
        """Creates a campaign in status ``draft``. Names what is wrong with a field or a template.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
        ...     engine.create_campaign(name="Reminders", campaign_type="call", max_attempts=99)  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        campaign._errors.InvalidError: must be ... (field max_attempts)
        """
        return CampaignRecord._of(await self._call("create_campaign", **fields))

    async def get_campaign(self, campaign: int) -> CampaignRecord:
        """One campaign."""
        return CampaignRecord._of(await self._call("get_campaign", campaign=_id(campaign)))

    async def list_campaigns(
        self,
        *,
        status: str | Sequence[str] | None = None,
        campaign_type: str | None = None,
        organization_id: int | None = None,
        assistant_id: int | None = None,
        search: str | None = None,
        page: int | None = None,
        per_page: int | None = None,
        offset: int | None = None,
        limit: int | None = None,
    ) -> Page[CampaignRecord]:
        """Campaigns, newest first."""
        return page_of(
            CampaignRecord,
            await self._call(
                "list_campaigns",
                status=status,
                campaign_type=campaign_type,
                organization_id=organization_id,
                assistant_id=assistant_id,
                search=search,
                **_paging(page, per_page, offset, limit),
            ),
        )

    async def update_campaign(self, campaign: int, **fields: Unpack[CampaignFields]) -> CampaignRecord:
        """Changes given fields; ``None`` resets one to its default. While it runs, the edit holds from the next hand-off on."""
        return CampaignRecord._of(await self._call("update_campaign", campaign=_id(campaign), **fields))

    async def delete_campaign(self, campaign: int) -> None:
        """Deletes a campaign with its contacts and executions. Not while it reaches people."""
        await self._call("delete_campaign", campaign=_id(campaign))

    async def start(self, campaign: int) -> CampaignRecord:
        """Starts a campaign: at once, or at its moment when the schedule lies in the future. Also resumes a paused one."""
        return CampaignRecord._of(await self._call("start", campaign=_id(campaign)))

    async def schedule(
        self,
        campaign: int,
        *,
        schedule_type: Literal["immediate", "once", "scheduled", "recurring"],
        scheduled_at: datetime | str | None = None,
        timezone: str | None = None,
        recurring_config: Mapping[str, Any] | None = None,
        past_due: Literal["run", "skip", "hold"] | None = None,
    ) -> CampaignRecord:
        """Sets when the campaign starts, and schedules it; ``immediate`` takes the schedule back."""
        return CampaignRecord._of(
            await self._call(
                "schedule",
                campaign=_id(campaign),
                schedule_type=schedule_type,
                scheduled_at=scheduled_at,
                timezone=timezone,
                recurring_config=recurring_config,
                past_due=past_due,
            )
        )

    async def unschedule(self, campaign: int) -> CampaignRecord:
        """Takes the start back: a scheduled campaign becomes a draft."""
        return CampaignRecord._of(await self._call("unschedule", campaign=_id(campaign)))

    async def pause(self, campaign: int) -> CampaignRecord:
        """Holds a running campaign. When this returns, no further hand-off of it happens on this node."""
        return CampaignRecord._of(await self._call("pause", campaign=_id(campaign)))

    async def resume(self, campaign: int) -> CampaignRecord:
        """Lets a paused campaign go on."""
        return CampaignRecord._of(await self._call("resume", campaign=_id(campaign)))

    async def cancel(self, campaign: int) -> CampaignRecord:
        """Ends a campaign: remaining contacts become ``cancelled``, running attempts finish and are kept."""
        return CampaignRecord._of(await self._call("cancel", campaign=_id(campaign)))

    async def complete(self, campaign: int) -> CampaignRecord:
        """Closes a campaign none of whose contacts is open."""
        return CampaignRecord._of(await self._call("complete", campaign=_id(campaign)))

    async def re_execute(self, campaign: int, contacts: Literal["all", "failed_only"] | Sequence[int] = "all") -> int:
        """Makes an ended campaign ready to reach contacts again; returns how many. ``start`` does the rest."""
        return await self._call("re_execute", campaign=_id(campaign), contacts=contacts)

    async def wait(self, campaign: int, *, progress: bool | Callable[[Progress], None] = False) -> Progress:
        """Waits until the campaign has ended, and returns its last counters.

        ``progress`` shows a bar (``True``; with ``tqdm`` when it is installed) or is called with the counters now and then.
        """
        if progress is False:
            return Progress._of(await self._call("wait", campaign=_id(campaign)))
        from ._show import watching

        with watching(f"campaign {_id(campaign)}", progress) as tell:
            async for event in self.events(campaign):
                if event.progress is not None:
                    tell(event.progress)
        return Progress._of(await self._call("wait", campaign=_id(campaign)))

    async def progress(self, campaign: int) -> Progress:
        """The counters of a campaign."""
        return Progress._of(await self._call("progress", campaign=_id(campaign)))

    # --- contacts --------------------------------------------------------------------------------------------------------

    async def import_contacts(
        self,
        campaign: int | None,
        source: Source,
        *,
        list_id: int | None = None,
        progress: bool | Callable[[ImportProgress], None] = False,
        **options: Unpack[ImportOptions],
    ) -> ImportReport:
        """Imports contacts into a campaign, or (``list_id``) into a contact list.

        ``source`` is a path, an open file, bytes, a list of dicts, or a frame of pandas or polars. Good rows always go in; bad ones are
        in the report, and in the file ``rejects`` when one is named.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
        ...     report = engine.import_contacts(c.id, b"phone,name\\n(212) 555-0123,Ada\\nnobody,Bob", default_region="US")
        ...     report.imported, report.invalid, report.errors[0].line, report.errors[0].code
        (1, 1, 3, 'not_a_number')
        """
        from ._show import importing

        owner = _owner(campaign, list_id)
        async with opened(source, dict(options)) as arguments:
            with importing(progress) as tell:
                return ImportReport._of(await self._call("import_contacts", _reading(tell), **owner, **arguments))

    async def add_contacts(self, campaign: int, contacts: Iterable[Mapping[str, Any]], **options: Unpack[ImportOptions]) -> ImportReport:
        """Adds contacts by a call: dicts with the keys a file would have as headers."""
        return await self.import_contacts(campaign, list(contacts), **options)

    async def get_contact(self, contact: int) -> Contact:
        """One contact."""
        return Contact._of(await self._call("get_contact", contact=_id(contact)))

    async def list_contacts(
        self,
        campaign: int | None = None,
        *,
        list_id: int | None = None,
        status: str | Sequence[str] | None = None,
        search: str | None = None,
        after: int | None = None,
        count: bool | None = None,
        page: int | None = None,
        per_page: int | None = None,
        offset: int | None = None,
        limit: int | None = None,
    ) -> Page[Contact]:
        """Contacts of a campaign or of a contact list, by ascending id.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
        ...     report = engine.add_contacts(c.id, [{"phone": "+12125550123", "name": "Ada"}])
        ...     page = engine.list_contacts(c.id, status="pending")
        ...     page.total, page[0].name
        (1, 'Ada')
        """
        owner = _owner(campaign, list_id)
        return page_of(
            Contact,
            await self._call(
                "list_contacts",
                **owner,
                status=status,
                search=search,
                after=after,
                count=count,
                **_paging(page, per_page, offset, limit),
            ),
        )

    async def iter_contacts(
        self, campaign: int | None = None, *, list_id: int | None = None, status: str | Sequence[str] | None = None
    ) -> AsyncIterator[Contact]:
        """Every contact, however many there are."""
        after: int | None = None
        while True:
            page = await self.list_contacts(campaign, list_id=list_id, status=status, after=after, count=False, limit=1000)
            for contact in page:
                yield contact
            if not page:
                return
            after = page[-1].id

    async def remove_contacts(self, campaign: int | None, ids: Sequence[int], *, list_id: int | None = None) -> int:
        """Removes contacts that are not being contacted right now; returns how many went."""
        owner = _owner(campaign, list_id)
        return await self._call("remove_contacts", **owner, ids=[_id(one) for one in ids])

    async def record_reply(self, contact: int) -> Contact:
        """Says that a person answered back. Mixed campaigns branch on it at once."""
        return Contact._of(await self._call("record_reply", contact=_id(contact)))

    async def create_list(self, name: str, description: str | None = None, *, organization_id: int | None = None) -> ContactList:
        """Creates a contact list, of an organisation or the program's own."""
        return ContactList._of(await self._call("create_list", name=name, description=description, organization_id=organization_id))

    async def get_list(self, list_id: int) -> ContactList:
        """One contact list."""
        return ContactList._of(await self._call("get_list", list=_id(list_id)))

    async def update_list(self, list_id: int, *, name: str | None = None, description: str | None = None) -> ContactList:
        """Changes the name or the description of a contact list; what is None stays."""
        return ContactList._of(await self._call("update_list", list=_id(list_id), name=name, description=description))

    async def lists(self, *, organization_id: int | None = None) -> list[ContactList]:
        """Every contact list, or those of one organisation, oldest first."""
        return [ContactList._of(one) for one in await self._call("lists", organization_id=organization_id)]

    async def delete_list(self, list_id: int) -> None:
        """Deletes a contact list with its contacts. Campaigns it was attached to keep theirs."""
        await self._call("delete_list", list=_id(list_id))

    async def attach_list(self, list_id: int, campaign: int) -> ImportReport:
        """Copies the contacts of a list into a campaign of the same organisation."""
        return ImportReport._of(await self._call("attach_list", list=_id(list_id), campaign=_id(campaign)))

    # --- suppression -----------------------------------------------------------------------------------------------------

    async def suppress(
        self,
        numbers: str | Mapping[str, Any] | Iterable[str | Mapping[str, Any]],
        *,
        reason: str | None = None,
        source: str | None = None,
        campaign: int | None = None,
        organization_id: int | None = None,
        expires_at: datetime | str | None = None,
        default_region: str | None = None,
    ) -> None:
        """Puts numbers on the suppression list: they are not contacted any more, on any channel, from the next hand-off on.

        This covers one campaign, all of one organisation, or everything when neither is named.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
        ...     engine.suppress(["(212) 555-0123"], reason="asked us to stop", default_region="US")
        ...     engine.is_suppressed("+12125550123"), engine.suppressions()[0]
        (True, <SuppressionEntry phone='+1212…23' reason='asked us to stop'>)
        """
        entries = _entries(
            numbers,
            reason=reason,
            source=source,
            campaign_id=campaign,
            organization_id=organization_id,
            expires_at=expires_at,
            default_region=default_region,
        )
        await self._call("suppress", entries=entries)

    async def unsuppress(
        self,
        numbers: str | Mapping[str, Any] | Iterable[str | Mapping[str, Any]],
        *,
        campaign: int | None = None,
        organization_id: int | None = None,
        default_region: str | None = None,
    ) -> int:
        """Takes numbers off the suppression list; returns how many were on it."""
        entries = _entries(numbers, campaign_id=campaign, organization_id=organization_id, default_region=default_region)
        return await self._call("unsuppress", entries=entries)

    async def suppressions(
        self,
        *,
        phone_number: str | None = None,
        campaign: int | None = None,
        organization_id: int | None = None,
        default_region: str | None = None,
        page: int | None = None,
        per_page: int | None = None,
        offset: int | None = None,
        limit: int | None = None,
    ) -> Page[SuppressionEntry]:
        """Entries of the suppression list, by number."""
        return page_of(
            SuppressionEntry,
            await self._call(
                "suppressions",
                phone_number=phone_number,
                campaign_id=campaign,
                organization_id=organization_id,
                default_region=default_region,
                **_paging(page, per_page, offset, limit),
            ),
        )

    async def is_suppressed(self, phone_number: str, *, organization_id: int | None = None, default_region: str | None = None) -> bool:
        """Whether a number is suppressed now, in all campaigns of an organisation when one is named, else everywhere."""
        return await self._call(
            "is_suppressed",
            phone_number=phone_number,
            organization_id=organization_id,
            default_region=default_region,
        )

    async def import_suppressions(
        self,
        source: Source,
        *,
        reason: str,
        campaign: int | None = None,
        organization_id: int | None = None,
        **options: Unpack[ImportOptions],
    ) -> ImportReport:
        """Imports a file of numbers into the suppression list. A ``reason`` column goes before ``reason``."""
        scope: dict[str, Any] = {} if campaign is None else {"campaign": _id(campaign)}
        if organization_id is not None:
            scope["organization_id"] = organization_id
        async with opened(source, dict(options)) as arguments:
            return ImportReport._of(await self._call("import_suppressions", reason=reason, **scope, **arguments))

    async def export_suppressions(self) -> str:
        """The suppression list as CSV."""
        return await self._call("export_suppressions")

    # --- what happened, and what would -----------------------------------------------------------------------------------

    async def executions(
        self,
        campaign: int | None = None,
        *,
        contact: int | None = None,
        run: int | None = None,
        id: int | None = None,
        provider_ref: str | None = None,
        status: str | Sequence[str] | None = None,
        disposition: str | Sequence[str] | None = None,
        open_only: bool | None = None,
        before: int | None = None,
        count: bool | None = None,
        page: int | None = None,
        per_page: int | None = None,
        offset: int | None = None,
        limit: int | None = None,
    ) -> Page[Execution]:
        """The attempt history, newest first.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
        ...     report = engine.add_contacts(c.id, [{"phone": "+12125550123"}])
        ...     started, ended = engine.start(c.id), engine.wait(c.id)
        ...     [one.disposition for one in engine.executions(c.id)]
        ['answered']
        """
        return page_of(
            Execution,
            await self._call(
                "executions",
                campaign_id=None if campaign is None else _id(campaign),
                contact_id=None if contact is None else _id(contact),
                run=run,
                id=id,
                provider_ref=provider_ref,
                status=status,
                disposition=disposition,
                open_only=open_only,
                before=before,
                count=count,
                **_paging(page, per_page, offset, limit),
            ),
        )

    async def timeline(
        self,
        campaign: int,
        bucket_seconds: int,
        *,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
    ) -> list[TimelineBucket]:
        """Settled attempts of a campaign per bucket of time."""
        arguments: dict[str, Any] = {"bucket_seconds": bucket_seconds, "from": start, "to": end}
        return [TimelineBucket._of(one) for one in await self._call("timeline", campaign=_id(campaign), **arguments)]

    async def amend(self, execution: int, outcome: Outcome) -> Execution:
        """Adds what a provider says after the settlement (price, transcript, receipt) to an attempt."""
        return Execution._of(await self._call("amend", execution=_id(execution), **outcome._json()))

    async def explain(self, contact: int) -> ContactExplanation:
        """Names the gates a contact has to pass, the first that blocks, and when it opens.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
        ...     report = engine.add_contacts(c.id, [{"phone": "+12125550123"}])
        ...     engine.explain(engine.list_contacts(c.id)[0].id).blocked_by
        'campaign_state'
        """
        return ContactExplanation._of(await self._call("explain_contact", contact=_id(contact)))

    async def explain_campaign(self, campaign: int) -> CampaignExplanation:
        """Counts the contacts of a campaign per reason, and says when it moves next."""
        return CampaignExplanation._of(await self._call("explain_campaign", campaign=_id(campaign)))

    async def simulate(
        self,
        campaign: int,
        *,
        profile: str | Mapping[str, Any] | None = None,
        seed: int | None = None,
        start: datetime | str | None = None,
        max_days: int | None = None,
    ) -> SimulationReport:
        """Runs the same engine on virtual time over a copy of the campaign. The campaign itself is not touched.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
        ...     report = engine.add_contacts(c.id, [{"phone": "+12125550123"}])
        ...     engine.simulate(c.id, profile="instant").progress.completed_contacts, engine.progress(c.id).completed_contacts
        (1, 0)
        """
        return SimulationReport._of(
            await self._call("simulate", campaign=_id(campaign), profile=profile, seed=seed, start=start, max_days=max_days)
        )

    async def preview_template(
        self,
        template: str,
        variables: Mapping[str, Any] | None = None,
        *,
        fallback_values: Mapping[str, str] | None = None,
        syntax: Literal["jinja", "brace"] | None = None,
    ) -> str:
        """Renders a template with the given values.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
        ...     engine.preview_template("Hi {{ name }}", fallback_values={"name": "there"})
        'Hi there'
        """
        return await self._call(
            "preview_template",
            template=template,
            variables=variables,
            fallback_values=fallback_values,
            syntax=syntax,
        )

    async def preview_contact(self, campaign: int, contact: int) -> dict[str, str]:
        """Renders every template of a campaign for one of its contacts."""
        return await self._call("preview_contact", campaign=_id(campaign), contact=_id(contact))

    async def lint_template(self, campaign: int, *, sample: int | None = None, segment_price: float | None = None) -> LintReport:
        """Looks for mistakes in the templates of a campaign.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     c = engine.create_campaign(name="Reminders", campaign_type="call")
        ...     sms = engine.create_campaign(name="n", campaign_type="sms", sms_message_template="Hi {{ nmae }}")
        ...     report = engine.add_contacts(sms.id, [{"phone": "+12125550123", "name": "Ada"}])
        ...     [one["code"] for one in engine.lint_template(sms.id).findings]
        ['unknown_variable']
        """
        return LintReport._of(await self._call("lint_template", campaign=_id(campaign), sample=sample, segment_price=segment_price))

    def events(self, campaign: int | None = None) -> EventStream:
        """Events of one campaign, until it has ended, or of all: ``async for event in engine.events(c.id)``."""
        return EventStream(self, None if campaign is None else _id(campaign))

    # --- people who answer back ------------------------------------------------------------------------------------------

    async def callback(
        self, method: str, url: object, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes
    ) -> CallbackResponse:
        """Takes a callback of the provider: hand it the request as it came in, and send back what this returns.

        ``url`` is the whole URL or path and query, ``body`` its bytes as they came in, because signatures cover both. Everything is in the
        answer: 2xx when the callback was taken (again, if it came twice), 400, 403 and 404 when it is none of ours, 503 when it should come
        again.

        >>> from campaign import BlockingEngine, SimulatedDialer, TwilioDialer
        >>> twilio = TwilioDialer(account_sid="AC" + 32 * "0", auth_token="the token", public_base_url="https://calls.example.org")
        >>> with BlockingEngine.open(dialer=twilio) as engine:
        ...     engine.callback("POST", "/twilio/status?attempt=7", {"Host": "calls.example.org"}, b"CallSid=CA1").status
        403
        """
        return CallbackResponse._of(await self._call("callback", **request_form(method, url, headers, body)))

    async def is_signed(self, method: str, url: object, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes = b"") -> bool:
        """Whether a request that is no callback comes from the dialer's provider.

        Ask before a WebSocket that the provider opens for the assistant is accepted and handed to :meth:`relay`: whoever may open one
        speaks as the person.
        """
        return await self._call("is_signed", **request_form(method, url, headers, body))

    async def receive_message(
        self,
        *,
        id: str,
        channel: Literal["sms", "whatsapp"],
        phone_number: str,
        our_number: str,
        text: str = "",
        media: Sequence[str] = (),
        keyword: Keyword | None = None,
        confirmed_by_carrier: bool = False,
        data: Mapping[str, Any] | None = None,
    ) -> Message:
        """Takes a message from a person, for programs that receive messages themselves; those of callbacks come in by :meth:`callback`.

        It is stored once, however often it is handed in; ``id`` is the provider's. Opt-out words suppress the number before this returns,
        mixed campaigns branch on the reply, and the assistant answers if the campaign says so. ``keyword`` is what the carrier itself
        took it for, and ``confirmed_by_carrier`` says that it has answered that already.

        >>> from campaign import BlockingEngine, SimulatedDialer
        >>> with BlockingEngine.open(dialer=SimulatedDialer(profile="instant")) as engine:
        ...     told = engine.receive_message(id="SM1", channel="sms", phone_number="+12125550123", our_number="+12025550100", text="STOP")
        ...     told.keyword, engine.is_suppressed("+12125550123")
        ('opt_out', True)
        """
        return Message._of(
            await self._call(
                "receive_message",
                id=id,
                channel=channel,
                phone_number=phone_number,
                our_number=our_number,
                text=text,
                media=list(media),
                keyword=keyword,
                confirmed_by_carrier=confirmed_by_carrier,
                data=data,
            )
        )

    async def send_message(
        self,
        conversation: Conversation | ConversationKey,
        text: str,
        *,
        key: str | None = None,
        valid_for: float | timedelta | None = None,
    ) -> Message:
        """Sends a message in a conversation, at most once. Not to people who have opted out, and by WhatsApp only within 24 hours of their
        last message.

        ``conversation`` is one of :meth:`conversations`, or a dict with ``channel``, ``our_number`` and ``phone_number``. With a ``key`` a
        call may be repeated when its answer was lost, and sends nothing twice. It must leave within ``valid_for`` seconds, 600 by default.
        """
        where = _conversation(conversation)
        return Message._of(await self._call("send_message", **where, text=text, key=key, valid_for=valid_for))

    async def conversations(
        self,
        phone_number: str | None = None,
        *,
        channel: Literal["call", "sms", "whatsapp"] | None = None,
        campaign: int | None = None,
        after: Conversation | ConversationKey | None = None,
        limit: int | None = None,
    ) -> list[Conversation]:
        """Conversations by the person's number: with one person, on one channel, or in which this campaign wrote last.

        At most ``limit`` (50 by default, 1000 at most); ``after`` walks on behind the last of the page before.
        """
        found = await self._call(
            "conversations",
            phone_number=phone_number,
            channel=channel,
            campaign_id=None if campaign is None else _id(campaign),
            after=None if after is None else _conversation(after),
            limit=limit,
        )
        return [Conversation._of(one) for one in found]

    async def messages(
        self,
        conversation: Conversation | ConversationKey,
        *,
        page: int | None = None,
        per_page: int | None = None,
        offset: int | None = None,
        limit: int | None = None,
    ) -> Page[Message]:
        """The messages of a conversation, oldest first; of a call, what was said."""
        where = _conversation(conversation)
        return page_of(Message, await self._call("messages", **where, **_paging(page, per_page, offset, limit)))

    async def relay(
        self,
        frames: Frames,
        send: Callable[[str], object],
        *,
        begun: Callable[[RelaySession], object] | None = None,
    ) -> list[Spoken]:
        """Carries the conversation of a call whose carrier relays speech as text over a WebSocket, as Twilio's ConversationRelay does.

        ``frames`` gives what comes in, as an asynchronous or a plain iterator of texts; ``send``, a coroutine function or a plain one,
        sends a text. It ends with the session or with ``frames``, and returns what was said, which is kept in the conversation and in the
        outcome of its attempt. ``begun`` gets the :class:`RelaySession`, by which the program takes part.

        Check the handshake with :meth:`is_signed` before. With FastAPI::

            await socket.accept()
            await engine.relay(socket.iter_text(), socket.send_text)
        """
        return await carry(await link(), self._handle, frames, send, begun)

    # --- the node --------------------------------------------------------------------------------------------------------

    async def nodes(self) -> list[NodeInfo]:
        """Live nodes on the store."""
        return [NodeInfo._of(one) for one in await self._call("nodes")]

    async def now(self) -> datetime:
        """Now, by the engine's clock."""
        return moment(await self._call("now"))

    @property
    def node_name(self) -> str:
        """The name of this node."""
        return self._handle.node_name()

    async def stop(self, *, patience: float | None = None) -> None:
        """Drains: no new attempt starts, running ones are waited for; after ``patience`` seconds coroutines are cancelled."""
        await self._call("stop", patience=patience)
        self._ended = True

    def abort(self) -> None:
        """Stops at once: running attempts are left behind and recovered by the next start, as after a crash."""
        self._handle.abort()
        self._ended = True

    async def close(self) -> None:
        """:meth:`stop` without a limit of time, then closes the store. Closing again does nothing more."""
        with contextlib.suppress(ClosedError):
            # Somebody else closed it already.
            await self._call("close")
        self._ended = True
        for number in self._registered:
            self._link.objects.pop(number, None)

    def __del__(self) -> None:
        # Not there when the constructor failed; and nothing here may fail while the interpreter goes away or in the child of a fork.
        link = getattr(self, "_link", None)
        if link is None:
            return
        with contextlib.suppress(Exception):
            name = self._handle.node_name()
            if not self._ended:
                self._handle.abort()
                warnings.warn(f"the engine {name} was not closed; it stopped as after a crash", ResourceWarning, source=self, stacklevel=2)
        with contextlib.suppress(Exception):
            link.done_with(self._handle, self._registered)

    def __repr__(self) -> str:
        return f"<Engine {self.node_name}>"


class EventStream(AsyncIterator[Event]):
    """Events as they happen. The first of a campaign is always a ``progress``; giving up waiting for one loses none.

    Several may read one stream; each event goes to one of them.
    """

    def __init__(self, engine: Engine, campaign: int | None) -> None:
        self._engine = engine
        self._campaign = campaign
        self._ready: list[dict[str, Any]] = []
        self._pending: asyncio.Task[list[dict[str, Any]]] | None = None
        self._handle: _native.EventHandle | None = None
        self._reading = asyncio.Lock()
        self._ended = False

    def __aiter__(self) -> EventStream:
        return self

    async def open(self) -> EventStream:
        """Begins to listen now; otherwise the first ``async for`` does."""
        if self._handle is None and not self._ended:
            where: dict[str, Any] = {} if self._campaign is None else {"campaign": self._campaign}
            self._handle = await self._engine._call("events", **where)
        return self

    async def __anext__(self) -> Event:
        async with self._reading:
            while not self._ready and not self._ended:
                if self._pending is None:
                    await self.open()
                    if self._handle is None:
                        break
                    self._pending = asyncio.ensure_future(_fetch(self._handle))
                pending = self._pending
                try:
                    # Shielded, so that a time-out around one event does not lose those that were on their way.
                    found = await asyncio.shield(pending)
                except asyncio.CancelledError:
                    if not self._ended:
                        raise
                    # Closed meanwhile.
                    break
                finally:
                    if pending.done():
                        self._pending = None
                self._ready = found[::-1]
                self._ended = not found
            if not self._ready:
                raise StopAsyncIteration
            return Event._of(self._ready.pop())

    async def aclose(self) -> None:
        """Stops listening, and ends every ``async for`` over it."""
        self._ended = True
        self._ready.clear()
        self._handle = None
        self._give_up()

    def _give_up(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None and not pending.done():
            loop = pending.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(pending.cancel)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._give_up()

    def __repr__(self) -> str:
        return f"<EventStream campaign={self._campaign}>"


async def _fetch(events: _native.EventHandle) -> list[dict[str, Any]]:
    # Holds the engine's half only, so that a stream that nobody reads any more is forgotten.
    bridge = await link()
    return await bridge.wait(bridge.bridge.next_events(events))


@dataclass(frozen=True)
class Copied:
    """How much :func:`copy_store` copied."""

    campaigns: int
    contacts: int
    """Of campaigns and contact lists."""
    attempts: int
    suppressions: int
    documents: int
    """Contact lists among them."""


async def copy_store(source: str | ContactStore, target: str | ContactStore) -> Copied:
    """Copies everything from one store to another, ids included: moving to another database, a backup.

    Each is a URL as :meth:`Engine.open` takes it, or a store object. What the target holds under the same ids is replaced. Nothing else
    may write to either meanwhile; a copy that was interrupted can be begun anew.

    >>> import asyncio, campaign
    >>> async def main():
    ...     print(await campaign.copy_store("memory://", "memory://"))
    >>> asyncio.run(main())
    Copied(campaigns=0, contacts=0, attempts=0, suppressions=0, documents=0)
    """
    bridge = await link()
    registered: list[int] = []

    def place(store: str | ContactStore) -> str | int:
        if isinstance(store, str):
            return store
        check(store, "ContactStore", STORE_METHODS)
        registered.append(bridge.register(store))
        return registered[-1]

    try:
        return Copied(**await bridge.wait(bridge.bridge.copy_store(place(source), place(target))))
    finally:
        for number in registered:
            bridge.objects.pop(number, None)


def _conversation(given: Any) -> dict[str, Any]:
    """Which conversation is meant."""
    names = ("channel", "our_number", "phone_number")
    if isinstance(given, Conversation):
        return {name: getattr(given, name) for name in names}
    if not isinstance(given, Mapping):
        raise InvalidError(f"a conversation is a record, or a dict with {', '.join(names)}", context={"field": "conversation"})
    return dict(cast("Mapping[str, Any]", given))


def _reading(tell: Callable[[ImportProgress], None] | None) -> Callable[[dict[str, Any]], None] | None:
    if tell is None:
        return None

    def told(data: dict[str, Any]) -> None:
        tell(ImportProgress._of(data))

    return told


def _paging(page: int | None, per_page: int | None, offset: int | None, limit: int | None) -> dict[str, Any]:
    given = {"page": page, "per_page": per_page, "offset": offset, "limit": limit}
    return {name: value for name, value in given.items() if value is not None}


def _entries(numbers: Any, **common: Any) -> list[dict[str, Any]]:
    alone = not isinstance(numbers, Iterable) or isinstance(numbers, (str, bytes, Mapping))
    many = cast("Iterable[Any]", [numbers] if alone else numbers)
    entries: list[dict[str, Any]] = []
    for one in many:
        if isinstance(one, str):
            entries.append({**common, "phone_number": one})
        elif isinstance(one, Mapping):
            entries.append({**common, **cast("Mapping[str, Any]", one)})
        else:
            raise InvalidError("a number is a text, or a dict with `phone_number`", context={"field": "numbers"})
    return entries
