"""Which account serves a call: always the same one, by weight, never a drained or sick one."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.accounts import Account, choose, model_not_found, shared
from proxy.core.errors import ProxyError, Situation

A = Account("a", "https://a.example", "key-of-a")
B = Account("b", "https://b.example", "key-of-b")
C = Account("c", "https://c.example", "key-of-c")
TENANTS = [f"tenant-{number}" for number in range(2000)]


def shares(accounts: list[Account], unhealthy: frozenset[str] = frozenset()) -> dict[str, float]:
    """Which part of the tenants each account serves. Pure hashing, so always the same part."""
    names = (choose(accounts, "wan", tenant, unhealthy).name for tenant in TENANTS)
    return {name: count / len(TENANTS) for name, count in Counter(names).items()}


@given(st.text(), st.none() | st.text(), st.permutations([A, B, C]))
def test_a_tenant_and_model_keep_their_account(
    tenant: str, model: str | None, order: list[Account]
) -> None:
    """The order of the list, the process and the time change nothing: tasks and uploads stay."""
    assert choose(order, model, tenant) == choose([A, B, C], model, tenant)


@given(st.text(), st.sampled_from(["a", "b", "c"]))
def test_a_sick_account_moves_only_its_own(tenant: str, sick: str) -> None:
    """Whoever was served elsewhere stays there; whoever was not goes to a healthy one."""
    before = choose([A, B, C], "wan", tenant).name
    after = choose([A, B, C], "wan", tenant, {sick}).name
    assert after != sick
    assert before in {after, sick}


def test_a_new_account_takes_only_its_share() -> None:
    """Rendezvous hashing: nobody moves between the accounts that were there before."""
    moved = {
        (choose([A, B], "wan", tenant).name, choose([A, B, C], "wan", tenant).name)
        for tenant in TENANTS
    }
    assert moved == {("a", "a"), ("b", "b"), ("a", "c"), ("b", "c")}


def test_models_of_one_tenant_spread() -> None:
    """The choice goes by tenant and model together; the two do not run into each other."""
    assert {choose([A, B], f"wan-{n}", "t").name for n in range(50)} == {"a", "b"}
    assert {choose([A, B], "n", "t" * n).name for n in range(50)} == {"a", "b"}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((1, 1), (0.5, 0.5)),
        ((3, 1), (0.75, 0.25)),
        ((0.3, 0.1), (0.75, 0.25)),
        ((1000, 1), (0.999, 0.001)),
    ],
)
def test_shares_follow_the_weights(
    weights: tuple[float, float], expected: tuple[float, float]
) -> None:
    """Roughly, over many tenants; only the ratio of the weights counts."""
    found = shares([replace(A, weight=weights[0]), replace(B, weight=weights[1])])
    assert found.get("a", 0) == pytest.approx(expected[0], abs=0.03)
    assert found.get("b", 0) == pytest.approx(expected[1], abs=0.03)


def test_a_drained_account_takes_nothing_new() -> None:
    """Weight 0 is never chosen, not even when it is the only healthy one, or the only one."""
    drained = replace(A, weight=0)
    assert shares([drained, B]) == {"b": 1}
    assert choose([drained, B], "wan", "t", {"b"}) is B
    with pytest.raises(ProxyError) as refusal:
        choose([drained], "wan", "t")
    assert refusal.value.situation is Situation.MODEL_NOT_FOUND


def test_only_bound_accounts_serve_a_model() -> None:
    """`models` are patterns for the whole name; a call without a model goes to any account."""
    wan, kling = replace(A, models=("wan*",)), replace(B, models=("kling/*", "vidu"))
    for tenant in TENANTS[:20]:
        assert choose([wan, kling], "wan2.6-t2v", tenant) is wan
        assert choose([wan, kling], "kling/v3", tenant) is kling
        assert choose([wan, kling], "vidu", tenant, {"b"}) is kling
    assert {choose([wan, kling], None, tenant).name for tenant in TENANTS[:50]} == {"a", "b"}


def test_an_account_serves_all_models_of_a_call() -> None:
    """A call that names several goes where all are bound, and the first decides which of those."""
    wan, both = replace(A, models=("wan*",)), replace(B, models=("wan*", "qwen*"))
    for tenant in TENANTS[:20]:
        assert choose([wan, both], "wan", tenant, also=["qwen"]) is both
        assert choose([wan, both], "wan", tenant, also=["wan"]) is choose(
            [wan, both], "wan", tenant
        )
    with pytest.raises(ProxyError) as refusal:
        choose([wan, both], "wan", "t", also=["qwen", "kling"])
    assert refusal.value.situation is Situation.MODEL_NOT_FOUND


@pytest.mark.parametrize(
    ("accounts", "unhealthy", "situation"),
    [
        ([], (), Situation.MODEL_NOT_FOUND),
        ([replace(A, models=("x",)), replace(B, models=())], (), Situation.MODEL_NOT_FOUND),
        ([replace(A, models=("x",))], ("a",), Situation.MODEL_NOT_FOUND),
        ([replace(A, models=("WAN",)), B, C], ("b", "c"), Situation.MODEL_UNAVAILABLE),
        ([A, B], ("a", "b"), Situation.MODEL_UNAVAILABLE),
        ([A, B, C], ("c", "b", "a", "other"), Situation.MODEL_UNAVAILABLE),
    ],
)
def test_none_bound_is_not_none_healthy(
    accounts: list[Account], unhealthy: tuple[str, ...], situation: Situation
) -> None:
    """No account for the model reads like a model that is not allowed; sick ones are a 503."""
    with pytest.raises(ProxyError) as refusal:
        choose(accounts, "wan", "t", unhealthy)
    assert refusal.value.situation is situation
    if situation is Situation.MODEL_NOT_FOUND:
        assert refusal.value.message == model_not_found().message


def test_a_single_candidate_is_always_tried() -> None:
    """Refusing on behalf of the only account helps nobody."""
    assert choose([A], "wan", "t", {"a"}) is A
    assert choose([A, replace(B, models=("x",))], "wan", "t", {"a", "b"}) is A


def test_the_key_is_in_no_repr() -> None:
    """A key that is printed is a key that is lost."""
    account = Account("a", "https://a.example", "sk-secret", workspace="ws")
    assert "sk-secret" not in repr(account)
    assert "sk-secret" not in str([account])
    assert "https://a.example" in repr(account)


def test_processes_share_what_is_limited() -> None:
    """Together they ask no more than the account allows; nothing else is divided."""
    mine = shared([A, replace(B, polls_per_second=6, weight=3)], 4)
    few = shared([replace(A, connections=number) for number in (100, 2)], 4)
    assert [account.connections for account in (*few, *mine)] == [25, 1, None, None]
    assert [account.polls_per_second for account in mine] == [5, 1.5]
    assert replace(mine[1], polls_per_second=6) == replace(B, polls_per_second=6, weight=3)
