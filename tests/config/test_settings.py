"""The environment: every variable's good and bad forms, all mistakes at once, no secret shown."""

import os
import traceback
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from proxy.config import ConfigError
from proxy.config.routing import PACKAGED, load_routing
from proxy.config.settings import ACCOUNT_NAME, Address, Environment, Settings, load_settings
from proxy.core.addresses import TrustedProxies

MIB, GIB = 1024**2, 1024**3
BALANCERS = TrustedProxies((ip_network("10.0.0.0/8"),), unix=True)


def problems(variables: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        load_settings(variables)
    return refusal.value.problems


# Variable, text, and what becomes of it.
GOOD: list[tuple[str, str, object]] = [
    ("DASHSCOPE_API_KEY", "sk-x", "sk-x"),
    (
        "PROXY_UPSTREAM",
        "https://dashscope-intl.aliyuncs.com",
        "https://dashscope-intl.aliyuncs.com",
    ),
    ("PROXY_UPSTREAM", "http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
    ("PROXY_UPSTREAM", "https://[::1]:8443", "https://[::1]:8443"),
    ("PROXY_WORKSPACE", "ws-1", "ws-1"),
    ("PROXY_LISTEN", "127.0.0.1:8080", (Address("127.0.0.1", 8080),)),
    ("PROXY_LISTEN", "0.0.0.0:0", (Address("0.0.0.0", 0),)),  # noqa: S104 - text only
    ("PROXY_LISTEN", "localhost:65535", (Address("localhost", 65535),)),
    ("PROXY_LISTEN", "[::]:80", (Address("::", 80),)),
    ("PROXY_LISTEN", "[::ffff:1.2.3.4]:80", (Address("::ffff:1.2.3.4", 80),)),
    ("PROXY_LISTEN", "[fe80::1%eth0]:80", (Address("fe80::1%eth0", 80),)),
    ("PROXY_LISTEN", "unix:/run/proxy.sock", (Address(path="/run/proxy.sock"),)),
    (
        "PROXY_LISTEN",
        "a:1, unix:/b ,[::1]:2",
        (Address("a", 1), Address(path="/b"), Address("::1", 2)),
    ),
    ("PROXY_ADMIN_LISTEN", "unix:/run/admin", (Address(path="/run/admin"),)),
    ("PROXY_STORE", "redis://:pw@h:6379/0", "redis://:pw@h:6379/0"),
    ("PROXY_STORE_PREFIX", "other:", "other:"),
    ("PROXY_OUTBOX", "/var/lib/outbox", "/var/lib/outbox"),
    ("PROXY_WORKERS", "1", 1),
    ("PROXY_WORKERS", "256", 256),
    ("PROXY_WORKERS", "auto", os.cpu_count()),
    ("PROXY_MAX_BODY", "0", 0),
    ("PROXY_MAX_BODY", "1048576", MIB),
    ("PROXY_MAX_BODY", "64KiB", 64 * 1024),
    ("PROXY_MAX_BODY", " 128 MiB ", 128 * MIB),
    ("PROXY_MAX_BODY", "2GiB", 2 * GIB),
    ("PROXY_MAX_BODY", "1KB", 1000),
    ("PROXY_MAX_BODY", "5MB", 5_000_000),
    ("PROXY_MAX_MESSAGE", "4MiB", 4 * MIB),
    ("PROXY_SOCKET_IDLE", "0.5", 0.5),
    ("PROXY_MAX_SOCKETS", "1", 1),
    ("PROXY_SPOOL", "3GB", 3_000_000_000),
    ("PROXY_DRAIN", "0", 0.0),
    ("PROXY_CONNECT_TIMEOUT", "2.5", 2.5),
    ("PROXY_READ_TIMEOUT", "86400", 86400.0),
    ("PROXY_BODY_TIMEOUT", "1", 1.0),
    ("PROXY_WRITE_TIMEOUT", "1", 1.0),
    ("PROXY_STALENESS", "300", 300.0),
    ("PROXY_POLL_HOLD", "0.5", 0.5),
    ("PROXY_POLLS_PER_SECOND", "20", 20.0),
    ("PROXY_POLLS_PER_SECOND", "0.25", 0.25),
    ("PROXY_TRUSTED_PROXIES", "unix, 10.0.0.0/8", BALANCERS),
    ("PROXY_LEASE", "5", 5.0),
    ("PROXY_FIRST_LOOK", "0.5", 0.5),
    ("PROXY_LOG", "json", "json"),
    ("PROXY_LOG", "console", "console"),
    ("PROXY_LOG", "auto", "auto"),
]

ADDRESS = "is no address; write host:port, [ipv6]:port or unix:/path"
SIZE = "is no size; write bytes as a plain number, or 128MiB"
RATE = "must be a number over 0, up to 10000"
WORKERS = "must be a number from 1 to 256, or auto"
SECONDS = "must be seconds, from 0 to 86400"
ABOVE = "must be seconds, above 0, up to 86400"
NETWORK = "is no network; write 10.0.0.0/8, 192.0.2.7, fd00::/8 or unix"
ROOT_URL = "is no root URL; write https://host, without path or credentials"
KEY = "has blanks or characters outside ASCII; it must hold the account's API key"

# Variable, texts that are wrong, and how the problem ends: with what would be right.
BAD: list[tuple[str, list[str], str]] = [
    (
        "PROXY_LISTEN",
        [
            *("8080", ":8080", "a:", "a:65536", "a:-1", "a:x", "a:１", "a b:1", "a:1 b:2", "[a:1"),
            *("::1:80", "[::1]", "[x]:1", "[1:2]:80", "a:1,", ",", "a:1,b", "http://a:1"),
            *("unix:run", "unix:"),
        ],
        ADDRESS,
    ),
    ("PROXY_ADMIN_LISTEN", ["9090", "[::1]"], ADDRESS),
    (
        "PROXY_MAX_BODY",
        ["x", "-1", "1.5MiB", "128M", "128mib", "1 TiB", "MiB", "1e6", "0x10", "inf", "9" * 16],
        SIZE,
    ),
    ("PROXY_MAX_MESSAGE", ["16M"], SIZE),
    ("PROXY_MAX_SOCKETS", ["0", "-1", "1.5", "x", "1000000"], "must be a number from 1 to 999999"),
    ("PROXY_SOCKET_IDLE", ["0"], ABOVE),
    ("PROXY_SPOOL", ["much"], SIZE),
    ("PROXY_WORKERS", ["0", "-1", "257", "1.5", "many", "AUTO", " 1", "²"], WORKERS),
    ("PROXY_DRAIN", ["x", "-1", "nan", "inf", "86401", "30s"], SECONDS),
    ("PROXY_CONNECT_TIMEOUT", ["-0.1"], SECONDS),
    ("PROXY_READ_TIMEOUT", ["for ever"], SECONDS),
    ("PROXY_BODY_TIMEOUT", ["1e9"], SECONDS),
    ("PROXY_WRITE_TIMEOUT", ["-inf"], SECONDS),
    ("PROXY_STALENESS", ["nan"], SECONDS),
    ("PROXY_POLL_HOLD", ["-1", "a moment"], SECONDS),
    ("PROXY_POLLS_PER_SECOND", ["0", "-1", "nan", "10001", "many", "1e3"], RATE),
    ("PROXY_TRUSTED_PROXIES", ["10.0.0.1/8", "nobody"], NETWORK),
    ("PROXY_LEASE", ["0"], ABOVE),
    ("PROXY_FIRST_LOOK", ["0"], ABOVE),
    ("PROXY_LOG", ["JSON", "text"], "must be 'auto', 'json' or 'console'"),
    (
        "PROXY_UPSTREAM",
        [
            *("dashscope.aliyuncs.com", "ftp://a", "https://", "//a", "https://a b", "https://a\n"),
            *("https://a/api/v1", "https://a//", "https://a?b", "https://a#b"),
            "https://user:secret@a",
        ],
        ROOT_URL,
    ),
    ("PROXY_WORKSPACE", ["a b", "a\nX-Other: b", "工作"], "must be one word in ASCII"),
    ("DASHSCOPE_API_KEY", ["sk secret", "sk-secret\n", "sk-secret-钥"], KEY),
]


def field_of(variable: str) -> str:
    return next(key for key, field in Environment.model_fields.items() if field.alias == variable)


@pytest.mark.parametrize(("variable", "text", "value"), GOOD)
def test_a_good_form_is_understood(variable: str, text: str, value: object) -> None:
    """Each way of writing a variable that the table promises."""
    settings = load_settings({variable: text})
    assert getattr(settings.env, field_of(variable)) == value


@pytest.mark.parametrize(
    ("variable", "text", "right"),
    [(variable, text, right) for variable, texts, right in BAD for text in texts],
)
def test_a_bad_form_is_named_with_what_is_right(variable: str, text: str, right: str) -> None:
    """One line: the variable, what is wrong, what would be right; and never a secret."""
    (problem,) = problems({variable: text})
    assert problem.startswith(f"{variable}: ")
    assert problem.endswith(right)
    assert "secret" not in problem


def test_every_variable_has_cases() -> None:
    """A new variable needs a good form here, and a meaning for the table that `check` prints."""
    free_text = {"PROXY_STORE", "PROXY_STORE_PREFIX", "PROXY_OUTBOX"}
    by_file = {"DASHSCOPE_API_KEY_FILE", "PROXY_ROUTES"}
    fields = Environment.model_fields.values()
    variables = {field.alias for field in fields}
    assert {variable for variable, _, _ in GOOD} == variables - by_file
    assert {variable for variable, _, _ in BAD} == variables - by_file - free_text
    assert all(field.description for field in fields)


def test_nothing_set_is_enough() -> None:
    """The defaults of DESIGN section 2: loopback, one worker, the packaged routes, no account."""
    settings = load_settings({"HOME": "/home/me"})
    env = settings.env
    assert [str(address) for address in env.listen + env.admin_listen] == [
        "127.0.0.1:8080",
        "127.0.0.1:9090",
    ]
    assert (env.upstream, env.workers, env.max_body) == (
        "https://dashscope.aliyuncs.com",
        1,
        128 * MIB,
    )
    assert settings.store == "sqlite:////home/me/.local/state/dashscope-proxy/proxy.db"
    assert settings.accounts == ()
    assert settings.routing.table.routes == load_routing(PACKAGED, {}).table.routes


def test_empty_is_unset() -> None:
    """Shells and compose files pass unset variables as empty ones."""
    names = [field.alias or "" for field in Environment.model_fields.values()]
    empty = load_settings({**dict.fromkeys(names, ""), "HOME": "", "STATE_DIRECTORY": ""})
    unset = load_settings({})
    assert empty.env == unset.env
    assert (empty.store, empty.accounts) == (unset.store, unset.accounts)


def test_other_variables_are_nobodys_business() -> None:
    """The environment is full of them."""
    assert load_settings({"PATH": "/bin", "api_key": "x", "PROXY": "y"}).accounts == ()


@pytest.mark.parametrize(
    ("variables", "store"),
    [
        ({"PROXY_STORE": "memory:", "HOME": "/h"}, "memory:"),
        ({"HOME": "/h"}, "sqlite:////h/.local/state/dashscope-proxy/proxy.db"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "sqlite:////x/dashscope-proxy/proxy.db"),
        (
            {"STATE_DIRECTORY": "/var/lib/p", "XDG_STATE_HOME": "/x"},
            "sqlite:////var/lib/p/proxy.db",
        ),
        ({"STATE_DIRECTORY": "/var/lib/p:/other"}, "sqlite:////var/lib/p/proxy.db"),
        ({}, "sqlite:///.local/state/dashscope-proxy/proxy.db"),
    ],
)
def test_the_embedded_store_lives_in_the_state_directory(
    variables: dict[str, str], store: str
) -> None:
    """What systemd or XDG says, or the usual place, unless a store is named."""
    assert load_settings(variables).store == store


@pytest.mark.parametrize(
    ("variables", "outbox"),
    [
        ({"PROXY_OUTBOX": "/var/spool/p", "STATE_DIRECTORY": "/var/lib/p"}, "/var/spool/p"),
        ({"STATE_DIRECTORY": "/var/lib/p"}, "/var/lib/p"),
        ({"HOME": "/h", "PROXY_STORE": "redis://r"}, "/h/.local/state/dashscope-proxy"),
    ],
)
def test_the_outbox_lies_in_the_state_directory(variables: dict[str, str], outbox: str) -> None:
    """Beside the default store, whatever store is in use, unless a directory is named."""
    assert load_settings(variables).outbox == Path(outbox)


def only_account(variables: Mapping[str, str]) -> tuple[str, str, str, str | None]:
    (account,) = load_settings(variables).accounts
    return account.name, account.url, account.key, account.workspace


def test_a_key_makes_an_account() -> None:
    """One account from variables: the zero-configuration case, serving every model."""
    assert only_account({"DASHSCOPE_API_KEY": "sk-x"}) == (
        ACCOUNT_NAME,
        "https://dashscope.aliyuncs.com",
        "sk-x",
        None,
    )
    variables = {"DASHSCOPE_API_KEY": "k", "PROXY_UPSTREAM": "http://a/", "PROXY_WORKSPACE": "ws"}
    assert only_account(variables) == (ACCOUNT_NAME, "http://a", "k", "ws")
    assert load_settings(variables).accounts[0].models == ("*",)


def test_the_accounts_name_never_changes() -> None:
    """It stands in task records: with another name their polls would find no account."""
    assert ACCOUNT_NAME == "default"


def test_a_key_may_come_from_a_file(tmp_path: Path) -> None:
    """As container platforms mount secrets, a newline at the end forgiven; the variable wins."""
    file = tmp_path / "key"
    file.write_text(" sk-file\n")
    variables = {"DASHSCOPE_API_KEY_FILE": str(file)}
    assert only_account(variables)[2] == "sk-file"
    assert only_account({**variables, "DASHSCOPE_API_KEY": "sk-x"})[2] == "sk-x"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty or not set"),
        (b" \n", "is empty or not set"),
        (b"sk-secret sk-secret", "has blanks or characters outside ASCII"),
        (b"sk-secret\nmore", "has blanks or characters outside ASCII"),
        (b"sk-secret\xff", "cannot be read (it is not UTF-8)"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_bad_key_file_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """The variable, the file, what is wrong with it and what it should hold; not what it holds."""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    wanted = (
        f"DASHSCOPE_API_KEY_FILE: the file {file} {problem}; it must hold the account's API key"
    )
    assert problems({"DASHSCOPE_API_KEY_FILE": str(file)}) == [wanted]


ROUTES = """version: 1
routes:
  - match: GET /a
    target: /api/v1/a
"""


def test_listed_accounts_replace_the_variables(tmp_path: Path) -> None:
    """With `upstreams:` in the routes, key and root URL from variables are not used."""
    routes, key = tmp_path / "routes.yaml", tmp_path / "key"
    key.write_text("sk-file\n")
    routes.write_text(
        f"{ROUTES}upstreams:\n"
        "  - {name: a, url: https://a.example, key: {env: A_KEY}}\n"
        f"  - {{name: b, url: https://b.example/, key: {{file: {key}}}}}\n"
    )
    variables = {"PROXY_ROUTES": str(routes), "DASHSCOPE_API_KEY": "sk-x", "A_KEY": "sk-a"}
    settings = load_settings(variables)
    found = [(account.name, account.url, account.key) for account in settings.accounts]
    assert found == [("a", "https://a.example", "sk-a"), ("b", "https://b.example", "sk-file")]
    assert [route.pattern for route in settings.routing.table.routes] == ["/a"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "cannot be read: it is not UTF-8"),
        (b"version: 1\n", "routes: is missing"),
    ],
)
def test_bad_routes_are_told_with_file_and_line(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """`file:line: what is wrong`, the file by the name it was given."""
    file = tmp_path / "routes.yaml"
    if content is not None:
        file.write_bytes(content)
    (found,) = problems({"PROXY_ROUTES": str(file)})
    assert found.startswith(f"{file}:1: {problem}")


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    """Variables, routes and key are all looked at, whatever is wrong with the others."""
    file = tmp_path / "routes.yaml"
    file.write_text("version: 1\nroutes: [{match: GET /a, target: /b, nmae: x}]\n")
    variables = {
        "PROXY_LISTEN": "8080",
        "PROXY_WORKERS": "0",
        "PROXY_ROUTES": str(file),
        "DASHSCOPE_API_KEY": "sk secret",
    }
    assert problems(variables) == [
        f"PROXY_LISTEN: '8080' {ADDRESS}",
        f"PROXY_WORKERS: '0' {WORKERS}",
        f"{file}:2: routes.0.nmae: no such field; did you mean `name`?",
        f"DASHSCOPE_API_KEY: the variable {KEY}",
    ]


def whole() -> Settings:
    return load_settings(
        {
            "DASHSCOPE_API_KEY": "sk-secret",
            "PROXY_STORE": "redis://:secret@redis.example:6379/0",
            "PROXY_UPSTREAM": "https://a.example",
        }
    )


def test_settings_keep_their_secrets() -> None:
    """No `repr` shows a key or a password, so no log line and no traceback does."""
    settings = whole()
    for text in (repr(settings), str(settings), repr(settings.env), f"{settings.accounts}"):
        assert "secret" not in text
    assert "https://a.example" in repr(settings)


@pytest.mark.parametrize(
    "variables",
    [
        {"DASHSCOPE_API_KEY": "sk s3cr3t"},
        {"PROXY_UPSTREAM": "https://user:s3cr3t@a"},
        {"DASHSCOPE_API_KEY": "sk-s3cr3t", "PROXY_STORE": "redis://:s3cr3t@h", "PROXY_LOG": "x"},
    ],
)
def test_a_traceback_keeps_the_secrets(variables: dict[str, str]) -> None:
    """Not even the whole chain of exceptions behind a problem shows one."""
    with pytest.raises(ConfigError) as refusal:
        load_settings(variables)
    assert "s3cr3t" not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize(
    "text", ["127.0.0.1:8080", "[::1]:80", "unix:/run/proxy.sock", "localhost:0", "[fe80::1%lo]:1"]
)
def test_an_address_prints_as_it_is_written(text: str) -> None:
    """What `serve` prints can be pasted back into `PROXY_LISTEN`."""
    (address,) = load_settings({"PROXY_LISTEN": text}).env.listen
    assert str(address) == text
