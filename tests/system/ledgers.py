"""What whole processes leave in the ledger, and what upstream would have billed for it.

The bill is made by hand out of the sandbox's own tasks, by the page's words and not by our code.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from proxy.config.routing import PACKAGED
from proxy.core.policy import Grant, digest_of
from proxy.core.settlement import UsageRecord
from proxy.ports import Store
from proxy.sandbox.ledger import Task
from proxy.stores import open_store

TOKEN = "tok-of-somebody-with-a-budget"
TENANT = "acme"

PRICES = """
currency: CNY
prices:
  - models: ["wan2.6-*", "kling/*"]
    billing_method: duration
    duration_pricing:
      - {max_resolution_inclusive: 480, price: 0.33}
      - {max_resolution_inclusive: 720, price: 0.61}
      - {max_resolution_inclusive: null, price: 1.07}
"""

SIZES = {"832*480": Decimal("0.33"), "1280*720": Decimal("0.61"), "1920*1080": Decimal("1.07")}
"""What a second costs in each size that is asked for here, by hand."""


def priced_routes(folder: Path) -> Path:
    """The packaged routes with the prices above, as a file."""
    routes = folder / "routes.yaml"
    routes.write_text(PACKAGED.read_text("utf-8") + PRICES, "utf-8")
    return routes


def billed(task: Task) -> Decimal:
    """What the task would have cost at upstream: nothing unless it succeeded."""
    if task.doom is not None or task.canceled:
        return Decimal(0)
    return Decimal(str(task.parameters["duration"])) * SIZES[task.parameters["size"]]


@asynccontextmanager
async def ledger(url: str) -> AsyncIterator[Store]:
    """The store that the processes share."""
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def let_in(store: Store, grant: Grant) -> None:
    """Give the grant to the token of these tests."""
    await store.save_grant(digest_of(TOKEN), grant)


async def all_records(store: Store) -> list[UsageRecord]:
    """Every record, in the order they were written."""
    found: list[UsageRecord] = []
    after = ""
    while page := await store.records(after, 1000):
        found += [record for _, record in page]
        after = page[-1][0]
    return found


async def nothing_open(store: Store, seconds: float) -> None:
    """Wait until every task that was claimed is settled."""
    async with asyncio.timeout(seconds):
        while await store.due_tasks(1, ahead=10.0**9):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.05)
