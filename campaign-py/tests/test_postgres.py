"""Several nodes on one PostgreSQL, whose URL is in DATABASE_URL; `scripts/python.sh` starts a private one."""

from __future__ import annotations

import asyncio
import os

import campaign
from conftest import PEOPLE, dialer, running
from memory_store import MemoryStore


async def test_two_nodes_on_postgres() -> None:
    url = os.environ.get("DATABASE_URL")
    assert url, "DATABASE_URL is not set; run the tests with scripts/python.sh, which starts a server for them"
    dialled: dict[str, list[int]] = {"a": [], "b": []}

    def node(name: str) -> object:
        async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
            dialled[name].append(request.contact_id)
            await context.placed(f"{name}-{request.attempt_id}")
            return "answered"

        return dialer(dial)

    async with (
        await campaign.Engine.open(url, dialer=node("a"), node_name="a", poll_interval=0.05) as a,
        await campaign.Engine.open(url, dialer=node("b"), node_name="b", poll_interval=0.05) as b,
    ):
        assert {one.name for one in await a.nodes()} == {"a", "b"}
        made = await running(a, len(PEOPLE), concurrent_limit=4)
        ends = await asyncio.gather(a.wait(made.id), b.wait(made.id))
        assert [one.completed_contacts for one in ends] == [len(PEOPLE)] * 2
        both = dialled["a"] + dialled["b"]
        assert len(both) == len(set(both)) == len(PEOPLE)
        assert (await b.executions(made.id)).total == len(PEOPLE)
    target = MemoryStore()
    copied = await campaign.copy_store(url, target)
    assert (copied.contacts, copied.attempts) == (len(PEOPLE), len(PEOPLE))
