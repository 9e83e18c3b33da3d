"""Ids of requests: unique, and told by nothing that came before."""

import re

from proxy.edge.request_ids import RequestIds


def test_an_id_is_told_once() -> None:
    """However many are taken, from however many processes' sources."""
    sources = [RequestIds() for _ in range(3)]
    ids = [source.next() for source in sources for _ in range(3000)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_every_bit_is_random() -> None:
    """No prefix, no counter, no clock: each digit of an id takes every value."""
    source = RequestIds()
    ids = [source.next() for _ in range(2000)]
    assert all(len(set(column)) == 16 for column in zip(*ids, strict=True))
