"""What the engine tells: campaigns, contacts, executions, progress, reports. Plain frozen classes; a repr never shows a full number."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from ._html import rows, table

if TYPE_CHECKING:
    import pandas
    import polars
    from typing_extensions import Self

__all__ = [
    "CampaignExplanation",
    "CampaignRecord",
    "Contact",
    "ContactExplanation",
    "ContactList",
    "Conversation",
    "Event",
    "Execution",
    "ImportProgress",
    "ImportReport",
    "LintReport",
    "Message",
    "NodeInfo",
    "Page",
    "Progress",
    "Record",
    "RowError",
    "SimulationReport",
    "Spoken",
    "SuppressionEntry",
    "TimelineBucket",
]

_FRACTION = re.compile(r"\.(\d+)")


def moment(text: str) -> datetime:
    """A moment as the engine writes it.

    >>> moment("2026-03-02T15:00:00.5Z").isoformat()
    '2026-03-02T15:00:00.500000+00:00'
    """
    if sys.version_info >= (3, 11):
        return datetime.fromisoformat(text)
    # Python 3.10 reads no `Z`, and fractions of three or six digits only.
    return datetime.fromisoformat(_FRACTION.sub(lambda found: f".{found[1][:6]:0<6}", text).replace("Z", "+00:00"))


def masked(number: str | None) -> str:
    """A phone number as logs may have it.

    >>> masked("+12125550123")
    '+1212…23'
    >>> masked("+12345678")
    '+12…78'
    """
    # At least four digits are always hidden, so that a short number does not show as a whole.
    return "…" if number is None else f"{number[: max(0, min(5, len(number) - 6))]}…{number[-2:]}"


_NAMES: dict[type, tuple[str, ...]] = {}


@dataclass(frozen=True, kw_only=True)
class Record:
    """Something the engine told."""

    _times: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def _of(cls, data: Mapping[str, Any]) -> Self:
        names = _NAMES.get(cls)
        if names is None:
            names = _NAMES[cls] = tuple(one.name for one in fields(cls))
        values = {name: data.get(name) for name in names}
        for name in cls._times:
            text = values[name]
            if text is not None:
                values[name] = moment(text)
        # Past `__init__`, which a frozen class makes slow: a dialer gets one of these per attempt.
        made = object.__new__(cls)
        made.__dict__.update(values)
        return made

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON has it: moments are texts."""
        return {one.name: _json(getattr(self, one.name)) for one in fields(self)}

    def _json(self) -> dict[str, Any]:
        return self.to_dict()

    def _shown(self) -> dict[str, Any]:
        """What a repr shows."""
        return {}

    def __repr__(self) -> str:
        shown = " ".join(f"{name}={value!r}" for name, value in self._shown().items() if value is not None)
        return f"<{type(self).__name__}{' ' if shown else ''}{shown}>"

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self._shown())


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_json(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return value


@dataclass(frozen=True, kw_only=True, repr=False)
class Progress(Record):
    """The counters of a campaign. Percentages have two decimals."""

    campaign_id: int
    status: str
    run: int
    total_contacts: int
    completed_contacts: int
    failed_contacts: int
    pending_contacts: int
    in_progress_contacts: int
    no_answer_contacts: int
    busy_contacts: int
    voicemail_contacts: int
    skipped_contacts: int
    cancelled_contacts: int
    completion_percentage: float
    completion_rate: float
    success_rate: float
    answer_rate: float
    total_duration_seconds: int
    average_duration: float
    total_cost: float
    started_at: datetime | None
    completed_at: datetime | None
    estimated_completion: datetime | None

    _times = frozenset({"started_at", "completed_at", "estimated_completion"})

    def _shown(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign_id,
            "status": self.status,
            "done": f"{self.completed_contacts + self.failed_contacts}/{self.total_contacts}",
            "success": f"{self.success_rate:.2f} %",
            "in_progress": self.in_progress_contacts,
            "cost": self.total_cost,
        }

    def _repr_html_(self) -> str:
        bar = f'<progress max="100" value="{self.completion_percentage}" style="width:20em"></progress>'
        return bar + table(f"Campaign {self.campaign_id}: {self.status}", self._shown())


@dataclass(frozen=True, kw_only=True, repr=False)
class CampaignRecord(Record):
    """A stored campaign and where it stands."""

    id: int
    name: str
    description: str | None
    campaign_type: str
    status: str
    reason: str | None
    reason_text: str | None
    run: int
    next_start: datetime | None
    organization_id: int | None
    assistant_id: int | None
    assistant_name: str | None
    templates: dict[str, str]
    welcome_message_template: str | None
    agenda_template: str | None
    end_call_message_template: str | None
    sms_message_template: str | None
    template_syntax: str
    fallback_values: dict[str, str]
    variable_mappings: dict[str, str]
    available_variables: list[str]
    steps: list[dict[str, Any]]
    max_attempts: int
    retry_delay_minutes: int
    retry: dict[str, Any]
    concurrent_limit: int | None
    rate_limit_per_minute: int | None
    calls_per_day: int | None
    priority: str
    time_zone: str
    windows: dict[str, Any]
    allowed_hours: list[dict[str, Any]]
    schedule: dict[str, Any]
    deadline: datetime | None
    consent_required: bool
    frequency_caps: list[dict[str, Any]]
    budget: float | None
    cost_per_attempt: float
    budget_threshold_percent: int
    caller_ids: list[dict[str, Any]]
    voicemail: dict[str, Any]
    replies: dict[str, Any]
    ring_timeout_seconds: int
    max_duration_seconds: int
    dialer_options: dict[str, Any]
    metadata: dict[str, Any]
    spec_version: int
    revision: int
    total_contacts: int
    completed_contacts: int
    failed_contacts: int
    last_import_file_name: str | None
    last_import_date: datetime | None
    last_import_row_count: int | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    _times = frozenset({"next_start", "deadline", "last_import_date", "created_at", "updated_at", "started_at", "completed_at"})

    def _shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "type": self.campaign_type,
            "status": self.status,
            "contacts": self.total_contacts,
            "reason": self.reason_text,
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class Contact(Record):
    """A person to be reached, and how far the campaign has come with them."""

    id: int
    campaign_id: int | None
    list_id: int | None
    phone_number: str
    name: str | None
    email: str | None
    company: str | None
    time_zones: list[str]
    variables: dict[str, Any]
    consent: dict[str, Any] | None
    source: str
    status: str
    reason: str | None
    reason_text: str | None
    error_message: str | None
    run: int
    attempts: int
    call_attempts: int
    due_at: datetime | None
    step: int | None
    channel: str | None
    last_disposition: str | None
    last_attempt_at: datetime | None
    replied_at: datetime | None
    completed_at: datetime | None
    call_duration: int
    cost: float
    created_at: datetime

    _times = frozenset({"due_at", "last_attempt_at", "replied_at", "completed_at", "created_at"})

    def _shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "phone": masked(self.phone_number),
            "status": self.status,
            "attempts": self.attempts,
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class Execution(Record):
    """One attempt to reach a contact, and what came of it."""

    id: int
    execution_id: int
    campaign_id: int
    contact_id: int
    run: int
    attempt_number: int
    channel: str
    step: int
    status: str
    state: str
    disposition: str | None
    call_id: str | None
    sms_id: str | None
    provider_ref: str | None
    key: str
    from_number: str | None
    spec_version: int
    claimed_at: datetime
    executed_at: datetime | None
    finished_at: datetime | None
    duration_seconds: int | None
    cost: float | None
    error_details: str | None
    retry_reason: str | None
    data: dict[str, Any]

    _times = frozenset({"claimed_at", "executed_at", "finished_at"})

    def _shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "contact": self.contact_id,
            "attempt": self.attempt_number,
            "channel": self.channel,
            "disposition": self.disposition or self.state,
            "seconds": self.duration_seconds,
            "cost": self.cost,
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class Event(Record):
    """Something that happened. ``type`` says what; the fields that do not belong to it are ``None``.

    Events carry ids, never a phone number or the text of a message.
    """

    type: str
    campaign_id: int
    at: datetime
    contact_id: int | None = None
    attempt_id: int | None = None
    channel: str | None = None
    disposition: str | None = None
    status: str | None = None
    duration_seconds: int | None = None
    cost: float | None = None
    stage: str | None = None
    from_status: str | None = None
    to_status: str | None = None
    run: int | None = None
    percent: int | None = None
    spent: float | None = None
    budget: float | None = None
    message_id: str | None = None
    """The provider's id of a message that came in or went out."""
    tool: str | None = None
    """What the assistant asked for, for ``type == "tool_used"``."""
    code: str | None = None
    message: str | None = None
    count: int | None = None
    progress: Progress | None = None
    """The counters, for ``type == "progress"``."""

    _times = frozenset({"at"})

    @classmethod
    def _of(cls, data: Mapping[str, Any]) -> Self:
        if data["type"] == "progress":
            counters = Progress._of(data)
            basis = {name: data[name] for name in ("type", "campaign_id", "status")}
            return cls(**basis, at=moment(data["at"]), progress=counters)
        renamed = {**data, "from_status": data.get("from"), "to_status": data.get("to")}
        return super()._of(renamed)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON has it, without what does not belong to this type."""
        return {name: value for name, value in super().to_dict().items() if value is not None}

    def _shown(self) -> dict[str, Any]:
        hidden = {"at", "progress", "duration_seconds", "message"}
        return {name: value for name, value in self.to_dict().items() if name not in hidden}


@dataclass(frozen=True, kw_only=True, repr=False)
class RowError(Record):
    """One rejected row of a file."""

    line: int
    column: str | None
    code: str
    reason: str

    def _shown(self) -> dict[str, Any]:
        return {"line": self.line, "column": self.column, "code": self.code, "reason": self.reason}


@dataclass(frozen=True, kw_only=True, repr=False)
class ImportReport(Record):
    """What became of the rows of a file. ``total`` is the sum of the other five counts."""

    imported: int
    updated: int
    duplicates: int
    invalid: int
    suppressed: int
    total: int
    errors: list[RowError]
    errors_truncated: bool
    mapping: dict[str, Any]
    file_name: str | None
    format: str | None
    encoding: str | None
    delimiter: str | None
    sheet: str | None

    @classmethod
    def _of(cls, data: Mapping[str, Any]) -> Self:
        return super()._of({**data, "errors": [RowError._of(one) for one in data["errors"]]})

    def _shown(self) -> dict[str, Any]:
        return {
            "file": self.file_name,
            "imported": self.imported,
            "updated": self.updated,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
            "suppressed": self.suppressed,
            "total": self.total,
        }

    def _repr_html_(self) -> str:
        return super()._repr_html_() + rows("Rejected rows", [one._shown() for one in self.errors])


@dataclass(frozen=True, kw_only=True, repr=False)
class ImportProgress(Record):
    """How far an import is."""

    bytes_read: int
    total_bytes: int | None
    rows: int

    def _shown(self) -> dict[str, Any]:
        return {"rows": self.rows, "bytes": self.bytes_read, "of": self.total_bytes}


@dataclass(frozen=True, kw_only=True, repr=False)
class ContactExplanation(Record):
    """Why a contact is, or is not, being reached now."""

    contact_id: int
    status: str
    reason: str | None
    reason_text: str | None
    gates: list[dict[str, Any]]
    blocked_by: str | None
    earliest: datetime | None
    text: str

    _times = frozenset({"earliest"})

    def _shown(self) -> dict[str, Any]:
        return {"contact": self.contact_id, "blocked_by": self.blocked_by, "text": self.text}


@dataclass(frozen=True, kw_only=True, repr=False)
class CampaignExplanation(Record):
    """Why a campaign moves as it does: its contacts counted per reason, most first."""

    campaign_id: int
    status: str
    reason: str | None
    reason_text: str | None
    reasons: list[dict[str, Any]]
    earliest: datetime | None
    text: str

    _times = frozenset({"earliest"})

    def _shown(self) -> dict[str, Any]:
        return {"campaign": self.campaign_id, "status": self.status, "text": self.text}

    def _repr_html_(self) -> str:
        return super()._repr_html_() + rows("Reasons", self.reasons)


@dataclass(frozen=True, kw_only=True, repr=False)
class ContactList(Record):
    """A reusable list of contacts."""

    id: int
    name: str
    description: str | None
    organization_id: int | None
    created_at: datetime

    _times = frozenset({"created_at"})

    def _shown(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name}


@dataclass(frozen=True, kw_only=True, repr=False)
class LintReport(Record):
    """What lint found in the templates of a campaign."""

    ok: bool
    findings: list[dict[str, Any]]
    messages: list[dict[str, Any]]

    def _shown(self) -> dict[str, Any]:
        return {"ok": self.ok, "findings": len(self.findings)}

    def _repr_html_(self) -> str:
        return super()._repr_html_() + rows("Findings", self.findings)


@dataclass(frozen=True, kw_only=True, repr=False)
class SimulationReport(Record):
    """What would happen: a dry run on virtual time."""

    started_at: datetime
    finished_at: datetime | None
    progress: Progress
    attempts: int
    attempts_per_hour: dict[str, int]
    peak_concurrency: int
    cost: dict[str, float]
    unreachable: list[dict[str, Any]]

    _times = frozenset({"started_at", "finished_at"})

    @classmethod
    def _of(cls, data: Mapping[str, Any]) -> Self:
        return super()._of({**data, "progress": Progress._of(data["progress"])})

    def _shown(self) -> dict[str, Any]:
        return {
            "finished_at": None if self.finished_at is None else self.finished_at.isoformat(),
            "attempts": self.attempts,
            "peak": self.peak_concurrency,
            "cost": self.cost.get("expected"),
            "reached": f"{self.progress.success_rate:.2f} %",
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class SuppressionEntry(Record):
    """A number that must not be contacted."""

    phone_number: str
    campaign_id: int | None
    organization_id: int | None
    reason: str
    source: str | None
    created_at: datetime
    expires_at: datetime | None

    _times = frozenset({"created_at", "expires_at"})

    def _shown(self) -> dict[str, Any]:
        return {"phone": masked(self.phone_number), "campaign": self.campaign_id, "reason": self.reason}


@dataclass(frozen=True, kw_only=True, repr=False)
class Conversation(Record):
    """What one person and one number (or sender) of ours write to each other on one channel. It outlives campaigns."""

    channel: str
    our_number: str
    phone_number: str
    last_inbound_at: datetime | None
    """When the person last wrote. WhatsApp allows free text for 24 hours from then."""
    last_outbound_at: datetime | None
    campaign_id: int | None
    """The campaign that last wrote here."""
    contact_id: int | None
    opted_out_at: datetime | None
    """When the person opted out here, unless they opted in again later."""

    _times = frozenset({"last_inbound_at", "last_outbound_at", "opted_out_at"})

    def _shown(self) -> dict[str, Any]:
        return {"channel": self.channel, "with": masked(self.phone_number), "campaign": self.campaign_id}


@dataclass(frozen=True, kw_only=True, repr=False)
class Message(Record):
    """One message of a conversation. A ``repr`` never shows its text."""

    id: str
    """The provider's id, or our own key while the provider has not named one."""
    direction: str
    """``inbound`` or ``outbound``."""
    author: str
    """``person``, ``campaign``, ``assistant``, ``engine`` (a confirmation) or ``program``."""
    at: datetime
    text: str
    media: list[str]
    keyword: str | None
    """What it asks for by itself: ``opt_out``, ``opt_in`` or ``help``."""
    campaign_id: int | None
    contact_id: int | None
    state: str
    """``done``, ``in_doubt`` (handed over, and nothing certain was heard; it is never sent again) or ``failed``."""
    tool: dict[str, Any] | None
    """What the assistant wanted done, ``name`` and ``arguments``; such an entry has no text and was sent to nobody."""

    _times = frozenset({"at"})

    def _shown(self) -> dict[str, Any]:
        return {"id": self.id, "author": self.author, "keyword": self.keyword, "state": self.state}


@dataclass(frozen=True, kw_only=True, repr=False)
class Spoken(Record):
    """Something that was said, or asked for, in a call. A ``repr`` never shows the text."""

    author: str
    """``person`` or ``assistant``."""
    at: datetime
    text: str
    tool: dict[str, Any] | None
    """What the assistant asked for, ``name`` and ``arguments``; then there is no text."""

    _times = frozenset({"at"})

    def _shown(self) -> dict[str, Any]:
        return {"author": self.author}


@dataclass(frozen=True, kw_only=True, repr=False)
class NodeInfo(Record):
    """A process that executes campaigns on the store."""

    id: int
    name: str
    started_at: datetime
    expires_at: datetime
    in_flight: int

    _times = frozenset({"started_at", "expires_at"})

    def _shown(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "in_flight": self.in_flight}


@dataclass(frozen=True, kw_only=True, repr=False)
class TimelineBucket(Record):
    """Settled attempts of one bucket of time."""

    start: datetime
    dispositions: dict[str, int]
    duration_seconds: int
    cost: float

    _times = frozenset({"start"})

    def _shown(self) -> dict[str, Any]:
        return {"start": self.start.isoformat(), **self.dispositions}


T = TypeVar("T", bound=Record)


@dataclass(frozen=True, repr=False)
class Page(Sequence[T], Generic[T]):
    """One page of a listing: a sequence, with the ``total`` of all pages.

    >>> page = Page([], 0)
    >>> len(page), page.total, list(page)
    (0, 0, [])
    """

    items: list[T] = field(default_factory=list[T])
    total: int = 0

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Every item as JSON has it."""
        return [one.to_dict() for one in self.items]

    def to_pandas(self) -> pandas.DataFrame:
        """As a pandas frame, one row per item."""
        import pandas

        return pandas.DataFrame(_cells(self.items))

    def to_polars(self) -> polars.DataFrame:
        """As a polars frame, one row per item."""
        import polars

        return polars.DataFrame(_cells(self.items), infer_schema_length=None)

    def __repr__(self) -> str:
        return f"<Page {len(self.items)} of {self.total}: {self.items[:3]}{' ...' if len(self.items) > 3 else ''}>"

    def _repr_html_(self) -> str:
        return rows(f"{len(self.items)} of {self.total}", [one._shown() for one in self.items])


def page_of(kind: type[T], data: Mapping[str, Any]) -> Page[T]:
    """A page of records."""
    return Page([kind._of(one) for one in data["items"]], data["total"])


def _cells(items: Iterable[Record]) -> list[dict[str, Any]]:
    return [{one.name: getattr(item, one.name) for one in fields(item)} for item in items]
