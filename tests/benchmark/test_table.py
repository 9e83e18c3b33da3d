"""Targets, verdicts and tables."""

from pathlib import Path

import pytest

from bench.findings import Finding, Section, Target, added
from bench.samples import Samples, Spread
from bench.table import cells, figures, findings, for_readme, losses, rewrite

AT_MOST = Target(2.5, "× nginx")
AT_LEAST = Target(1.8, "× 1 worker", is_least=True)
MET = Finding("relay", Spread(2.4, 2.3, 2.45), AT_MOST, note="36 us")
UNCLEAR = Finding("poll", Spread(2.4, 2.3, 2.6), AT_MOST)
LOST = Finding("workers", Spread(1.5, 1.4, 1.6), AT_LEAST)
NOT_MEASURABLE = Finding("streams", None, AT_MOST, note="2 cores")
TOLD = Finding("gate", Spread(1500, 1400, 1600), unit="MB/s")


@pytest.mark.parametrize(
    ("finding", "row"),
    [
        (MET, ("relay", "≤ 2.5 × nginx", "2.4 × nginx (2.3 to 2.45); 36 us", "yes")),
        (UNCLEAR, ("poll", "≤ 2.5 × nginx", "2.4 × nginx (2.3 to 2.6)", "unclear")),
        (LOST, ("workers", "≥ 1.8 × 1 worker", "1.5 × 1 worker (1.4 to 1.6)", "**no**")),
        (NOT_MEASURABLE, ("streams", "≤ 2.5 × nginx", "2 cores", "not measurable here")),
        (TOLD, ("gate", "", "1,500 MB/s (1,400 to 1,600)", "")),
    ],
)
def test_a_row_says_target_measured_and_verdict(finding: Finding, row: tuple[str, ...]) -> None:
    """A target is met, or not, by all rounds; what cannot be measured is neither."""
    assert cells(finding) == row


def test_json_has_what_the_table_has() -> None:
    """And the numbers as numbers."""
    told = LOST.told()
    assert (told["median"], told["limit"], told["met"]) == (1.5, 1.8, False)
    assert NOT_MEASURABLE.told()["met"] is None


def test_what_adds_as_much_as_nginx_is_one_nginx() -> None:
    """Where nginx adds nothing that can be told, the row is not measurable, with both figures."""
    samples = Samples()
    for name, value in (("direct", 1.0), ("nginx", 1.5), ("proxy", 2.0)):
        samples.add(name, {"p99": value})
    assert added(samples, "p99", "proxy", "delay", AT_MOST).value == Spread(2, 2, 2)
    samples.add("nginx", {"p99": 0.1})
    nothing = added(samples, "p99", "proxy", "delay", AT_MOST)
    assert (nothing.value, nothing.note) == (None, "adds 1 ms, nginx -0.2")


def test_columns_stand_under_each_other() -> None:
    """On a terminal, figures by contestant and findings."""
    samples = Samples({"nginx": [{"cpu": 15.0}], "HAProxy": [{"cpu": 14.0}]})
    lines = figures(Section("relay", [], samples))
    assert lines[0].index("CPU us each") == lines[1].index("15") == lines[2].index("14")
    assert figures(Section("gate", [TOLD])) == []
    assert [line.split()[0] for line in findings([MET, LOST])] == ["what", "relay", "workers"]


def test_the_readme_says_where_we_lose(tmp_path: Path) -> None:
    """Between its marks, with date, machine and command; nothing else of it changes."""
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n", "utf-8")
    found = [MET, UNCLEAR, LOST, NOT_MEASURABLE, TOLD]
    beside = Section("relay of a call", [MET], Samples({"nginx": [{"cpu": 15.0, "rps": 9000.4}]}))
    rewrite(readme, for_readme(found, [beside], "`make bench`, 20 November 2026, 2-core VM."))
    text = readme.read_text("utf-8")
    assert text.startswith("before\n<!-- bench: begin -->\n`make bench`, 20 November 2026, 2-core")
    assert text.endswith("<!-- bench: end -->\nafter\n")
    assert "| relay | ≤ 2.5 × nginx | 2.4 × nginx (2.3 to 2.45); 36 us | yes |" in text
    assert (
        "| relay of a call | CPU us each | a second |\n|---|---|---|\n| nginx | 15 | 9,000 |"
        in text
    )
    assert "\nWhere we lose:\n- workers: 1.5 × 1 worker\n\n" in text
    assert "| gate | 1,500 MB/s (1,400 to 1,600) |" in text
    assert "old" not in text


def test_both_kinds_of_token_lose_on_one_line() -> None:
    """Each target has its own; what is unclear is not lost."""
    found = [
        Finding(f"relay, proxy {token}", Spread(value, value, value), AT_MOST)
        for token, value in (("with limits", 9), ("without limits", 8))
    ]
    other = Finding("relay, proxy with limits", Spread(3, 3, 3), Target(0.6, "× Caddy"))
    assert losses([*found, other, UNCLEAR, LOST]) == [
        "relay: 9 × nginx with limits, 8 × nginx without limits",
        "relay: 3 × Caddy with limits",
        "workers: 1.5 × 1 worker",
    ]


def test_a_readme_without_a_place_is_left_alone(tmp_path: Path) -> None:
    """And the run says so."""
    readme = tmp_path / "README.md"
    readme.write_text("nothing", "utf-8")
    with pytest.raises(ValueError, match="0 places"):
        rewrite(readme, "table")
    assert readme.read_text("utf-8") == "nothing"
