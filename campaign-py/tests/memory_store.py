"""A store in memory, written in Python: the conformance suite's proof that a store can be, and a model for one of your own.

Records are kept in the form in which they come. Every method runs on the event loop without an await, so each is one transaction.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterable
from typing import Any

from campaign import ClosedError, ConflictError, NotFoundError, StaleError, StateError
from campaign.policy import (
    Pacer,
    announce,
    call_counts,
    decide,
    is_success,
    look_back,
    micros,
    settle_ledger,
    suppression,
    text,
    transition,
)

Json = dict[str, Any]

TERMINAL = ("completed", "failed", "no_answer", "busy", "voicemail", "skipped", "cancelled")
STATUSES = ("pending", "in_progress", *TERMINAL)
DISPOSITIONS = [
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
CHANNELS = ("call", "sms", "whatsapp")
NEW_STATE: Json = {
    "status": "pending",
    "reason": None,
    "attempts": 0,
    "step": None,
    "last_disposition": None,
    "last_attempt_at": None,
    "replied_at": None,
    "completed_at": None,
    "answered_calls": 0,
    "call_attempts": 0,
    "duration_seconds": 0,
    "cost": 0,
}
NO_LEDGER: Json = {"in_flight": 0, "next_slot": None, "day": None, "day_starts": 0, "spent": 0, "reserved": 0}
STATE = ("status", "reason", "attempts", "step", "completed_at", "run", "due_at", "version")


def owner_key(owner: Json) -> tuple[str, int]:
    return next(iter(owner.items()))


def scope_key(scope: Any) -> Any:
    return scope if isinstance(scope, str) else next(iter(scope.items()))


def scope_of(key: Any) -> Any:
    return key if isinstance(key, str) else {key[0]: key[1]}


def later(moment: str, seconds: float) -> str:
    return text(micros(moment) + round(seconds * 1e6))


def money(amount: float) -> float:
    return round(amount, 6)


def is_open(attempt: Json) -> bool:
    return attempt["state"] in ("claimed", "placed")


def cost_of(attempt: Json, outcome: Json) -> float:
    return attempt["reserved"] if outcome["cost"] is None else outcome["cost"]


def contains(haystack: str | None, needle: str) -> bool:
    return haystack is not None and needle.lower() in haystack.lower()


def page(items: Iterable[Json], paging: Json, count: bool = True) -> Json:
    found = list(items)
    part = found[paging["offset"] : paging["offset"] + min(paging["limit"], 10_000)]
    return {"items": copy.deepcopy(part), "total": len(found) if count else 0}


class MemoryStore:
    """Everything in memory; nothing is durable."""

    def __init__(self) -> None:
        self._id = uuid.uuid4()
        self._closed = False
        self._changes = 0
        self._campaigns: dict[int, Json] = {}
        self._contacts: dict[int, Json] = {}
        self._attempts: dict[int, Json] = {}
        self._held: dict[int, tuple[str | None, str | None]] = {}
        self._numbers: dict[tuple[str, tuple[str, int]], int] = {}
        self._nodes: dict[int, Json] = {}
        self._ledgers: dict[Any, Json] = {}
        self._suppressions: dict[tuple[str, Any], Json] = {}
        self._documents: dict[tuple[str, str], Json] = {}
        self._sequences: dict[str, int] = {}
        self._last = {"campaign": 0, "contact": 0, "attempt": 0, "node": 0}
        self._created: dict[str, int] = {}
        self._added: dict[str, list[Json]] = {}
        self._claims: dict[str, Json] = {}
        self._events: list[Json] = []

    def _open(self) -> None:
        if self._closed:
            raise ClosedError("the store is closed")

    def _next(self, what: str) -> int:
        self._last[what] += 1
        return self._last[what]

    def _campaign(self, id: int) -> Json:
        self._open()
        if id not in self._campaigns:
            raise NotFoundError(f"campaign {id} does not exist")
        return self._campaigns[id]

    def _contact(self, id: int) -> Json:
        self._open()
        if id not in self._contacts:
            raise NotFoundError(f"contact {id} does not exist")
        return self._contacts[id]

    def _of(self, key: tuple[str, int]) -> list[Json]:
        return [one for _, one in sorted(self._contacts.items()) if owner_key(one["owner"]) == key]

    def _tries(self, contact: int) -> list[Json]:
        return [one for _, one in sorted(self._attempts.items()) if one["contact"] == contact]

    def _emit(self, campaign: int, at: str, event: Json) -> None:
        self._events.append({"campaign_id": campaign, "at": at, **event})

    def _enter(self, contact: Json, status: str, now: str) -> None:
        contact["status"] = status
        contact["completed_at"] = now if status in TERMINAL else None

    # --- campaigns -------------------------------------------------------------------------------------------------------

    async def create_campaign(self, new: Json) -> Json:
        self._open()
        known = self._campaigns.get(self._created.get(new["request_id"], 0))
        if known is not None:
            return copy.deepcopy(known)
        id = self._next("campaign")
        self._created[new["request_id"]] = id
        self._campaigns[id] = {
            "id": id,
            "spec": new["spec"],
            "spec_version": 1,
            "revision": 1,
            "status": "draft",
            "reason": None,
            "run": {"number": 1, "next_start": None, "resetting": False},
            "budget_announced_percent": 0,
            "last_import_file_name": None,
            "last_import_date": None,
            "last_import_row_count": None,
            "created_at": new["now"],
            "updated_at": new["now"],
            "started_at": None,
            "completed_at": None,
        }
        return copy.deepcopy(self._campaigns[id])

    async def campaign(self, id: int) -> Json | None:
        self._open()
        return copy.deepcopy(self._campaigns.get(id))

    async def campaigns(self, query: Json) -> Json:
        self._open()

        def fits(record: Json) -> bool:
            spec, search = record["spec"], query["search"]
            return (
                (not query["statuses"] or record["status"] in query["statuses"])
                and query["campaign_type"] in (None, spec["campaign_type"])
                and query["organization"] in (None, spec["organization"])
                and query["assistant_id"] in (None, spec["assistant_id"])
                and (search is None or contains(spec["name"], search) or contains(spec["description"], search))
            )

        return page((one for _, one in sorted(self._campaigns.items(), reverse=True) if fits(one)), query["paging"])

    async def save_campaign(self, save: Json) -> Json:
        id = save["record"]["id"]
        before = self._campaign(id)
        if before["revision"] != save["expected_revision"]:
            raise ConflictError("the campaign was changed in between; read it again")
        counts = (await self.counts(id))["by_status"]
        waiting = counts.get("pending", 0)
        if save["guard"] == "no_open_contacts" and waiting + counts.get("in_progress", 0) > 0:
            raise StateError("contacts are still pending or in progress")
        if save["guard"] == "some_pending_contacts" and waiting == 0:
            raise StateError("no contact is pending")
        after = {**save["record"], "revision": before["revision"] + 1, "updated_at": save["now"]}
        self._campaigns[id] = after
        self._changes += 1
        spent = self._ledgers.get(("campaign", id), NO_LEDGER)["spent"]
        for event in announce(before, after, spent):
            self._emit(id, save["now"], event)
        return copy.deepcopy(after)

    async def delete_campaign(self, id: int) -> None:
        self._open()
        for contact in self._of(("campaign", id)):
            self._remove(contact)
        self._campaigns.pop(id, None)
        self._ledgers.pop(("campaign", id), None)
        self._created = {request: created for request, created in self._created.items() if created != id}
        self._changes += 1

    # --- contacts --------------------------------------------------------------------------------------------------------

    async def add_contacts(self, add: Json) -> list[Json]:
        self._open()
        if add["request_id"] in self._added:
            return self._added[add["request_id"]]
        kind, id = owner_key(add["owner"])
        run, organization = 1, add["organization"]
        if kind == "campaign":
            record = self._campaign(id)
            organization = record["spec"]["organization"]
            if record["status"] in ("completed", "cancelled", "failed"):
                raise StateError("the campaign has ended")
            run = record["run"]["number"]
        answer = [self._add(add, new, run, organization) for new in add["contacts"]]
        self._added[add["request_id"]] = answer
        return answer

    def _add(self, add: Json, new: Json, run: int, organization: int | None) -> Json:
        key = owner_key(add["owner"])
        known = self._numbers.get((new["phone"], key))
        if known is not None:
            if add["duplicates"] == "skip":
                return {"duplicate": known}
            contact = self._contacts[known]
            for name in ("name", "email", "company", "consent"):
                if new.get(name) is not None:
                    contact[name] = new[name]
            contact["zones"] = new["zones"] or contact["zones"]
            contact["variables"] = {**contact["variables"], **new["variables"]}
            contact["version"] += 1
            return {"updated": known}
        id = self._next("contact")
        contact = {**new, **copy.deepcopy(NEW_STATE), "id": id, "owner": add["owner"], "run": run, "version": 0}
        contact.update(due_at=add["now"], created_at=add["now"])
        suppressed = self._suppressed(new["phone"], key, organization, add["now"])
        verdict = suppression({"suppressed": suppressed, "recent": []})
        if verdict["verdict"] == "never":
            contact.update(status="skipped", reason=verdict["reason"], completed_at=add["now"])
        self._contacts[id] = contact
        self._numbers[new["phone"], key] = id
        return {"suppressed": id} if contact["status"] == "skipped" else {"new": id}

    async def contact(self, id: int) -> Json | None:
        self._open()
        return copy.deepcopy(self._contacts.get(id))

    async def contacts(self, query: Json) -> Json:
        self._open()

        def fits(contact: Json) -> bool:
            search = query["search"]
            return (
                (query["after"] is None or contact["id"] > query["after"])
                and (not query["statuses"] or contact["status"] in query["statuses"])
                and (search is None or any(contains(contact.get(one), search) for one in ("name", "email", "phone")))
            )

        found = (one for one in self._of(owner_key(query["owner"])) if fits(one))
        return page(found, query["paging"], query["count"])

    async def update_contact(self, update: Json) -> Json:
        contact = self._contact(update["id"])
        if contact["version"] != update["expected_version"]:
            raise ConflictError("the contact was changed in between; read it again")
        change = update["transition"]
        if change is not None:
            if change["from"] != contact["status"] or "in_progress" in (change["from"], change["to"]):
                raise StateError(f"a contact that is {contact['status']} cannot become {change['to']}")
            self._enter(contact, change["to"], update["now"])
        for name in ("reason", "due_at", "step", "replied_at"):
            if update[name] is not None:
                contact[name] = update[name]
        contact["version"] += 1
        self._changes += 1
        return copy.deepcopy(contact)

    async def remove_contacts(self, owner: Json, ids: list[int]) -> int:
        self._open()
        chosen = {id: self._contacts[id] for id in ids if id in self._contacts}
        gone = [one for one in chosen.values() if owner_key(one["owner"]) == owner_key(owner) and one["status"] != "in_progress"]
        for contact in gone:
            self._remove(contact)
        self._changes += 1
        return len(gone)

    def _remove(self, contact: Json) -> None:
        del self._contacts[contact["id"]]
        del self._numbers[contact["phone"], owner_key(contact["owner"])]
        for attempt in self._tries(contact["id"]):
            if is_open(attempt):
                # Whether it was handed over is not known, so its start stays counted.
                self._give_back(attempt, {"used": 0})
            del self._attempts[attempt["id"]]
            self._held.pop(attempt["id"], None)

    async def bulk_change(self, change: Json) -> int:
        self._campaign(change["campaign"])
        action, selection = change["action"], change["selection"]
        name = action if isinstance(action, str) else next(iter(action))
        from_statuses = {
            "reset": TERMINAL,
            "cancel": ("pending",),
            "skip": ("pending",),
            "remove_untouched": ("pending", "skipped"),
        }[name]
        statuses = selection.get("statuses") if isinstance(selection, dict) else None
        ids = selection.get("ids") if isinstance(selection, dict) else None
        applies = [
            one
            for one in self._of(("campaign", change["campaign"]))
            if one["status"] in from_statuses
            and (name != "reset" or one["run"] < action["reset"]["run"])
            and (statuses is None or one["status"] in statuses)
            and (ids is None or one["id"] in ids)
        ]
        if ids is None:
            applies.sort(key=lambda one: (STATUSES.index(one["status"]), one["id"]))
        for contact in applies[: change["limit"]]:
            if name == "remove_untouched":
                self._remove(contact)
                continue
            if name == "reset":
                transition(contact["status"], "reset")
                contact.update(copy.deepcopy(NEW_STATE), run=action["reset"]["run"], due_at=change["now"])
            else:
                event: Any = "cancel" if name == "cancel" else {"finish": "skipped"}
                self._enter(contact, transition(contact["status"], event), change["now"])
                contact["reason"] = action[name]["reason"]
            contact["version"] += 1
        self._changes += 1
        return len(applies[: change["limit"]])

    # --- suppressions ----------------------------------------------------------------------------------------------------

    async def suppress(self, entries: list[Json]) -> None:
        self._open()
        for entry in entries:
            self._suppressions[entry["phone"], scope_key(entry["scope"])] = entry
        self._changes += 1

    async def unsuppress(self, keys: list[Json]) -> int:
        self._open()
        self._changes += 1
        gone = [self._suppressions.pop((key["phone"], scope_key(key["scope"])), None) for key in keys]
        return sum(one is not None for one in gone)

    async def suppressions(self, query: Json) -> Json:
        self._open()

        def place(key: tuple[str, Any]) -> tuple[str, int]:
            phone, scope = key
            if scope == "everything":
                return phone, 0
            kind, id = scope
            return phone, -id if kind == "organization" else id

        after = query["after"] and place((query["after"]["phone"], scope_key(query["after"]["scope"])))
        found = (
            entry
            for key, entry in sorted(self._suppressions.items(), key=lambda item: place(item[0]))
            if query["phone"] in (None, key[0])
            and (query["scope"] is None or scope_key(query["scope"]) == key[1])
            and (after is None or place(key) > after)
        )
        return page(found, query["paging"])

    def _organization(self, owner: tuple[str, int]) -> int | None:
        kind, id = owner
        # Whose a list is only the engine knows.
        return self._campaigns[id]["spec"]["organization"] if kind == "campaign" else None

    def _suppressed(self, phone: str, owner: tuple[str, int], organization: int | None, now: str) -> str | None:
        for scope in ("everything", ("organization", organization), owner if owner[0] == "campaign" else None):
            entry = self._suppressions.get((phone, scope))
            if entry is not None and (entry["expires_at"] is None or micros(entry["expires_at"]) > micros(now)):
                return entry["reason"]
        return None

    # --- nodes -----------------------------------------------------------------------------------------------------------

    async def register_node(self, node: Json) -> Json:
        self._open()
        id = self._next("node")
        expires_at = later(node["now"], node["lease"])
        token = {"node": id, "epoch": id}
        self._nodes[id] = {"token": token, "name": node["name"], "started_at": node["now"], "expires_at": expires_at}
        return {"token": token, "store_id": str(self._id), "expires_at": expires_at, "now": node["now"]}

    def _live(self, token: Json, now: str) -> Json:
        self._open()
        node = self._nodes.get(token["node"])
        ended = node is None or node["token"] != token or node["expires_at"] is None
        if node is None or ended or micros(node["expires_at"]) <= micros(now):
            raise StaleError("the node's lease has run out; register it anew")
        return node

    async def renew_node(self, renew: Json) -> None:
        self._live(renew["token"], renew["now"])["expires_at"] = later(renew["now"], renew["lease"])

    async def retire_node(self, token: Json) -> None:
        self._open()
        node = self._nodes.get(token["node"])
        if node is not None and node["token"] == token:
            node["expires_at"] = None
            self._claims = {request: one for request, one in self._claims.items() if one["token"] != token}

    def _holds(self, node: int) -> list[Json]:
        return [one for one in self._attempts.values() if is_open(one) and one["claimed_by"]["node"] == node]

    async def nodes(self, now: str) -> list[Json]:
        self._open()
        return [
            {
                "id": id,
                "name": node["name"],
                "started_at": node["started_at"],
                "expires_at": node["expires_at"],
                "in_flight": len(self._holds(id)),
            }
            for id, node in sorted(self._nodes.items())
            if node["expires_at"] is not None and micros(node["expires_at"]) > micros(now)
        ]

    # --- claim and settle ------------------------------------------------------------------------------------------------

    async def claim(self, request: Json) -> Json:
        self._open()
        known = self._claims.get(request["request_id"])
        if known is not None:
            attempts = [self._attempts[id] for id in known["attempts"] if id in self._attempts]
            claimed = [self._claimed(one) for one in attempts]
            return {**known["answer"], "claimed": claimed, "campaign_changed": False}
        now = request["now"]
        self._live(request["token"], now)
        claims: Json = {
            "claimed": [],
            "campaign_changed": False,
            "block": None,
            "passed_over": 0,
            "more": False,
            "now": now,
        }
        record = self._campaigns.get(request["campaign"])
        ready = record and record["status"] == "running" and record["revision"] == request["expected_revision"]
        if not ready:
            return {**claims, "campaign_changed": True}
        limits = request["limits"]
        scopes = [scope_key(rules["scope"]) for rules in (*limits["shared"], *limits["callers"])]
        pacer = Pacer(limits, [self._ledgers.get(scope, NO_LEDGER) for scope in scopes], now)
        back = look_back(request["gates"])
        since = None if back is None else later(now, -back)
        claimed: list[Json] = []
        looked_at = 0
        for _, _, id in self._due(request):
            contact = self._contacts[id]
            if len(claimed) >= request["max"] or looked_at >= request["max"] + 1000:
                claims["more"] = True
                break
            looked_at += 1
            verdict = decide(request["gates"], contact, self._facts(contact, since, now), now)
            if verdict["verdict"] == "allow":
                slot = pacer.take(contact["due_at"])
                if slot is None:
                    claims.update(block=pacer.block(), more=True)
                    break
                claimed.append(self._begin(request, contact, slot))
                continue
            claims["passed_over"] += 1
            if verdict["verdict"] == "never":
                self._enter(contact, transition("pending", {"finish": "skipped"}), now)
            elif verdict["until"] is not None:
                contact["due_at"] = verdict["until"]
            contact["reason"] = verdict["reason"]
            contact["version"] += 1
        self._ledgers.update(zip(scopes, pacer.ledgers(), strict=True))
        # Ledgers without a rule in this claim count its attempts all the same.
        for attempt in claimed:
            for scope in self._scopes(attempt):
                if scope not in scopes:
                    ledger = self._ledgers.setdefault(scope, dict(NO_LEDGER))
                    ledger["in_flight"] += 1
        if claimed:
            answer = {name: claims[name] for name in ("block", "passed_over", "more", "now")}
            ids = [attempt["id"] for attempt in claimed]
            self._claims[request["request_id"]] = {"token": request["token"], "attempts": ids, "answer": answer}
        claims["claimed"] = [self._claimed(attempt) for attempt in claimed]
        return claims

    def _due(self, request: Json) -> Iterable[tuple[int, int, int]]:
        """Due contacts in the order of the queue. One that was deferred to a moment before the horizon comes up once more."""
        horizon = micros(request["limits"]["horizon"])
        members = self._of(("campaign", request["campaign"]))
        for index, zone in enumerate(request["zones"]):
            place = (-(1 << 63), -1)
            while True:
                queue = [(micros(one["due_at"]), one["id"]) for one in members if one["status"] == "pending" and one["zones"] == zone]
                following = min((key for key in queue if key > place), default=None)
                if following is None or following[0] > horizon:
                    break
                place = following
                yield index, *following

    def _begin(self, request: Json, contact: Json, slot: Json) -> Json:
        self._enter(contact, transition(contact["status"], "claim"), request["now"])
        contact["reason"] = None
        contact["version"] += 1
        id = self._next("attempt")
        attempt: Json = {
            "id": id,
            "key": f"{self._id.hex}-{id}",
            "campaign": request["campaign"],
            "contact": contact["id"],
            "run": contact["run"],
            "number": contact["attempts"] + 1,
            "step": contact["step"] or request["first_step"],
            "from": slot["caller"],
            "spec_version": request["spec_version"],
            "state": "claimed",
            "claimed_by": request["token"],
            "claimed_at": request["now"],
            "start_at": slot["start_at"],
            "not_after": later(slot["start_at"], request["grace"]),
            "reserved": slot["reserved"],
            "provider_ref": None,
            "started_at": None,
            "finished_at": None,
            "outcome": None,
            "reason": None,
        }
        self._attempts[id] = attempt
        self._held[id] = (request["account"], slot["day"])
        event = {"type": "contact_started", "contact_id": contact["id"], "attempt_id": id}
        self._emit(request["campaign"], request["now"], {**event, "channel": attempt["step"]["channel"]})
        return attempt

    def _history(self, contact: Json) -> list[Json]:
        if contact["attempts"] == 0:
            return []
        tries = self._tries(contact["id"])
        return [one for one in tries if one["run"] == contact["run"] and one["state"] == "settled"]

    def _claimed(self, attempt: Json) -> Json:
        contact = self._contacts[attempt["contact"]]
        return copy.deepcopy({"attempt": attempt, "contact": contact, "history": self._history(contact)})

    def _scopes(self, attempt: Json) -> list[Any]:
        account, _ = self._held.get(attempt["id"], (None, None))
        scopes: list[Any] = ["deployment", ("campaign", attempt["campaign"])]
        scopes += [("account", account)] if account is not None else []
        scopes += [("caller", attempt["from"])] if attempt["from"] is not None else []
        return scopes

    def _give_back(self, attempt: Json, release: Any) -> None:
        _, day = self._held.get(attempt["id"], (None, None))
        for scope in self._scopes(attempt):
            reserved = attempt["reserved"] if scope[0] == "campaign" else 0
            self._ledgers[scope] = settle_ledger(self._ledgers.get(scope, NO_LEDGER), reserved, day, release)

    async def placed(self, placed: list[Json]) -> None:
        self._open()
        for report in placed:
            attempt = self._attempts.get(report["attempt"])
            if attempt is not None and is_open(attempt) and attempt["claimed_by"] == report["token"]:
                attempt.update(state="placed", provider_ref=report["provider_ref"], started_at=report["at"])

    async def settle(self, request: Json) -> Json:
        self._open()
        for one in request["settlements"]:
            if one["transition"]["from"] != "in_progress":
                raise StateError(f"an attempt cannot be settled from {one['transition']['from']}")
        acks: list[str] = []
        campaigns: set[int] = set()
        for one in request["settlements"]:
            attempt = self._attempts.get(one["attempt"])
            if attempt is not None:
                campaigns.add(attempt["campaign"])
            held = attempt is not None and is_open(attempt) and attempt["claimed_by"] == request["token"]
            acks.append("settled" if held else "stale")
            if held and attempt is not None:
                self._settle(attempt, one, request["now"])
        sums: list[Json] = []
        for id in sorted(campaigns):
            members = self._of(("campaign", id))
            open_contacts = sum(one["status"] in ("pending", "in_progress") for one in members)
            spent = self._ledgers.get(("campaign", id), NO_LEDGER)["spent"]
            sums.append({"campaign": id, "open": open_contacts, "spent": spent})
        return {"acks": acks, "campaigns": sums}

    def _settle(self, attempt: Json, settlement: Json, now: str) -> None:
        end = settlement["end"]
        outcome = end["finished"] if isinstance(end, dict) else None
        self._give_back(attempt, "unused" if outcome is None else {"used": cost_of(attempt, outcome)})
        attempt["started_at"] = settlement["started_at"] or attempt["started_at"]
        attempt.update(finished_at=now, reason=settlement["reason"])
        contact = self._contacts[attempt["contact"]]
        to = settlement["transition"]["to"]
        self._enter(contact, to, now)
        contact["reason"] = settlement["reason"]
        contact["version"] += 1
        if to == "pending":
            contact["due_at"] = settlement["due_at"] or contact["due_at"]
            contact["step"] = settlement["step"] or contact["step"]
        if outcome is None:
            if end == "unused":
                del self._attempts[attempt["id"]]
            else:
                attempt["state"] = "refused"
            return
        contact["attempts"] += 1
        contact["last_disposition"] = outcome["disposition"]
        contact["last_attempt_at"] = attempt["started_at"] or attempt["start_at"]
        self._sum(contact, attempt, outcome, 1)
        attempt.update(state="settled", outcome=outcome)
        attempt["provider_ref"] = outcome["provider_ref"] or attempt["provider_ref"]
        reached = is_success(outcome["disposition"])
        event: Json = {
            "type": "contact_completed" if reached else "contact_failed",
            "contact_id": attempt["contact"],
            "attempt_id": attempt["id"],
            "channel": attempt["step"]["channel"],
            "disposition": outcome["disposition"],
            "status": to,
            "duration_seconds": outcome["duration_seconds"],
            "cost": cost_of(attempt, outcome),
        }
        self._emit(attempt["campaign"], now, event)

    def _sum(self, contact: Json, attempt: Json, outcome: Json, sign: int) -> None:
        calls, answered = call_counts(attempt["step"]["channel"], outcome["disposition"])
        contact["call_attempts"] = max(0, contact["call_attempts"] + sign * calls)
        contact["answered_calls"] = max(0, contact["answered_calls"] + sign * answered)
        contact["duration_seconds"] = max(0, contact["duration_seconds"] + sign * outcome["duration_seconds"])
        contact["cost"] = money(contact["cost"] + sign * cost_of(attempt, outcome))

    async def amend(self, attempt: int, outcome: Json) -> Json:
        self._open()
        if attempt not in self._attempts:
            raise NotFoundError(f"attempt {attempt} does not exist")
        found = self._attempts[attempt]
        if found["state"] != "settled":
            raise StateError("only a settled attempt can be amended")
        before = found["outcome"]
        for scope in self._scopes(found):
            ledger = self._ledgers.setdefault(scope, dict(NO_LEDGER))
            ledger["spent"] = money(ledger["spent"] + cost_of(found, outcome) - cost_of(found, before))
        contact = self._contacts[found["contact"]]
        if contact["run"] == found["run"]:
            self._sum(contact, found, before, -1)
            self._sum(contact, found, outcome, 1)
            contact["version"] += 1
        found["provider_ref"] = outcome["provider_ref"] or found["provider_ref"]
        found["outcome"] = outcome
        return copy.deepcopy(found)

    async def take_over(self, request: Json) -> list[Json]:
        self._live(request["token"], request["now"])
        now = micros(request["now"])

        def long_ago(moment: str) -> bool:
            return micros(later(moment, request["quarantine"])) <= now

        taken: list[Json] = []
        for node in self._nodes.values():
            end = node["expires_at"]
            if end is None or (micros(end) <= now and long_ago(end)):
                taken += [one for one in self._holds(node["token"]["node"]) if long_ago(one["not_after"])]
        taken = sorted(taken, key=lambda one: one["id"])[: request["limit"]]
        for attempt in taken:
            attempt["claimed_by"] = request["token"]
        return [self._claimed(attempt) for attempt in taken]

    # --- reading ---------------------------------------------------------------------------------------------------------

    async def counts(self, campaign: int) -> Json:
        self._campaign(campaign)
        sums: Json = {"by_status": {}, "call_attempts": 0, "answered_calls": 0, "duration_seconds": 0, "cost": 0}
        for contact in self._of(("campaign", campaign)):
            status = contact["status"]
            sums["by_status"][status] = sums["by_status"].get(status, 0) + 1
            for name in ("call_attempts", "answered_calls", "duration_seconds", "cost"):
                sums[name] += contact[name]
        sums["cost"] = money(sums["cost"])
        return sums

    async def attempts(self, query: Json) -> Json:
        self._open()

        def fits(attempt: Json) -> bool:
            ended = attempt["outcome"] and attempt["outcome"]["disposition"]
            return (
                all(query[name] in (None, attempt[name]) for name in ("campaign", "contact", "run", "id"))
                and query["provider_ref"] in (None, attempt["provider_ref"])
                and (not query["dispositions"] or ended in query["dispositions"])
                and (not query["open_only"] or is_open(attempt))
                and (query["before"] is None or attempt["id"] < query["before"])
            )

        found = (one for _, one in sorted(self._attempts.items(), reverse=True) if fits(one))
        return page(found, query["paging"], query["count"])

    async def pending_zones(self, campaign: int) -> list[Json]:
        self._campaign(campaign)
        first: dict[str, str] = {}
        for contact in self._of(("campaign", campaign)):
            if contact["status"] == "pending":
                known = first.get(contact["zones"], contact["due_at"])
                first[contact["zones"]] = min(known, contact["due_at"], key=micros)
        return [{"zones": zones, "first_due": due} for zones, due in sorted(first.items())]

    async def reasons(self, campaign: int, now: str) -> list[Json]:
        self._campaign(campaign)
        groups: dict[tuple[Any, ...], Json] = {}
        for contact in self._of(("campaign", campaign)):
            pending = contact["status"] == "pending"
            code = contact["reason"] and contact["reason"]["code"]
            due = pending and micros(contact["due_at"]) <= micros(now)
            zones = contact["zones"] if pending else ""
            key = (STATUSES.index(contact["status"]), zones, code is not None, code or "", due)
            shape: Json = {"status": contact["status"], "zones": zones, "code": code, "due": due}
            group = groups.setdefault(key, {**shape, "first_due": None, "count": 0})
            group["count"] += 1
            if pending:
                group["first_due"] = min(group["first_due"] or contact["due_at"], contact["due_at"], key=micros)
        return [group for _, group in sorted(groups.items())]

    async def facts(self, contact: int, since: str | None, now: str) -> Json:
        return self._facts(self._contact(contact), since, now)

    def _facts(self, contact: Json, since: str | None, now: str) -> Json:
        recent: list[tuple[int, int, str, str]] = []
        organization = self._organization(owner_key(contact["owner"]))
        if since is not None:
            for other in self._contacts.values():
                if other["phone"] != contact["phone"] or self._organization(owner_key(other["owner"])) != organization:
                    continue
                for attempt in self._tries(other["id"]):
                    counts = attempt["state"] == "settled" or (is_open(attempt) and other["id"] != contact["id"])
                    at = attempt["started_at"] or attempt["start_at"]
                    if counts and micros(at) >= micros(since):
                        channel = attempt["step"]["channel"]
                        recent.append((micros(at), CHANNELS.index(channel), at, channel))
        recent.sort(reverse=True)
        suppressed = self._suppressed(contact["phone"], owner_key(contact["owner"]), organization, now)
        return {"suppressed": suppressed, "recent": [(at, channel) for _, _, at, channel in recent]}

    async def ledgers(self, scopes: list[Any]) -> list[Json]:
        self._open()
        return [self._ledgers.get(scope_key(scope), NO_LEDGER) for scope in scopes]

    async def timeline(self, query: Json) -> list[Json]:
        self._campaign(query["campaign"])
        length = max(1, query["bucket_seconds"])
        buckets: dict[int, Json] = {}
        for attempt in self._attempts.values():
            at, outcome = attempt["finished_at"], attempt["outcome"]
            if attempt["campaign"] != query["campaign"] or at is None or outcome is None:
                continue
            if not micros(query["from"]) <= micros(at) < micros(query["to"]):
                continue
            start = micros(at) // 1_000_000 // length * length
            empty: Json = {"start": text(start * 1_000_000), "dispositions": {}, "duration_seconds": 0, "cost": 0}
            bucket = buckets.setdefault(start, empty)
            ended = outcome["disposition"]
            bucket["dispositions"][ended] = bucket["dispositions"].get(ended, 0) + 1
            bucket["duration_seconds"] += outcome["duration_seconds"]
            bucket["cost"] = money(bucket["cost"] + cost_of(attempt, outcome))
        return [bucket for _, bucket in sorted(buckets.items())]

    async def changes(self) -> int:
        self._open()
        return self._changes

    async def events(self, query: Json) -> Json:
        self._open()
        last = len(self._events)

        def cursor(place: int) -> Json:
            return {"claimed": place, "settled": place, "saved": place}

        if query["after"] is None:
            return {"events": [], "next": cursor(last), "more": False}
        place = query["after"]["saved"]
        found: list[Json] = []
        while place < last and len(found) < query["limit"]:
            event = self._events[place]
            place += 1
            if query["campaign"] in (None, event["campaign_id"]):
                found.append(event)
        return {"events": found, "next": cursor(place), "more": place < last}

    # --- documents -------------------------------------------------------------------------------------------------------

    async def put_document(self, put: Json) -> int:
        self._open()
        key = (put["collection"], put["key"])
        stored = self._documents.get(key, {"revision": 0})["revision"]
        if put["expected_revision"] not in (None, stored):
            raise ConflictError("the document was changed in between; read it again")
        self._documents[key] = {"key": put["key"], "value": put["value"], "revision": stored + 1}
        return stored + 1

    async def documents(self, query: Json) -> list[Json]:
        self._open()
        found = [
            document
            for (collection, key), document in sorted(self._documents.items())
            if collection == query["collection"] and query["key"] in (None, key) and (query["after"] is None or key > query["after"])
        ]
        return copy.deepcopy(found[: query["limit"]])

    async def delete_document(self, collection: str, key: str) -> bool:
        self._open()
        return self._documents.pop((collection, key), None) is not None

    async def next_number(self, sequence: str) -> int:
        self._open()
        self._sequences[sequence] = self._sequences.get(sequence, 0) + 1
        return self._sequences[sequence]

    # --- copying ---------------------------------------------------------------------------------------------------------

    async def catalog(self) -> Json:
        self._open()
        return {
            "collections": sorted({collection for collection, _ in self._documents}),
            "sequences": sorted(self._sequences.items()),
            "scopes": [scope_of(key) for key in sorted(self._ledgers, key=_scope_order)],
        }

    async def restore(self, snapshot: Json) -> None:
        self._open()
        campaigns = {record["id"] for record in snapshot["campaigns"]}
        contacts = {contact["id"] for contact in snapshot["contacts"]}
        # Everything is checked before anything is written.
        for contact in snapshot["contacts"]:
            kind, id = owner_key(contact["owner"])
            if kind == "campaign" and id not in campaigns:
                self._campaign(id)
        for attempt in snapshot["attempts"]:
            if attempt["contact"] not in contacts:
                self._contact(attempt["contact"])
        for record in snapshot["campaigns"]:
            self._last["campaign"] = max(self._last["campaign"], record["id"])
            self._campaigns[record["id"]] = record
        for contact in snapshot["contacts"]:
            self._last["contact"] = max(self._last["contact"], contact["id"])
            old = self._contacts.get(contact["id"])
            if old is not None:
                del self._numbers[old["phone"], owner_key(old["owner"])]
            self._contacts[contact["id"]] = contact
            self._numbers[contact["phone"], owner_key(contact["owner"])] = contact["id"]
        for attempt in snapshot["attempts"]:
            token = attempt["claimed_by"]
            self._last["attempt"] = max(self._last["attempt"], attempt["id"])
            # Tokens given later must be higher than the one that holds a restored attempt.
            self._last["node"] = max(self._last["node"], token["epoch"], token["node"])
            gone: Json = {"token": token, "name": "", "started_at": "1970-01-01T00:00:00Z", "expires_at": None}
            self._nodes.setdefault(token["node"], gone)
            self._attempts[attempt["id"]] = attempt
            self._held[attempt["id"]] = (None, None)
        await self.suppress(snapshot["suppressions"])
        for collection, document in snapshot["documents"]:
            self._documents[collection, document["key"]] = document
        for name, last in snapshot["sequences"]:
            self._sequences[name] = max(last, self._sequences.get(name, 0))
        for scope, ledger in snapshot["ledgers"]:
            self._ledgers[scope_key(scope)] = ledger

    async def close(self) -> None:
        self._closed = True


def _scope_order(key: Any) -> tuple[Any, ...]:
    if key == "deployment":
        return (0, 0, "")
    kind, value = key
    return {"account": (1, 0, value), "campaign": (2, value, ""), "caller": (3, 0, value)}[kind]
