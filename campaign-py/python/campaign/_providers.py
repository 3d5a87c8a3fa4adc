"""Dialers by configuration: the carriers people use, several at once, and what goes over the wire with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, cast

from . import _native
from ._errors import InvalidError
from ._loop import plain
from ._protocols import FindRequest, OutboundMessage, check

if TYPE_CHECKING:
    from typing_extensions import Required, Self, Unpack

    from ._protocols import Dialer

__all__ = [
    "CallbackResponse",
    "ElevenLabsDialer",
    "ElevenLabsSettings",
    "RoutedDialer",
    "TwilioDialer",
    "TwilioSettings",
    "WebhookDialer",
    "WebhookSettings",
]

Channel = Literal["call", "sms", "whatsapp"]


class TwilioSettings(TypedDict, total=False):
    """Settings of a :class:`TwilioDialer`; times in seconds. What is left out takes the engine's default."""

    account_sid: Required[str]
    """The account, ``AC...``."""
    auth_token: str | None
    """Its token. Needed beside an API key as well when there are callbacks, because they are signed with it."""
    api_key_sid: str | None
    """An API key, ``SK...``, to send requests with instead of the token."""
    api_key_secret: str | None
    """The secret of that key."""
    webhook_keys: Mapping[str, str]
    """Shared keys of signed callbacks (HMAC-SHA256), secrets by id."""
    from_number: str | None
    """Caller id and SMS sender of campaigns without caller ids of their own."""
    messaging_service_sid: str | None
    """A messaging service, ``MG...``; goes before ``from_number`` for SMS."""
    whatsapp_from: str | None
    """The WhatsApp sender, without ``whatsapp:``."""
    public_base_url: str | None
    """Where Twilio reaches the program. Without it there are no callbacks: everything is learned by asking, and nobody can write back."""
    callback_path: str
    """The path of callbacks below it. Default ``/twilio/``."""
    relay_url: str | None
    """The assistant's WebSocket. Default: ``relay`` below the callbacks."""
    api_base: str | None
    """Where the API is. Default ``https://api.twilio.com``, or the host of ``edge`` and ``region``."""
    region: str | None
    """The region that processes, for example ``ie1``."""
    edge: str | None
    """The edge through which it is reached, for example ``dublin``."""
    calls_per_second: int
    """Starts per second over the account. Default 1; it must not be above what the account has."""
    max_concurrent: int | None
    """Calls and messages at once. Default: no limit."""
    poll_interval: float | timedelta
    """How often is looked when there are no callbacks. Default 5."""
    callback_patience: float | timedelta
    """After how long without callbacks is looked all the same. Default 60."""
    receipt_wait: float | timedelta
    """How long a message is watched for its receipt. Default 30."""
    price_wait: float | timedelta
    """How long after a call its price is asked for, once. Default 1."""
    queue_limit: float | timedelta
    """A call that waits longer in Twilio's queue is taken back. Default 30."""
    min_validity: float | timedelta
    """A message whose window closes sooner waits for the next window. Default 30."""
    lookup_lag: float | timedelta
    """How long lists may not show a new call. Default 15."""
    request_timeout: float | timedelta
    """Longest request. Default 15."""
    language: str
    """How texts are spoken. Default ``en-US``."""
    voice: str | None
    """The voice, for example ``Polly.Amy-Neural``. Default: Twilio's."""


class ElevenLabsSettings(TypedDict, total=False):
    """Settings of an :class:`ElevenLabsDialer`. What is left out takes the engine's default."""

    api_key: Required[str]
    """The key of the workspace."""
    region: Literal["global", "us", "eu", "in", "sg"]
    """Where the account's data lives. Default ``global``."""
    base_url: str | None
    """Another address of the API."""
    agent_id: str | None
    """The agent that talks when nothing else names one."""
    agents: Mapping[int, str]
    """The agent for each ``assistant_id``."""
    agent_phone_number_id: str | None
    """The line that is called from when nothing else names one."""
    phone_numbers: Mapping[str, str]
    """The line for each caller id of a campaign."""
    call_via: Literal["twilio", "sip_trunk", "whatsapp"]
    """Over which line agents call. Default ``twilio``."""
    whatsapp: Mapping[str, Any] | None
    """``phone_number_id``, the ``permission_template`` of calls and the ``message_template`` of messages."""
    override_first_message: bool
    """The campaign's ``welcome_message`` goes before the agent's own. Default true."""
    override_prompt: bool
    """The campaign's ``system_prompt`` and ``agenda`` go before the agent's own. Default true."""
    override_max_duration: bool
    """So does ``max_duration_seconds``. Default false."""
    record: bool
    """Twilio records the call. Default false."""
    machine_detection: Literal["off", "enable", "detect_message_end"]
    """Whether Twilio listens for machines as well. Default ``off``."""
    webhook_secrets: Sequence[str]
    """The secret of the webhook; without one every callback is refused."""
    callback_path: str
    """How the path of callbacks ends. Default ``/elevenlabs``."""
    poll_seconds: int | None
    """Seconds between two looks at a running call. Default 5; 30 with callbacks."""
    lookup_lag_seconds: int
    """After how many seconds a conversation is certainly listed. Default 30."""
    request_timeout_seconds: int
    """The longest time of one request. Default 15."""
    account: str
    """The name of the account that limits belong to. Default ``elevenlabs``."""
    calls_per_second: int | None
    """Calls per second of the account. Default none."""
    max_concurrent: int | None
    """Calls at once that the plan allows. Default none."""
    credit_price: float | None
    """What a credit costs in the campaign's currency."""


class WebhookSettings(TypedDict, total=False):
    """Settings of a :class:`WebhookDialer`. What is left out takes the engine's default."""

    url: Required[str]
    """Where attempts are handed over."""
    secret: Required[str]
    """Signs requests and checks callbacks: ``whsec_`` and base64 of at least 16 bytes."""
    old_secrets: Sequence[str]
    """Secrets that are being replaced."""
    status_url: str | None
    """Where the service is asked what became of an attempt."""
    cancel_url: str | None
    """Where the service is asked to hang up."""
    callback_url: str | None
    """The public address of the callbacks; the service is told it with each attempt."""
    callback_path: str
    """How the path of callbacks ends. Default ``/webhook-dialer``."""
    headers: Mapping[str, str]
    """More headers of requests, for example ``authorization``."""
    channels: Sequence[Channel]
    """The channels that the service serves. Default: all."""
    idempotency: Literal["native", "callback_ref"]
    """``native`` when the service ignores a key that it has seen. Default ``callback_ref``."""
    key_ttl_seconds: int
    """For ``native``: how long it remembers a key. Default 86400."""
    lookup_lag_seconds: int
    """After how many seconds ``status_url`` certainly knows an attempt. Default 5."""
    request_timeout_seconds: int
    """The longest time of one request. Default 15."""
    poll_seconds: int
    """How often a running attempt is asked for at ``status_url``. Default 10."""
    account: str | None
    """The name of the account that limits belong to."""
    calls_per_second: int | None
    """Starts per second. Default none."""
    max_concurrent: int | None
    """Attempts at once. Default none."""
    machine_detection: bool
    """Whether the service tells machines from people. Default false."""
    public_only: bool
    """The addresses come from users: only HTTPS to public addresses. Default false."""


class TwilioDialer(_native.Provider):
    """Places calls and sends SMS and WhatsApp messages with an account at Twilio.

    Settings are read here, and a wrong one is named; they are never shown again. ``docs/providers.md`` explains each.

    >>> TwilioDialer(account_sid="AC" + 32 * "0", auth_token="the token", from_number="+12025550100")
    <TwilioDialer call, sms, whatsapp>
    >>> TwilioDialer(account_sid="AC1", auth_token="the token")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    campaign._errors.InvalidError: must be AC and 32 hexadecimal digits, as the console shows it (field account_sid)
    """

    def __new__(cls, **settings: Unpack[TwilioSettings]) -> Self:
        return super().__new__(cls, "twilio", settings)

    def __repr__(self) -> str:
        return _shown(self)


class ElevenLabsDialer(_native.Provider):
    """Calls and writes with agents of ElevenLabs.

    >>> ElevenLabsDialer(api_key="the-key", agent_id="agent_0123", agent_phone_number_id="phnum_0123")
    <ElevenLabsDialer call>
    """

    def __new__(cls, **settings: Unpack[ElevenLabsSettings]) -> Self:
        return super().__new__(cls, "elevenlabs", settings)

    def __repr__(self) -> str:
        return _shown(self)


class WebhookDialer(_native.Provider):
    """Hands attempts to any service that takes a signed JSON request and reports back; ``docs/webhook-dialer.md`` has the protocol.

    >>> WebhookDialer(url="https://dialer.example.org/attempts", secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", channels=["sms"])
    <WebhookDialer sms>
    """

    def __new__(cls, **settings: Unpack[WebhookSettings]) -> Self:
        return super().__new__(cls, "webhook", settings)

    def __repr__(self) -> str:
        return _shown(self)


def _shown(dialer: _native.Provider) -> str:
    return f"<{type(dialer).__name__} {', '.join(dialer.channels())}>"


class RoutedDialer:
    """Gives each channel a dialer: calls by one provider, messages by another, or by a dialer of your own.

    ``routes`` has for each name the channel or channels and their dialer. The name is written into outcomes, and late callbacks find their
    dialer by it, so it must stay the same. What the whole can do is what all of them can.

    >>> from campaign import SimulatedDialer
    >>> twilio = TwilioDialer(account_sid="AC" + 32 * "0", auth_token="the token")
    >>> RoutedDialer({"voice": ("call", SimulatedDialer()), "text": (["sms", "whatsapp"], twilio)})
    <RoutedDialer voice: call; text: sms, whatsapp>
    """

    def __init__(self, routes: Mapping[str, tuple[Channel | Sequence[Channel], AnyDialer]]) -> None:
        self._routes: list[tuple[str, list[str], Any]] = []
        for name, (channels, dialer) in routes.items():
            self._routes.append((name, [channels] if isinstance(channels, str) else list(channels), dialer))
        _native.check_dialer(self._description(_capabilities))

    def _description(self, one: Callable[[Any], Any]) -> dict[str, Any]:
        routes = [
            {"name": name, "channels": channels, "dialer": dialer._description(one) if isinstance(dialer, RoutedDialer) else one(dialer)}
            for name, channels, dialer in self._routes
        ]
        return {"routed": routes}

    def __repr__(self) -> str:
        routes = [f"{name}: {', '.join(channels)}" for name, channels, _ in self._routes]
        return f"<RoutedDialer {'; '.join(routes)}>"


AnyDialer: TypeAlias = "Dialer | _native.SimulatedDialer | _native.Provider | RoutedDialer"
"""A dialer: an object with the methods of :class:`Dialer`, or one by configuration."""


def _capabilities(dialer: Any) -> dict[str, Any]:
    """What is known of a dialer before there is an engine."""
    if isinstance(dialer, _native.Provider):
        return {"capabilities": {"channels": dialer.channels()}}
    if isinstance(dialer, _native.SimulatedDialer):
        return {"capabilities": {}}
    _, capabilities, can_find, _ = own_form(lambda _: 0, dialer)
    return {"capabilities": capabilities, "can_find": can_find}


class Answers:
    """What the native half asks of a user's dialer: values of the package instead of plain data."""

    def __init__(self, dialer: Any) -> None:
        self.dial = dialer.dial
        find, send = getattr(dialer, "find", None), getattr(dialer, "send", None)
        if find is not None:
            self.find = _converted(find, FindRequest._of)
        if send is not None:
            self.send = _converted(send, OutboundMessage._of)


def _converted(function: Callable[..., Any], convert: Callable[[Any], Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        async def later(data: Any) -> Any:
            return await function(convert(data))

        return later

    def at_once(data: Any) -> Any:
        return function(convert(data))

    return at_once


def own_form(register: Callable[[Any], int], dialer: Any) -> tuple[int, Any, bool, bool]:
    """What the native half takes as a dialer of the user's."""
    check(dialer, "Dialer", ["dial"])
    given = getattr(dialer, "capabilities", None)
    if callable(given):
        given = given()
    capabilities: Any = {} if given is None else plain(given)
    has = {name: callable(getattr(dialer, name, None)) for name in ("find", "send")}
    return (register(Answers(dialer)), capabilities, has["find"], has["send"])


def dialer_form(register: Callable[[Any], int], dialer: Any) -> tuple[dict[str, Any], list[Any]]:
    """What the native half takes as a dialer: a description in which dialers are named by their place in a list, and the list."""
    found: list[Any] = []

    def place(one: Any) -> dict[str, int]:
        found.append(one if isinstance(one, (_native.SimulatedDialer, _native.Provider)) else own_form(register, one))
        return {"place": len(found) - 1}

    return (dialer._description(place) if isinstance(dialer, RoutedDialer) else place(dialer), found)


@dataclass(frozen=True)
class CallbackResponse:
    """What a provider gets back for its callback: send it as it is.

    >>> CallbackResponse(200, {"content-type": "text/xml"}, b"<Response/>")
    CallbackResponse(status=200)
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def _of(cls, data: Mapping[str, Any]) -> CallbackResponse:
        return cls(data["status"], data["headers"], data["body"].encode("latin-1"))

    def __repr__(self) -> str:
        return f"CallbackResponse(status={self.status})"


def request_form(method: str, url: object, headers: Any, body: Any) -> dict[str, Any]:
    """A request of a web framework as the native half takes it."""
    items = getattr(headers, "items", None)
    pairs = cast("Iterable[tuple[Any, Any]]", items() if callable(items) else headers)
    if not isinstance(body, (bytes, bytearray, memoryview)):
        kind = type(body).__name__
        problem = f"the body must be bytes as they came in, not a {kind}: the signature covers every byte"
        raise InvalidError(problem, context={"field": "body"})
    return {
        "method": method,
        "url": str(url),
        "headers": [(_text(name), _text(value)) for name, value in pairs],
        # Each character stands for a byte.
        "body": bytes(cast("bytes", body)).decode("latin-1"),
    }


def _text(value: Any) -> str:
    # Servers (ASGI, WSGI) have headers as bytes or as texts.
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
