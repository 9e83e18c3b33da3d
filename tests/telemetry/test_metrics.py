"""The counters, and what the page for a scraper is called."""

from prometheus_client.parser import text_string_to_metric_families
from telemetry.conftest import Told, finish, visit

from proxy.core.freshness import PollOutcome
from proxy.core.settlement import Basis, Kind, UsageRecord


def test_counters(told: Told) -> None:
    """Requests by route, status and code; seconds; bytes; what runs."""
    told.telemetry.started()
    assert told.count("running_requests") == 1
    told.telemetry.finished(visit(route="a", bytes_in=10, bytes_out=20, first_byte=0.1))
    finish(told, route="a", status=403, code="model_not_found", bytes_in=5, total=0.5)
    finish(told, status=404, code="NotFound")
    assert told.count("running_requests") == 0
    assert told.count("requests_total") == 3
    assert told.count("requests_total", route="a", status="200", code="") == 1
    assert told.count("requests_total", route="a", status="403", code="model_not_found") == 1
    assert told.count("requests_total", route="none", status="404") == 1
    assert told.count("body_bytes_total", direction="in") == 15
    assert told.count("body_bytes_total", direction="out") == 20
    assert told.count("request_seconds_count", route="a") == 2
    assert told.count("request_seconds_sum", route="a") == 0.75
    assert told.count("first_byte_seconds_count", route="a") == 1


def test_polls_are_counted_by_outcome(told: Told) -> None:
    """How each poll was answered; what is none is not counted."""
    for outcome in (*PollOutcome, PollOutcome.HELD, None):
        finish(told, route="task-poll", poll=outcome)
    assert told.count("polls_total", outcome="held") == 2
    assert told.count("polls_total") == 5


def test_names_of_the_page(told: Told) -> None:
    """What dashboards are built on: names, types, the namespace, nothing of the interpreter's."""
    finish(told, route="a", first_byte=0.1)
    told.telemetry.event("listening")
    text, kind = told.metrics.page()
    found = text_string_to_metric_families(text.decode())
    families = {f.name: f.type for f in found if not f.name.endswith("_created")}
    assert families == {
        "dashscope_proxy_requests": "counter",
        "dashscope_proxy_request_seconds": "histogram",
        "dashscope_proxy_first_byte_seconds": "histogram",
        "dashscope_proxy_body_bytes": "counter",
        "dashscope_proxy_running_requests": "gauge",
        "dashscope_proxy_store_up": "gauge",
        "dashscope_proxy_events": "counter",
        "dashscope_proxy_polls": "counter",
        "dashscope_proxy_limited": "counter",
        "dashscope_proxy_usage_records": "counter",
        "dashscope_proxy_usage_amount": "counter",
        "dashscope_proxy_holds": "gauge",
        "dashscope_proxy_unsettled": "gauge",
        "dashscope_proxy_lost_log_lines": "counter",
    }
    assert kind.startswith("text/plain")


def test_callers_make_no_labels(told: Told) -> None:
    """A thousand models, tokens, tasks and methods are one series: labels are our own words."""
    finish(told, route="a")
    before = told.metrics.page()[0].count(b"\n")
    for number in range(1000):
        word = f"w{number}"
        finish(
            told,
            route="a",
            method=word,
            model=word,
            token_name=word,
            tenant=word,
            task_id=word,
            alias=word,
            upstream_request_id=word,
        )
    assert told.metrics.page()[0].count(b"\n") == before


def test_limits_and_usage_are_counted(told: Told) -> None:
    """Refusals by limit, records by what they rest on, amounts by currency, and what is open."""
    record = UsageRecord("t1", Kind.TASK, "a", "g1", "main", "m", "SUCCEEDED", 1.0, 2.0)
    priced = record._replace(amount=1_500_000_000, currency="CNY", basis=Basis.USAGE)
    for one in (record, priced, priced):
        told.telemetry.settled(one)
    told.telemetry.limited("budget-day")
    told.telemetry.metered(held=3, unsettled=2)
    assert told.count("usage_records_total", kind="task", basis="usage") == 2
    assert told.count("usage_records_total", kind="task", basis="nothing") == 1
    assert told.count("usage_amount_total", currency="CNY") == 3.0
    assert told.count("limited_total", limit="budget-day") == 1
    assert (told.count("holds"), told.count("unsettled")) == (3, 2)
