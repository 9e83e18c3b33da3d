"""`check`: the route table for eyes and pipes, or every mistake with its line."""

from pathlib import Path

import pytest
from cli.conftest import Cli
from harness import EVIDENCE

FILE = """version: 1
prefixes: {native: [/api/v1, /mine]}
upstreams:
  - name: beijing
    url: https://dashscope.example
    key: {env: BEIJING_KEY}
    models: ["wan*", "qwen*"]
    weight: 2
routes:
  - name: task-poll
    match: GET {native}/tasks/{task_id}
    target: /api/v1/tasks/{task_id}
    task: path.task_id
  - name: video
    match: POST /video
    target: /api/v1/services/aigc/video-generation/video-synthesis
    model: body.model
    async: always
    claims: output.task_id
  - name: files
    match: ANY {native}/files/{rest**}
    target: /api/v1/files/{rest}
    scope: account
"""
KEY = {"BEIJING_KEY": "sk-key-of-the-beijing-account"}
EVIDENCE.secrets.update(KEY.values())


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(FILE)
    return path


def test_facades_and_families(cli: Cli) -> None:
    """The packaged façades say that they translate, and each family what it takes, and where."""
    said = cli("check", **KEY)
    EVIDENCE.written.append(said.out.encode())
    (row,) = [row for row in said.rows if " /video/v1/generations " in row]
    assert row.endswith("unified façade, translated by families")
    (family,) = [row for row in said.rows if row.startswith("family wan*-kf2v-*")]
    assert family == (
        "family wan*-kf2v-*: image as first_frame in first_frame_url, image as last_frame in "
        "last_frame_url; resolution, ratio, "
        "on /api/v1/services/aigc/image2video/video-synthesis"
    )


def test_the_table(cli: Cli, routes: Path) -> None:
    """One row per method and path, in columns, with what the route does; then the accounts."""
    said = cli("check", "--routes", str(routes), **KEY)
    EVIDENCE.written.append(said.out.encode())
    assert (said.code, said.err) == (0, "")
    header, *rows, empty, account = said.rows
    assert empty == ""
    assert header.split() == ["METHOD", "PUBLIC", "PATH", "UPSTREAM", "DOES"]
    assert len(rows) == 5
    at = header.index("PUBLIC")
    assert {row[at - 1] for row in rows} == {" "}
    (video,) = [row for row in rows if " /video " in row]
    assert video.split()[:3] == [
        "POST",
        "/video",
        "/api/v1/services/aigc/video-generation/video-synthesis",
    ]
    for deed in ("scope inference", "judges body.model", "always async", "claims the task"):
        assert deed in video
    assert [row for row in rows if "/mine/tasks/{task_id}" in row and "own tasks only" in row]
    assert [row for row in rows if "/mine/files/{rest**}" in row and "scope account" in row]
    assert account == (
        "account beijing: https://dashscope.example, models wan* qwen*, weight 2, 20 polls a second"
    )


def test_the_packaged_table(cli: Cli, key: dict[str, str]) -> None:
    """Without a file the packaged table is shown; a single account is called default."""
    said = cli("check", **key)
    EVIDENCE.written.append(said.out.encode())
    assert said.code == 0
    assert said.rows[-1] == (
        "account default: https://dashscope.aliyuncs.com, models *, weight 1, 20 polls a second"
    )
    for path in ("/task/bailian/text2video", "/task/{task_id}", "/alibailian/api/v1/tasks"):
        assert f" {path} " in said.out


def test_the_packaged_table_of_other_protocols(cli: Cli, key: dict[str, str]) -> None:
    """What is judged in their bodies, which values stay within a tenant, how they are spoken."""
    table = [row for row in cli("check", **key).rows if row.count("/") > 1]
    rows = {tuple(row.split()[:2]): row for row in table}
    responses = rows["POST", "/compatible-mode/v1/responses"]
    for deed in (
        "judges body.model, body.tools[].model if there",
        "body.conversation only absent without scope account",
        "body.background only absent|false without scope account",
        "speaks openai",
    ):
        assert deed in responses
    count = rows["POST", "/alibailian/apps/anthropic/v1/messages/count_tokens"]
    assert "takes the token as x-api-key too; speaks anthropic" in count


PRICES = """currency: CNY
pricing: required
prices:
  - models: "wan2.7-*"
    from: 2026-11-01
    until: 2027-01-01
    duration_pricing:
      - {max_resolution_inclusive: 720, price: 0.60}
      - {max_resolution_inclusive: null, price: 1}
  - {models: qwen-plus, per_1k_input_tokens: 0.0000008, per_1k_output_tokens: 0.002}
  - {models: "*", per_image: 0.2, per_1k_characters: 2, per_call: 0}
"""


def test_prices_are_printed(cli: Cli, routes: Path) -> None:
    """Each entry as a sentence, in the order in which they count; below the accounts."""
    routes.write_text(FILE + PRICES)
    said = cli("check", "--routes", str(routes), **KEY)
    assert said.rows[-4:] == [
        "prices in CNY; a model without one is not sold",
        "price wan2.7-*: 0.6 a second up to 720P, 1 a second, from 2026-11-01, until 2027-01-01",
        "price qwen-plus: 0.0000008 a thousand input tokens, 0.002 a thousand output tokens",
        "price *: 0.2 an image, 2 a thousand characters, 0 a call",
    ]
    routes.write_text(FILE + PRICES.replace("required", "optional"))
    assert "prices in CNY" in cli("check", "--routes", str(routes), **KEY).rows


def test_without_an_account(cli: Cli) -> None:
    """A table can be checked before there is a key; that one is missing is said."""
    said = cli("check")
    assert said.code == 0
    assert said.rows[-1].startswith("no account: set DASHSCOPE_API_KEY")


def test_variable_and_flag(cli: Cli, routes: Path, key: dict[str, str]) -> None:
    """PROXY_ROUTES names the file as well; the flag wins."""
    by_variable = cli("check", PROXY_ROUTES=str(routes), **KEY)
    by_flag = cli("check", "--routes", str(routes), PROXY_ROUTES="/nowhere", **KEY)
    assert by_variable.out == by_flag.out
    assert by_variable.out != cli("check", **key).out


MISTAKES = [
    ("async: always", "async: sometimes", 18, "async"),
    ("model: body.model", "modle: body.model", 17, "did you mean `model`?"),
    (
        "target: /api/v1/files/{rest}",
        "target: /api/v1/files/{other}",
        20,
        "{other} is not captured",
    ),
    ("name: video", "name: video\n    name: again", 15, "stands twice"),
    ("match: POST /video", "match: GET /mine/tasks/{id}", 14, "is already routed at"),
    ("version: 1", "version: [", 3, "not YAML"),
]


@pytest.mark.parametrize(("right", "wrong", "line", "problem"), MISTAKES)
def test_a_mistake_has_its_line(
    cli: Cli, routes: Path, right: str, wrong: str, line: int, problem: str
) -> None:
    """`file:line: what is wrong`, where an editor can jump to, on standard error, exit code 1."""
    routes.write_text(FILE.replace(right, wrong))
    said = cli("check", "--routes", str(routes), **KEY)
    assert said.code == 1
    assert said.out == ""
    told = [row for row in said.err.splitlines() if problem in row]
    assert told
    assert all(row.startswith(f"{routes}:{line}: ") for row in told)


def test_all_mistakes_at_once(cli: Cli, routes: Path) -> None:
    """Three mistakes are three lines."""
    text = FILE.replace("async: always", "async: no way").replace("weight: 2", "weight: heavy")
    routes.write_text(text.replace("scope: account", "scope: root"))
    said = cli("check", "--routes", str(routes), **KEY)
    assert said.code == 1
    assert len(said.err.splitlines()) == 3
    assert all(line.startswith(f"{routes}:") for line in said.err.splitlines())


def test_a_missing_key_is_a_mistake(cli: Cli, routes: Path) -> None:
    """An account without its key is told by the variable's name."""
    said = cli("check", "--routes", str(routes))
    assert said.code == 1
    assert "BEIJING_KEY is empty" in said.err


def test_every_variable(cli: Cli) -> None:
    """`--variables` prints all of them, as Markdown, whatever the configuration is."""
    said = cli("check", "--variables", PROXY_LISTEN="nonsense")
    assert said.code == 0
    header, rule, *rows = said.rows
    assert header == "| variable | default | meaning |"
    assert rule == "|---|---|---|"
    names = [row.split("`")[1] for row in rows]
    for name in ("DASHSCOPE_API_KEY", "PROXY_LISTEN", "PROXY_STORE", "PROXY_DRAIN", "PROXY_LOG"):
        assert name in names
    assert all(row.count(" | ") == 2 for row in rows)


PRICED = """version: 1
routes: []
currency: CNY
pricing: required
prices:
  - {models: "wan*", until: 2026-02-01, per_call: 1}
  - {models: ["wan2.7-*", "qwen-*"], from: 2026-02-02, until: 2026-03-01, per_call: 2}
  - {models: "qwen-*", until: 2026-04-01, per_call: 3}
  - {models: "wan2.7-*", from: 2026-05-01, until: 2026-06-01, per_call: 4}
"""


def test_prices_that_may_not_be_meant(cli: Cli, tmp_path: Path, key: dict[str, str]) -> None:
    """Notes beside the table: nothing that is sold today, and days between two prices."""
    path = tmp_path / "routes.yaml"
    path.write_text(PRICED)
    said = cli("check", "--routes", str(path), **key)
    assert said.code == 0
    notes = said.err.splitlines()
    assert notes[0].startswith("note: no price counts today, ")
    assert notes[1:] == ["note: wan2.7-* has no price from 2026-03-01 until 2026-05-01"]


def test_prices_that_are_meant_need_no_note(cli: Cli, tmp_path: Path, key: dict[str, str]) -> None:
    """One that counts, and one after the other, are nothing to tell."""
    path = tmp_path / "routes.yaml"
    priced = PRICED.replace("2026-02-02", "2026-02-01").replace("2026-05-01", "2026-03-01")
    path.write_text(priced + '  - {models: "*", per_call: 9}\n')
    said = cli("check", "--routes", str(path), **key)
    assert (said.code, said.err) == (0, "")
