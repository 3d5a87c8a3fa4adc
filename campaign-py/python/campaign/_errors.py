"""Errors: one class per kind, each with the fitting builtin as second base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "CampaignError",
    "ClosedError",
    "ConflictError",
    "CorruptError",
    "DialError",
    "FullError",
    "InDoubt",
    "InternalError",
    "InvalidError",
    "NotFoundError",
    "Permanent",
    "ProviderError",
    "StaleError",
    "StateError",
    "Suppressed",
    "TemplateError",
    "Throttled",
    "ThrottledError",
    "Transient",
    "UnavailableError",
    "UserCodeError",
]


class CampaignError(Exception):
    """Something went wrong. ``kind`` says what sort of thing, ``context`` where, ``retry_after`` when trying again may help.

    An exception that user code raised (a dialer, a store) is the ``__cause__``.

    >>> error = InvalidError("must be at least 1", context={"field": "max_attempts"})
    >>> error.kind, error.retry_after, str(error)
    ('invalid', None, 'must be at least 1 (field max_attempts)')
    >>> isinstance(error, ValueError)
    True
    """

    kind: ClassVar[str] = "internal"
    """What sort of thing went wrong, for example ``not_found``."""

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        retry: str | None = None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message: str = message
        """The message without its context."""
        self.retry_after: float | None = retry_after
        """Seconds after which the same call may succeed; ``None`` when trying again does not help."""
        self.retry: str = retry if retry is not None else ("never" if retry_after is None else "after")
        """``never``, ``after`` or ``exhausted`` (it was retried below, and given up)."""
        self.context: dict[str, str] = dict(context or {})
        """Where it happened: ``field``, ``line``, ``column``, ``campaign``, ..."""

    def __str__(self) -> str:
        if not self.context:
            return self.message
        return f"{self.message} ({', '.join(f'{key} {value}' for key, value in self.context.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"retry_after": self.retry_after, "retry": self.retry, "context": self.context}
        return (type(self), (self.message,), state)


class InvalidError(CampaignError, ValueError):
    """An argument, a field or a file is not acceptable as it is."""

    kind = "invalid"


class NotFoundError(CampaignError, LookupError):
    """The thing named does not exist."""

    kind = "not_found"


class ConflictError(CampaignError, RuntimeError):
    """The thing exists already, or somebody else changed it in between."""

    kind = "conflict"


class StateError(CampaignError, RuntimeError):
    """The step is not possible in the present state, for example pausing a draft."""

    kind = "state"


class TemplateError(CampaignError, ValueError):
    """A template does not compile or render."""

    kind = "template"


class ThrottledError(CampaignError, RuntimeError):
    """A limit of the engine or of a provider was reached; nothing was done."""

    kind = "throttled"


class UnavailableError(CampaignError, ConnectionError):
    """The store cannot be reached or is busy."""

    kind = "unavailable"


class CorruptError(CampaignError, OSError):
    """The store is damaged or from a newer version."""

    kind = "corrupt"


class FullError(CampaignError, OSError):
    """The disk (or the quota) is full."""

    kind = "full"


class StaleError(CampaignError, RuntimeError):
    """This node has lost its lease; its claims belong to others now."""

    kind = "stale"


class ClosedError(CampaignError, RuntimeError):
    """The engine is shutting down."""

    kind = "closed"


class ProviderError(CampaignError, RuntimeError):
    """The provider reported an error."""

    kind = "provider"


class UserCodeError(CampaignError, RuntimeError):
    """User code (a dialer, a store, a campaign) failed; what it raised is the ``__cause__``."""

    kind = "user"


class InternalError(CampaignError, RuntimeError):
    """A defect of the engine itself."""

    kind = "internal"


class DialError(CampaignError, RuntimeError):
    """What a dialer raises when a hand-off led to no outcome; raise one of its subclasses.

    Anything else that a dialer raises counts as :class:`InDoubt`: nobody knows whether the call was placed.
    """

    kind = "in_doubt"


class Throttled(DialError, ThrottledError):
    """Certainly not placed: too fast, or out of capacity. Consumes no attempt.

    >>> Throttled("slow down", retry_after=2.5).retry_after
    2.5
    """

    kind = "throttled"


class Transient(DialError):
    """Certainly not placed, and may work later. Consumes an attempt."""

    kind = "transient"


class Permanent(DialError):
    """Certainly not placed, and never will be for this contact. Ends the contact."""

    kind = "permanent"


class Suppressed(DialError):
    """Certainly not placed: the provider knows that the person opted out. Suppresses the number."""

    kind = "suppressed"


class InDoubt(DialError):
    """Nobody knows whether it was placed: the answer was lost. The engine asks with ``find``."""

    kind = "in_doubt"


_CLASSES: dict[str, type[CampaignError]] = {
    found.__name__: found
    for found in (
        InvalidError,
        NotFoundError,
        ConflictError,
        StateError,
        TemplateError,
        ThrottledError,
        UnavailableError,
        CorruptError,
        FullError,
        StaleError,
        ClosedError,
        ProviderError,
        UserCodeError,
        InternalError,
    )
}


def exception_of(flat: dict[str, Any], cause: BaseException | None) -> CampaignError:
    """The exception for an error of the engine. Called by the native half."""
    found = _CLASSES.get(flat["python"], CampaignError)
    error = found(flat["message"], retry_after=flat["retry_after"], retry=flat["retry"], context=flat["context"])
    error.__cause__ = cause
    return error


def form_of(error: BaseException, *, dialing: bool = False) -> dict[str, Any] | None:
    """What the engine is told about an exception of user code: its kind when it was raised on purpose, else nothing.

    Out of a dialer only a :class:`DialError` speaks of the call. What the engine itself raised into it, a :class:`ThrottledError` of a
    query for example, says nothing about whether a call was placed.
    """
    if not isinstance(error, DialError if dialing else CampaignError):
        return None
    # A subclass may have left out our constructor.
    message: object = getattr(error, "message", None)
    retry_after: object = getattr(error, "retry_after", None)
    seconds = float(retry_after) if isinstance(retry_after, (int, float)) and 0 <= retry_after < 1e9 else None
    return {
        "kind": error.kind,
        "message": str(message) if message else None,
        "retry_after": seconds,
    }
