"""The flags of a grant, as create, update and import take them."""

from collections.abc import Callable

import pytest
from cli.conftest import Cli
from harness import EVIDENCE

Create = Callable[..., str]

SECRET = "fedcba9876543210fedcba9876543210"


def shown(cli: Cli, name: str = "a") -> dict[str, object]:
    facts: dict[str, object] = cli("token", "show", name, "--json").json()
    return facts


def test_limits_and_networks_are_kept(cli: Cli, create: Create) -> None:
    """They stand in the grant as they were given, each network once, an address as its own."""
    networks = ("--allow-ip", "10.0.0.0/8", "--allow-ip", "2001:db8::1", "--allow-ip", "10.0.0.0/8")
    create("a", "--requests-per-minute", "60", "--budget-day", "12.50", *networks)
    facts = shown(cli)
    assert facts["limits"] == {"requests_per_minute": "60", "budget_day": "12.5"}
    assert facts["allow_ips"] == ["10.0.0.0/8", "2001:db8::1/128"]
    row = cli("token", "list").rows[1]
    words = "requests_per_minute=60,budget_day=12.5,allow_ip=10.0.0.0/8,allow_ip=2001:db8::1/128"
    assert words in row.split()


def test_update_changes_one_limit_and_takes_one_away(cli: Cli, create: Create) -> None:
    """What no flag names stays, limits and everything else."""
    create("a", "--budget-day", "1", "--budget-month", "20", "--allow-ip", "10.0.0.0/8")
    before = shown(cli)
    assert cli("token", "update", "a", "--budget-day", "none", "--concurrent-tasks", "2").code == 0
    after = shown(cli)
    assert after["limits"] == {"concurrent_tasks": "2", "budget_month": "20"}
    assert after["allow_ips"] == before["allow_ips"] == ["10.0.0.0/8"]
    assert cli("token", "update", "a", "--allow-ip", "none").code == 0
    assert shown(cli)["allow_ips"] == []
    assert shown(cli)["limits"] == after["limits"]


def test_both_secrets_of_a_rotation_are_limited(cli: Cli, create: Create) -> None:
    """During a grace the old secret is bound as the new one is."""
    create("a")
    EVIDENCE.secrets.add(cli("token", "rotate", "a", "--grace", "1h").out.strip())
    cli("token", "update", "a", "--budget-day", "1", "--allow-ip", "10.0.0.0/8")
    rows = cli("token", "list", "--json").json()
    assert [(row["limits"], row["allow_ips"]) for row in rows] == [
        ({"budget_day": "1"}, ["10.0.0.0/8"])
    ] * 2


def test_import_again_lifts_no_limit(cli: Cli) -> None:
    """Who deploys again without a word of limits keeps those that were set meanwhile."""
    EVIDENCE.secrets.add(SECRET)
    words = ("token", "import", "app", "--model", "*")
    cli(*words, "--budget-month", "100", PROXY_IMPORT_TOKEN=SECRET)
    cli("token", "update", "app", "--budget-day", "5", "--allow-ip", "10.0.0.0/8")
    assert cli(*words, "--budget-month", "50", PROXY_IMPORT_TOKEN=SECRET).code == 0
    facts = shown(cli, "app")
    assert facts["limits"] == {"budget_day": "5", "budget_month": "50"}
    assert facts["allow_ips"] == ["10.0.0.0/8"]
    cli(*words, "--budget-day", "none", "--allow-ip", "none", PROXY_IMPORT_TOKEN=SECRET)
    facts = shown(cli, "app")
    assert (facts["limits"], facts["allow_ips"]) == ({"budget_month": "50"}, [])


NETWORKS = [
    ("10.0.0.1/8", "write 10.0.0.0/8"),
    ("example.com", "write 10.0.0.0/8 or 2001:db8::1"),
    ("10.0.0.0/33", "write 10.0.0.0/8 or"),
    ("", "'' is no address"),
    ("::ffff:10.0.0.0/104", "write the IPv4 network in it"),
]


@pytest.mark.parametrize(("text", "problem"), NETWORKS)
def test_a_network_that_is_none(cli: Cli, create: Create, text: str, problem: str) -> None:
    """The line names the flag, and what was meant where that can be told."""
    create("a", "--allow-ip", "127.0.0.1")
    said = cli("token", "update", "a", "--allow-ip", text)
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith("--allow-ip: ")
    assert problem in line
    assert shown(cli)["allow_ips"] == ["127.0.0.1/32"]


def test_none_beside_a_network(cli: Cli, create: Create) -> None:
    """Flags that contradict each other are a mistake, not a choice of ours."""
    create("a")
    said = cli("token", "update", "a", "--allow-ip", "none", "--allow-ip", "10.0.0.0/8")
    assert (said.code, said.err) == (
        1,
        "--allow-ip: none takes all networks away; give it alone\n",
    )
