"""Counts of requests and records in plain numbers, for the counters to take over now and then.

prometheus_client looks labels up under a lock, counts under another, and with several workers
writes each number into a file: seven of its counters took 25 times what this takes, for each
request.
"""

from bisect import bisect_left
from collections.abc import Sequence

from proxy.core.settlement import UsageRecord
from proxy.ports import Visit

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""The histograms' upper bounds; whatever is above has a place of its own behind them."""


class Durations:
    """How many of each length, and their sum in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds


class Tally:
    """What requests of one route, status and code came to."""

    __slots__ = ("bytes_in", "bytes_out", "first_byte", "polls", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = self.bytes_in = self.bytes_out = 0
        self.seconds = Durations()
        self.first_byte = Durations()
        self.polls: dict[str, int] = {}


class Tallies:
    """What is not counted up yet, and how many requests run.

    Keys are the proxy's own words and upstream's status codes: a caller makes none.
    """

    def __init__(self) -> None:
        self.running = 0
        self._open: dict[tuple[str, int, str], Tally] = {}
        self._records: dict[tuple[str, str], int] = {}
        self._amounts: dict[str, int] = {}

    def finished(self, visit: Visit) -> None:
        """Count a request that has ended."""
        self.running -= 1
        key = (visit.route, visit.status, visit.code)
        tally = self._open.get(key)
        if tally is None:
            tally = self._open[key] = Tally()
        tally.requests += 1
        tally.bytes_in += visit.bytes_in
        tally.bytes_out += visit.bytes_out
        tally.seconds.add(visit.total)
        if visit.first_byte is not None:
            tally.first_byte.add(visit.first_byte)
        if visit.poll:
            tally.polls[visit.poll] = tally.polls.get(visit.poll, 0) + 1

    def settled(self, record: UsageRecord) -> None:
        """Count a record that is in the ledger."""
        rest = (record.kind, record.basis)
        self._records[rest] = self._records.get(rest, 0) + 1
        if record.currency:
            self._amounts[record.currency] = self._amounts.get(record.currency, 0) + record.amount

    def take_settled(self) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
        """Records by kind and basis, and billionths by currency, since they were taken last."""
        taken = self._records, self._amounts
        self._records, self._amounts = {}, {}
        return taken

    def take(self) -> Sequence[tuple[tuple[str, int, str], Tally]]:
        """What came since it was taken last, by route (empty for none), status and code."""
        taken, self._open = self._open, {}
        return tuple(taken.items())
