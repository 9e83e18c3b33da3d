"""The life of a token on the command line."""

import hashlib
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import Cli, plant_unreadable
from harness import EVIDENCE

Create = Callable[..., str]


def dumped(state: Path) -> bytes:
    """Every byte the embedded store wrote."""
    files = [path.read_bytes() for path in state.rglob("proxy.db*")]
    EVIDENCE.written += files
    assert files
    return b"".join(files)


def test_a_secret_is_printed_alone(cli: Cli, create: Create, state: Path) -> None:
    """Standard output is the secret and nothing else, so that `$(…)` takes it whole."""
    secret = create("alice")
    assert secret.startswith("sk-")
    assert len(secret) > 40
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in dumped(state)
    assert "alice" in cli("token", "list").out


def test_a_secret_is_never_seen_again(cli: Cli, create: Create, state: Path) -> None:
    """Neither list, nor show, nor their JSON, nor the store's file holds a secret once made."""
    secrets = [create("alice"), create("bob", "--tenant", "acme", "--scope", "account")]
    rotated = cli("token", "rotate", "bob").out.strip()
    secrets.append(rotated)
    EVIDENCE.secrets.update(secrets)
    seen = [
        cli("token", *words).out
        for words in (["list"], ["list", "--json"], ["show", "bob"], ["show", "alice", "--json"])
    ]
    EVIDENCE.written += [text.encode() for text in seen]
    everything = "".join(seen).encode() + dumped(state)
    assert b"alice" in everything
    assert not [secret for secret in secrets if secret.encode() in everything]


def test_create_json(cli: Cli) -> None:
    """`--json` prints one object with at least the token and its id, and nothing beside it."""
    said = cli("token", "create", "alice", "--model", "wan2.6-*", "--json")
    made = said.json()
    EVIDENCE.secrets.add(made["token"])
    assert said.err == ""
    assert made["token"].startswith("sk-")
    assert cli("token", "show", made["id"], "--json").json()["name"] == "alice"


def test_everything_asked_for_is_kept(cli: Cli) -> None:
    """Patterns, tenant, scopes and expiry stand in the grant as they were given."""
    before = time.time()
    words = [
        "--model",
        "wan2.6-*",
        "--model",
        "kling/kling-v3",
        "--tenant",
        "acme",
        "--scope",
        "account",
    ]
    more = ("--scope", "account", "--expires", "30d", "--json")
    made = cli("token", "create", "a", *words, *more).json()
    EVIDENCE.secrets.add(made["token"])
    shown = cli("token", "show", "a", "--json").json()
    assert shown["models"] == ["wan2.6-*", "kling/kling-v3"]
    assert (shown["tenant"], shown["scopes"], shown["state"]) == ("acme", ["account"], "active")
    assert before + 30 * 86_400 - 2 < made["expires"] < time.time() + 30 * 86_400 + 2


def test_a_token_without_a_tenant_is_its_own(cli: Cli, create: Create) -> None:
    """Two tokens that name no tenant do not share their tasks."""
    create("a")
    create("b")
    rows = cli("token", "list", "--json").json()
    assert {row["tenant"] for row in rows} == {row["id"] for row in rows}
    assert len({row["id"] for row in rows}) == 2


def test_update_changes_what_is_named_and_nothing_else(cli: Cli, create: Create) -> None:
    """Fields without a flag stay as they are."""
    create("a", "--tenant", "acme", "--expires", "1d")
    before = cli("token", "show", "a", "--json").json()
    assert cli("token", "update", "a", "--model", "qwen*").code == 0
    after = cli("token", "show", "a", "--json").json()
    assert after == {**before, "models": ["qwen*"]}
    assert cli("token", "update", "a", "--no-expiry", "--disable", "--name", "b").code == 0
    shown = cli("token", "show", "b", "--json").json()
    assert (shown["expires"], shown["state"], shown["name"]) == ("never", "disabled", "b")
    assert cli("token", "update", "b", "--enable").code == 0
    assert cli("token", "show", "b", "--json").json()["state"] == "active"


def test_revoke_ends_a_token(cli: Cli, create: Create) -> None:
    """A revoked token is gone, and revoking it again says that there is none."""
    create("a")
    identity = cli("token", "show", "a", "--json").json()["id"]
    assert cli("token", "revoke", identity).out == f"revoked {identity}\n"
    assert cli("token", "list", "--json").json() == []
    assert cli("token", "revoke", identity).code == 1


def test_rotate_keeps_the_token(cli: Cli, create: Create) -> None:
    """A rotation changes the secret and leaves id, tenant and everything else alone."""
    first = create("a", "--expires", "1d")
    before = cli("token", "show", "a", "--json").json()
    second = cli("token", "rotate", "a").out.strip()
    EVIDENCE.secrets.add(second)
    after = cli("token", "show", "a", "--json").json()
    assert second != first
    assert after == {**before, "digest": hashlib.sha256(second.encode()).hexdigest()}
    assert len(cli("token", "list", "--json").json()) == 1


def test_a_grace_is_an_expiry_of_the_old_secret(cli: Cli, create: Create) -> None:
    """During `--grace` both secrets are stored, the old one with an end."""
    old = hashlib.sha256(create("a").encode()).hexdigest()
    new = cli("token", "rotate", "a", "--grace", "1h", "--json").json()
    EVIDENCE.secrets.add(new["token"])
    ends = {row["digest"]: row["expires"] for row in cli("token", "list", "--json").json()}
    assert len(ends) == 2
    assert ends[old] != "never"
    assert ends[hashlib.sha256(new["token"].encode()).hexdigest()] == "never"


def test_flag_over_variable(cli: Cli, create: Create, tmp_path: Path) -> None:
    """`--store` wins over PROXY_STORE, which wins over the default."""
    flag, variable = f"sqlite://{tmp_path}/flag.db", f"sqlite://{tmp_path}/variable.db"
    create("in-flag", "--store", flag, PROXY_STORE=variable)
    create("in-variable", PROXY_STORE=variable)
    create("in-default")
    names = [
        [row["name"] for row in cli("token", "list", "--json", *words, **variables).json()]
        for words, variables in (
            (["--store", flag], {}),
            ([], {"PROXY_STORE": variable}),
            ([], {}),
        )
    ]
    assert names == [["in-flag"], ["in-variable"], ["in-default"]]


SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("source", ["variable", "stdin"])
def test_import_again_changes_nothing(cli: Cli, source: str, state: Path) -> None:
    """A deployment may import at every start: same name and secret, same token, no second one."""
    EVIDENCE.secrets.add(SECRET)
    given = {"given": f"{SECRET}\n"} if source == "stdin" else {"PROXY_IMPORT_TOKEN": SECRET}
    words = ("token", "import", "application", "--tenant", "application", "--model", "qwen*")
    first, second = cli(*words, **given), cli(*words, **given)
    assert first == second
    assert first.out.startswith("imported tok_")
    (row,) = cli("token", "list", "--json").json()
    assert row["digest"] == hashlib.sha256(SECRET.encode()).hexdigest()
    assert SECRET.encode() not in dumped(state) + first.out.encode() + first.err.encode()


def test_import_of_a_new_secret_replaces_the_old(cli: Cli) -> None:
    """The vault decides: a name holds one secret, and keeps its id and tenant."""
    cli("token", "import", "app", "--model", "a*", PROXY_IMPORT_TOKEN=SECRET)
    (before,) = cli("token", "list", "--json").json()
    other = SECRET[::-1]
    EVIDENCE.secrets.add(other)
    assert cli("token", "import", "app", "--model", "b*", PROXY_IMPORT_TOKEN=other).code == 0
    (after,) = cli("token", "list", "--json").json()
    assert (after["id"], after["tenant"]) == (before["id"], before["tenant"])
    assert after["models"] == ["b*"]
    assert after["digest"] == hashlib.sha256(other.encode()).hexdigest()


MISTAKES = [
    (["create", "a"], "--model: name at least one pattern"),
    (["create", "a", "--model", "x y"], "--model: 'x y' must not be empty"),
    (["create", "a", "--model", ""], "--model: '' must not be empty"),
    (["create", "a", "--model", "*", "--scope", "all"], "'--scope': 'all' is not one of"),
    (["create"], "Missing argument 'NAME'"),
    (["show", "nobody"], "no token has the id or name 'nobody'"),
    (["update", "nobody", "--disable"], "no token has the id or name 'nobody'"),
    (["revoke", "nobody"], "no token has the id or name 'nobody'"),
    (["rotate", "nobody"], "no token has the id or name 'nobody'"),
    (["update", "nobody"], "nothing to change"),
    (["frobnicate"], "No such command 'frobnicate'"),
    (["list", "--store", "foo://x"], "scheme 'foo' is not one of redis"),
    (["list", "--store", "x"], "store URL has no scheme; write redis://"),
    (["list", "--store", "sqlite://relative"], "write sqlite:///path"),
]


@pytest.mark.parametrize(("words", "problem"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_one_line(cli: Cli, words: list[str], problem: str) -> None:
    """What is wrong stands in one line on standard error, and what would be right."""
    said = cli("token", *words)
    assert said.code in {1, 2}
    assert said.out == ""
    (told,) = [line for line in said.err.splitlines() if problem in line]
    assert told == said.err.splitlines()[-1]
    assert "Traceback" not in said.err


def test_an_ambiguous_name_lists_the_ids(cli: Cli, create: Create) -> None:
    """Nothing is done to one of two tokens by chance."""
    create("twin")
    create("twin")
    identities = [row["id"] for row in cli("token", "list", "--json").json()]
    for command in ("show", "revoke", "rotate"):
        said = cli("token", command, "twin")
        assert said.code == 1
        assert all(identity in said.err for identity in identities)
    assert len(cli("token", "list", "--json").json()) == 2
    assert cli("token", "show", identities[0]).code == 0


def test_help_of_every_command(cli: Cli) -> None:
    """Every command explains itself and its flags."""
    for words in ("", "serve", "check", "sandbox", "token"):
        assert cli(*words.split(), "--help").out.startswith("Usage: ")
    for command in ("create", "list", "show", "update", "revoke", "rotate", "import"):
        said = cli("token", command, "--help")
        assert said.code == 0
        assert "--store" in said.out


def stored(cli: Cli) -> dict[str, str]:
    """The end of each secret, by its digest."""
    return {row["digest"]: row["expires"] for row in cli("token", "list", "--json").json()}


def digest(secret: str) -> str:
    EVIDENCE.secrets.add(secret)
    return hashlib.sha256(secret.encode()).hexdigest()


@pytest.mark.parametrize("attempt", range(4))
def test_rotating_during_a_grace_keeps_the_newest(cli: Cli, create: Create, attempt: int) -> None:
    """Of two secrets it is the older one that goes, and the token does not inherit its end."""
    name = f"a{attempt}"
    digest(create(name))
    second = digest(cli("token", "rotate", name, "--grace", "1h").out.strip())
    assert cli("token", "show", name, "--json").json()["digest"] == second
    third = digest(cli("token", "rotate", name, "--grace", "1h").out.strip())
    ends = stored(cli)
    assert set(ends) == {second, third}
    assert ends[third] == "never"
    assert ends[second] != "never"


@pytest.mark.parametrize("attempt", range(4))
def test_the_newest_is_told_from_the_oldest_by_its_end(
    cli: Cli, create: Create, attempt: int
) -> None:
    """Also when the token ends before the grace would."""
    name = f"a{attempt}"
    digest(create(name, "--expires", "1h"))
    second = digest(cli("token", "rotate", name, "--grace", "1d").out.strip())
    assert cli("token", "show", name, "--json").json()["digest"] == second


@pytest.mark.parametrize("flag", [["--no-expiry"], ["--expires", "52w"], ["--model", "b*"]])
def test_update_never_lengthens_a_grace(cli: Cli, create: Create, flag: list[str]) -> None:
    """A secret that was rotated out ends when it was told to, whatever the token may do later."""
    old = digest(create("a"))
    cli("token", "rotate", "a", "--grace", "1h")
    before = stored(cli)[old]
    assert cli("token", "update", "a", *flag).code == 0
    assert stored(cli)[old] == before


def test_update_may_shorten_a_grace(cli: Cli, create: Create) -> None:
    """A token that ends soon ends for both of its secrets."""
    old = digest(create("a"))
    cli("token", "rotate", "a", "--grace", "4w")
    cli("token", "update", "a", "--expires", "1h")
    ends = stored(cli)
    assert ends[old] < max(ends.values())


EMPTY = [
    ["create", "a", "--model", "*", "--expires", ""],
    ["create", "a", "--model", "*", "--tenant", ""],
    ["create", "a", "--model", "*", "--store", ""],
    ["create", "", "--model", "*"],
    ["update", "known", "--name", ""],
    ["update", "known", "--tenant", ""],
    ["update", "known", "--expires", ""],
    ["rotate", "known", "--grace", ""],
]


@pytest.mark.parametrize("words", EMPTY, ids=lambda words: f"{words[0]} {words[-2]}")
def test_an_empty_value_is_a_mistake(cli: Cli, create: Create, words: list[str]) -> None:
    """A shell variable that was never set must not become "for ever" or "the other store"."""
    create("known")
    before = cli("token", "list", "--json").json()
    said = cli("token", *words)
    assert said.code in {1, 2}
    assert (words[-2] if words[-1] == "" else "NAME") in said.err
    assert "must not be empty" in said.err
    assert cli("token", "list", "--json").json() == before


DURATIONS = ["5x", "d", "-1d", "1.5h", "1h30m", " 1h", "1234567d", "٣d", "0d"]


@pytest.mark.parametrize("text", DURATIONS)
def test_a_duration_that_is_none(cli: Cli, text: str) -> None:
    """The line names the flag and shows what would be right."""
    said = cli("token", "create", "a", "--model", "*", "--expires", text)
    assert said.code == 1
    assert said.err.startswith("--expires: ")
    assert "as 30d" in said.err
    assert len(said.err.splitlines()) == 1


def test_a_grace_that_is_no_duration(cli: Cli, create: Create) -> None:
    """The same for `--grace`, and nothing has been rotated."""
    kept = digest(create("a"))
    said = cli("token", "rotate", "a", "--grace", "soon")
    assert said.code == 1
    assert said.err.startswith("--grace: 'soon' is no duration")
    assert set(stored(cli)) == {kept}


def test_an_end_and_no_end(cli: Cli, create: Create) -> None:
    """Flags that contradict each other are a mistake, not a choice of ours."""
    create("a")
    said = cli("token", "update", "a", "--expires", "1h", "--no-expiry")
    assert said.code == 1
    assert "--no-expiry" in said.err
    assert set(stored(cli).values()) == {"never"}


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "tab\there", "\x00", "caf\udce9"])
def test_a_name_that_cannot_be_shown(cli: Cli, create: Create, name: str) -> None:
    """A name is for people to read: one line, nothing a terminal would obey."""
    create("known")
    for words in (
        ["create", name, "--model", "*"],
        ["create", "a", "--model", "*", "--tenant", name],
        ["create", "a", "--model", f"{name}*"],
        ["update", "known", "--name", name],
    ):
        said = cli("token", *words)
        assert said.code == 1
        assert "control characters" in said.err
    assert len(cli("token", "list").rows) == 2


def test_an_unreadable_grant_can_be_revoked(cli: Cli, create: Create, state: Path) -> None:
    """What `list` shows as unreadable goes away by the id that it shows."""
    create("known")
    plant_unreadable(state)
    (row,) = [row for row in cli("token", "list").rows if "unreadable" in row]
    assert "'tomorrow' is not Unix seconds" in row
    assert cli("token", "revoke", row.split()[0]).code == 0
    assert [row["name"] for row in cli("token", "list", "--json").json()] == ["known"]


def test_memory_keeps_no_token(cli: Cli) -> None:
    """A token in a store that ends with the command would be a token nobody knows."""
    said = cli("token", "create", "a", "--model", "*", "--store", "memory:")
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith("--store: memory: ends with this command")


def test_import_never_guesses_between_two(cli: Cli, create: Create) -> None:
    """A name that several tokens have is no name to import under: none of them is touched."""
    create("twin")
    create("twin")
    before = cli("token", "list", "--json").json()
    EVIDENCE.secrets.add(SECRET)
    said = cli("token", "import", "twin", "--model", "*", PROXY_IMPORT_TOKEN=SECRET)
    assert said.code == 1
    assert all(row["id"] in said.err for row in before)
    assert cli("token", "list", "--json").json() == before


def test_import_never_takes_a_secret_over(cli: Cli) -> None:
    """A secret that is another token's already keeps that token: two names, two secrets."""
    EVIDENCE.secrets.add(SECRET)
    cli("token", "import", "first", "--model", "*", PROXY_IMPORT_TOKEN=SECRET)
    before = cli("token", "list", "--json").json()
    said = cli("token", "import", "second", "--model", "*", PROXY_IMPORT_TOKEN=SECRET)
    assert said.code == 1
    assert "'first'" in said.err
    assert SECRET not in said.err
    assert cli("token", "list", "--json").json() == before


@pytest.mark.parametrize("given", ["", "\n", "short\n", "with blank inside the secret\n", "é" * 30])
def test_import_of_what_is_no_secret(cli: Cli, given: str) -> None:
    """Something short or unprintable was mistyped; the line does not repeat it."""
    said = cli("token", "import", "a", "--model", "*", given=given)
    assert said.code == 1
    assert said.err.startswith("token: 20 or more visible ASCII characters")
    assert len(said.err.splitlines()) == 1
    assert not given.strip() or given.strip() not in said.err


def test_import_asks_nobody_on_a_terminal(state: Path) -> None:
    """With a terminal for standard input the command explains itself instead of waiting."""
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "proxy", "token", "import", "a", "--model", "*"]
    variables = {"HOME": str(state), "XDG_STATE_HOME": str(state), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command,
        check=False,
        stdin=terminal,
        env=variables,
        capture_output=True,
        text=True,
        timeout=30,
    )
    os.close(master)
    os.close(terminal)
    assert done.returncode == 1
    assert "PROXY_IMPORT_TOKEN" in done.stderr
    assert len(done.stderr.splitlines()) == 1
