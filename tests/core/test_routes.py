"""The route table: the most specific pattern wins, and the packaged table is what it should be."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.errors import ProxyError, Situation
from proxy.core.jsonscan import Path
from proxy.core.routes import ANY, Answer, Async, Envelope, Match, Route, RouteTable
from proxy.core.target import parse_target

TABLE = load_routing(PACKAGED, {}).table


def route(pattern: str, target: str = "/t", methods: str = "GET", **fields: object) -> Route:
    name = f"{methods} {pattern}"
    return Route(name, frozenset(methods.split(",")), pattern, target, **fields)  # type: ignore[arg-type]


def refused(table: RouteTable, method: str, path: str) -> ProxyError:
    with pytest.raises(ProxyError) as refusal:
        table.match(method, parse_target(path))
    return refusal.value


# -- what a match tells --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "fields", "runs"),
    [
        ("POST", {"query_model": "model"}, True),
        ("POST", {"path_model": "x"}, True),
        ("GET", {"query_model": "model"}, False),
        ("POST", {"query_model": "model", "is_free": True}, False),
        ("POST", {}, False),
    ],
)
def test_what_runs_a_model(method: str, fields: dict[str, Any], *, runs: bool) -> None:
    """Where one is named, unless that is free; safe methods run none."""
    table = RouteTable([route("/a/{x}", methods=method, **fields)])
    assert table.match(method, parse_target("/a/b")).runs_model is runs


# -- matching ------------------------------------------------------------------------------------

PATTERNS = ("/a/b/c", "/a/b/{x}", "/a/{x}/c", "/a/{x}/{y}", "/a/{x**}", "/{x}/b/c", "/a/b")

WINNERS = [
    ("/a/b/c", "/a/b/c"),
    ("/a/b/x", "/a/b/{x}"),
    ("/a/x/c", "/a/{x}/c"),
    ("/a/x/y", "/a/{x}/{y}"),
    ("/a/b/c/d", "/a/{x**}"),
    ("/a/x", "/a/{x**}"),
    ("/a/x/y/z/", "/a/{x**}"),
    ("/a/b", "/a/b"),
    ("/a/b/", "/a/b"),
    ("/x/b/c", "/{x}/b/c"),
    ("/%61/b/%63", "/a/b/c"),
]


@pytest.mark.parametrize(("path", "winner"), WINNERS)
def test_the_most_specific_pattern_wins(path: str, winner: str) -> None:
    """Segment by segment: literal, then capture, then rest; the order of the routes is nothing."""
    for order in (PATTERNS, PATTERNS[::-1]):
        table = RouteTable(map(route, order))
        assert table.match("GET", parse_target(path)).route.pattern == winner


@pytest.mark.parametrize("path", ["/", "/a", "/a/", "/x", "/x/b", "/x/b/c/d", "/x/y/c"])
def test_a_rest_takes_one_segment_or_more(path: str) -> None:
    """What no pattern takes whole is no path: a rest is never empty, a capture never two."""
    assert refused(RouteTable(map(route, PATTERNS)), "GET", path).situation is Situation.NOT_FOUND


def test_captures_come_decoded_and_as_they_came() -> None:
    """What is judged is decoded, what is sent is not; each route sees its own names."""
    table = RouteTable([route("/{a}/x/{b**}"), route("/{c}/x/{d**}", methods="POST")])
    target = parse_target("/%61%20b/x/c%2Dd/e%41/")
    match = table.match("GET", target)
    assert match.captures == {"a": "a b", "b": "c-d/eA"}
    assert match.raw_captures == {"a": "%61%20b", "b": "c%2Dd/e%41"}
    assert match.target is target
    assert table.match("POST", target).captures.keys() == {"c", "d"}


def test_a_poll_asks_for_a_task() -> None:
    """GET on a route that has one; anything else done to it is none, nor any other GET."""
    task = Route("t", frozenset({"GET", "POST"}), "/t/{id}", "/t/{id}", task="id")
    table = RouteTable([task, route("/a")])
    asked = (("GET", "/t/1"), ("POST", "/t/1"), ("GET", "/a"))
    matches = [table.match(method, parse_target(path)) for method, path in asked]
    assert [match.is_poll for match in matches] == [True, False, False]


def test_a_wrong_method_is_told_the_right_ones() -> None:
    """405 with `Allow`, sorted; a broader pattern with the right method does not step in."""
    wrong = [route("/a", methods=method) for method in ("POST", "PUT", "DELETE")]
    table = RouteTable([*wrong, route("/{x}"), route("/{x**}")])
    error = refused(table, "GET", "/a/")
    assert error.situation is Situation.METHOD_NOT_ALLOWED
    assert error.headers == (("Allow", "DELETE, POST, PUT"),)
    assert error.message == "GET is not possible on this path, only DELETE, POST, PUT."
    for method in ("get", "Post", "ANY", "OPTIONS", "HEAD", ""):
        assert refused(table, method, "/a").situation is Situation.METHOD_NOT_ALLOWED


def test_any_method_is_the_last_resort() -> None:
    """`ANY` takes what no other route of the same pattern takes."""
    table = RouteTable([route("/a", methods=ANY), route("/a", methods="GET")])
    assert table.match("GET", parse_target("/a")).route.methods == {"GET"}
    for method in ("POST", "DELETE", "get", "ANY", "WHATEVER"):
        assert table.match(method, parse_target("/a")).route.methods == {ANY}


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/api/v1/task/x", "/api/v1/tasks"),
        ("/alibailian/v1/tasks", "/alibailian/api/v1/tasks"),
        ("/alibailian/services/aigc/wordart/texture", "/alibailian/api/v1/services/aigc/wordart/"),
        ("/v1/services/aigc/text-generation/generation", "/api/v1/services/aigc/"),
    ],
)
def test_an_unknown_path_names_the_nearest(path: str, nearest: str) -> None:
    """404 says which path was perhaps meant: a typo or a wrong base is what brings people here."""
    public = [one for one in TABLE.routes if not one.pattern.endswith("/{path**}")]
    error = refused(RouteTable(public), "GET", path)
    assert error.situation is Situation.NOT_FOUND
    assert f"The nearest is {nearest}" in error.message


def test_the_nearest_is_one_everybody_may_use() -> None:
    """A guess never points at what needs more than a token; an empty table guesses nothing."""
    closed = [route("/secret/a", scope="account"), route("/secret/b", scope=None)]
    assert "secret" not in refused(RouteTable(closed), "GET", "/secret/c").message
    assert refused(RouteTable([]), "GET", "/a").message.strip() == "No such path."
    assert (
        "/secret/a"
        not in refused(RouteTable([*closed, route("/open")]), "GET", "/secret/c").message
    )
    assert "/open/b." in refused(RouteTable([*closed, route("/open/b")]), "GET", "/open/c").message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (route("/a/{x}"), route("/a/{y}")),
        (route("/a/{x**}"), route("/a/{y**}")),
        (route("/a", methods="GET,POST"), route("/a/", methods="POST")),
    ],
)
def test_no_path_has_two_routes(first: Route, second: Route) -> None:
    """The same method on the same path is a mistake in the table, whatever captures are called."""
    with pytest.raises(ValueError, match="stands twice"):
        RouteTable([first, second])


UPSTREAM = [
    ("/t", "/p/a", "/t"),
    ("/t", "/p/a/", "/t/"),
    ("/t/", "/p/a", "/t/"),
    ("/t/", "/p/a/", "/t/"),
    ("/t", "/p/a?", "/t?"),
    ("/t", "/p/a/?x=%2F&x", "/t/?x=%2F&x"),
    ("/t/{x}", "/p/a", "/t/a"),
    ("/t/{x}/u", "/p/%61%20b/", "/t/%61%20b/u/"),
    ("/t/{x}/{x}", "/p/a/b", "/t/a/b/a/b"),
    ("/t/{x**}", "/p/a/b?y", "/t/a/b?y"),
    ("/t/{x}", "/p/%5Bx%5D", "/t/%5Bx%5D"),
]


@pytest.mark.parametrize(("template", "path", "upstream"), UPSTREAM)
def test_the_upstream_target_is_the_public_bytes(template: str, path: str, upstream: str) -> None:
    """Captures, query and trailing slash go up as they came, none is added or taken."""
    match = RouteTable([route("/p/{x**}", template)]).match("GET", parse_target(path))
    assert match.upstream_target(None) == upstream


def test_a_model_may_be_served_elsewhere() -> None:
    """`retargets` go by the whole model name; without a model the route's own target counts."""
    retargets = ((("*-kf2v-*", "emo"), "/k/{x}"),)
    table = RouteTable([route("/p/{x}", "/t/{x}", retargets=retargets)])
    match = table.match("GET", parse_target("/p/a/?b"))
    wanted = {
        None: "/t",
        "": "/t",
        "wan-t2v": "/t",
        "emo-v2": "/t",
        "wan-kf2v-x": "/k",
        "emo": "/k",
    }
    assert {model: match.upstream_target(model) for model in wanted} == {
        model: f"{target}/a/?b" for model, target in wanted.items()
    }


def fits(pattern: str, path: str) -> bool:
    """The matching rule, read independently."""
    rest = re.sub(r"\{x\*\*\}$", ".+", pattern)
    return re.fullmatch(re.sub(r"\{.\}", "[^/]+", rest), path) is not None


def specificity(pattern: str) -> list[int]:
    return [part.count("{") + part.count("*") for part in pattern.split("/")]


SEGMENTS = st.sampled_from(["a", "b", "{x}"])
HEADS = st.lists(SEGMENTS, max_size=3).map(lambda parts: "".join(f"/{part}" for part in parts))


@given(
    st.sets(st.builds("{}{}".format, HEADS, st.sampled_from(["/a", "/{x}", "/{x**}"])), max_size=8),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map(
        lambda parts: "/" + "/".join(parts)
    ),
)
def test_matching_is_the_rule_it_says(patterns: set[str], path: str) -> None:
    """For any patterns and path: among those that fit, the most specific from the left, or 404."""
    fitting = sorted((pattern for pattern in patterns if fits(pattern, path)), key=specificity)
    table = RouteTable(map(route, patterns))
    if fitting:
        assert table.match("GET", parse_target(path)).route.pattern == fitting[0]
    else:
        assert refused(table, "GET", path).situation is Situation.NOT_FOUND


# -- the packaged table --------------------------------------------------------------------------

PREFIXES = ("/api/v1", "/alibailian/api/v1", "/task/bailian")
DECORATIONS = ("", "/", "?", "?a=%2F&b", "/?a")
TASK = (("output", "task_id"),)
MODEL = (("model",),)
MODELS = (("model",), ("input", "target_model"))

# Everything a token with the `inference` scope reaches under every prefix, path for path
# (protocol sections 1a and 1b). Upstream's path is `/api/v1` and the same again.
#   method, path, route | always async? task ids claimed? | where the model is judged
NATIVE = """
POST /services/aigc/text-generation/generation                 services              | - claim | body
POST /services/aigc/multimodal-generation/generation           services              | - claim | body
POST /services/aigc/image-generation/generation                image-generation      | async claim | body
POST /services/aigc/text2image/image-synthesis                 services              | - claim | body
POST /services/aigc/image2image/image-synthesis                image2image           | async claim | body
POST /services/aigc/image2image/out-painting                   image2image           | async claim | body
POST /services/aigc/background-generation/generation           background-generation | async claim | body
POST /services/aigc/virtualmodel/generation                    virtualmodel          | async claim | body
POST /services/aigc/wordart/texture                            wordart               | async claim | body
POST /services/aigc/wordart/semantic                           wordart               | async claim | body
POST /services/aigc/video-generation/video-synthesis           video-synthesis       | async claim | body
POST /services/aigc/image2video/video-synthesis                image2video-synthesis | async claim | body
POST /services/aigc/image2video/face-detect                    services              | - claim | body
POST /services/aigc/image2video/aa-detect                      services              | - claim | body
POST /services/aigc/image2video/aa-template-generation         animate-template      | async claim | body
POST /services/vision/image-process/process                    services              | - claim | body
POST /services/aigc/video-generation/3d-generation             3d-generation         | async claim | body
POST /services/embeddings/text-embedding/text-embedding        services              | - claim | body
POST /services/embeddings/multimodal-embedding/multimodal-embedding services         | - claim | body
POST /services/rerank/text-rerank/text-rerank                  services              | - claim | body
POST /services/audio/asr/transcription                         transcription         | async claim | body
POST /services/audio/tts/SpeechSynthesizer                     services              | - claim | body
POST /services/audio/asr/customization                         customization         | - claim | both
POST /services/audio/tts/customization                         customization         | - claim | both
POST /services/audio/music/generation                          services              | - claim | body
POST /services/nlp/nlu/understanding                           services              | - claim | body
POST /services/aigc/code-generation/generation                 services              | - claim | body
POST /services/some/path/of/tomorrow                           services              | - claim | body
POST /nlp/nlu/understanding                                    nlu                   | - claim | body
POST /aigc/code-generation/generation                          code-generation       | - claim | body
POST /tokenizer                                                tokenizer             | - claim | body
GET  /tasks/0385dc79-5ff8-4d82-bcb6-7d6f63f2e4a5               task-poll             | - -     | -
POST /tasks/0385dc79-5ff8-4d82-bcb6-7d6f63f2e4a5/cancel        task-cancel           | - -     | -
GET  /tasks                                                    task-list             | - -     | -
GET  /uploads                                                  uploads               | - -     | query
GET  /models                                                   models                | - -     | -
GET  /models/qwen-plus                                         model                 | - -     | path
GET  /models/kling/kling-v3-video-generation                   model                 | - -     | path
GET  /public-keys/latest                                       public-key            | - -     | -
""".strip().splitlines()  # noqa: E501 - a table
JUDGED = {
    "body": (MODEL, None, None),
    "both": (MODELS, None, None),
    "query": ((), "model", None),
    "path": ((), None, "model"),
    "-": ((), None, None),
}

# Everything that acts on the whole upstream account (protocol sections 1b, 1c): never for a
# tenant. Those of one segment are no paths under `/task/bailian`, where one segment is a task.
ACCOUNT = """
GET,POST           /models/permissions
GET,POST           /models/limits
GET,POST,DELETE    /mcps/server/mcp
GET,POST           /mcps/server/sse
POST               /apps/app-id/completion
POST               /files
GET                /files
GET,DELETE         /files/file-id
POST               /fine-tunes
GET                /fine-tunes
GET,DELETE         /fine-tunes/job
POST               /fine-tunes/job/cancel
GET                /fine-tunes/job/logs
GET                /fine-tunes/job/stream
GET                /fine-tunes/job/checkpoints
GET                /fine-tunes/job/validation-results
GET                /fine-tunes/job/validation-details/cp
GET                /fine-tunes/job/export/cp
GET,DELETE         /fine-tunes/outputs
GET,DELETE         /fine-tunes/outputs/id
POST               /fine-tunes/create/x
POST               /fine-tunes/online/x
POST,GET           /deployments
GET                /deployments/models
GET,DELETE         /deployments/id
PUT                /deployments/id/scale
PUT                /deployments/id/update
GET                /deployments/id/stream
GET,POST,DELETE    /custom_models/import
GET,POST,DELETE    /custom_models/import/job
GET,POST           /assistants
GET,POST,DELETE    /assistants/id
POST               /threads
POST               /threads/runs
GET,POST           /threads/id/messages
GET,POST           /threads/id/runs
POST               /threads/id/runs/run/submit_tool_outputs
GET                /threads/id/runs/run/steps
GET,POST,PUT       /agentstudio/agents
GET,POST,DELETE    /agentstudio/agents/id/sessions
GET,POST           /models/permissions/x
GET,POST           /models/limits/x
GET                /public-keys
GET                /tasks/id/whatever
GET,POST           /whatever/comes/next
""".strip().splitlines()

# The short routes, whole: method, path, model -> upstream, route, async, claims.
SHORT = """
POST /task/bailian/text2video  wan2.6-t2v          /api/v1/services/aigc/video-generation/video-synthesis text2video
POST /task/bailian/text2video  wan2.2-kf2v-flash   /api/v1/services/aigc/video-generation/video-synthesis text2video
POST /task/bailian/image2video wan2.6-i2v          /api/v1/services/aigc/video-generation/video-synthesis image2video
POST /task/bailian/image2video kling/kling-v3-omni /api/v1/services/aigc/video-generation/video-synthesis image2video
POST /task/bailian/image2video wan2.7-i2v          /api/v1/services/aigc/video-generation/video-synthesis image2video
POST /task/bailian/image2video pixverse/pixverse-v6-kf2v /api/v1/services/aigc/video-generation/video-synthesis image2video
POST /task/bailian/image2video wan2.2-kf2v-flash   /api/v1/services/aigc/image2video/video-synthesis image2video
POST /task/bailian/image2video wanx2.1-kf2v-plus   /api/v1/services/aigc/image2video/video-synthesis image2video
POST /task/bailian/image2video wan2.2-animate-mix  /api/v1/services/aigc/image2video/video-synthesis image2video
POST /task/bailian/image2video wan2.2-animate-move /api/v1/services/aigc/image2video/video-synthesis image2video
POST /task/bailian/image2video wan2.2-s2v          /api/v1/services/aigc/image2video/video-synthesis image2video
POST /task/bailian/image2video emo-v1              /api/v1/services/aigc/image2video/video-synthesis image2video
POST /task/bailian/image2video emoji-v1            /api/v1/services/aigc/image2video/video-synthesis image2video
POST /task/bailian/image2video liveportrait        /api/v1/services/aigc/image2video/video-synthesis image2video
POST /task/bailian/image2video videoretalk         /api/v1/services/aigc/image2video/video-synthesis image2video
POST /task/bailian/image2video animate-anyone-gen2 /api/v1/services/aigc/image2video/video-synthesis image2video
GET  /task/some-task-id         -                  /api/v1/tasks/some-task-id task-poll
GET  /task/bailian/some-task-id -                  /api/v1/tasks/some-task-id task-poll
""".strip().splitlines()  # noqa: E501 - a table


def meet(method: str, path: str) -> Match:
    return TABLE.match(method, parse_target(path))


@pytest.mark.parametrize("row", NATIVE, ids=lambda row: row.split("|")[0].split()[1])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_inference_is_served_under_every_prefix(prefix: str, row: str) -> None:
    """Each row of protocol sections 1a and 1b, byte for byte, with and without slash and query."""
    where, how, judged = (part.split() for part in row.split("|"))
    method, path, name = where
    found = meet(method, prefix + path).route
    for decoration in DECORATIONS:
        match = meet(method, f"{prefix}{path}{decoration}")
        assert match.route is found
        assert match.upstream_target(None) == f"/api/v1{path}{decoration}"
        assert match.upstream_target("wan2.2-kf2v-flash") == f"/api/v1{path}{decoration}"
    assert (found.name, found.scope, found.alias) == (name, "inference", prefix)
    assert (found.models, found.query_model, found.path_model) == JUDGED[judged[0]]
    assert found.asynchronous is (Async.ALWAYS if how[0] == "async" else Async.AS_ASKED)
    assert found.claims == (TASK if how[1] == "claim" else ())
    assert (found.task == "task_id") is name.startswith(("task-poll", "task-cancel"))
    assert found.envelope is Envelope.NATIVE
    assert found.answer is {
        "task-list": Answer.OWN_TASKS,
        "models": Answer.ALLOWED_MODELS,
    }.get(name, Answer.UPSTREAM)


@pytest.mark.parametrize("row", SHORT, ids=lambda row: "-".join(row.split()[1:3]))
def test_the_short_routes_lead_to_their_services(row: str) -> None:
    """A short route is the long one: same judging, always a task, families where they live."""
    method, path, model, upstream, name = row.split()
    found = meet(method, path).route
    for decoration in DECORATIONS:
        match = meet(method, f"{path}{decoration}")
        assert match.route is found
        assert match.upstream_target(model) == f"{upstream}{decoration}"
    assert (found.name, found.scope) == (name, "inference")
    if method == "POST":
        assert (found.models, found.asynchronous, found.claims) == (MODEL, Async.ALWAYS, TASK)
    else:
        assert found.task == "task_id"
        assert meet(method, path).captures == {"task_id": "some-task-id"}


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/embeddings/", "/responses", "/v1/messages"]
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_other_protocols_are_told_where_they_belong(prefix: str, path: str) -> None:
    """A client with the wrong base gets a plain 404, not a refusal that hints at more rights."""
    error = refused(TABLE, "POST", prefix + path)
    assert error.situation is Situation.NOT_FOUND
    assert "/v1" in error.message


@pytest.mark.parametrize("row", ACCOUNT, ids=lambda row: row.split()[1])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_account_is_not_for_tenants(prefix: str, row: str) -> None:
    """Everything account-wide needs the `account` scope, whatever the method or the slash.

    A collection's own path is no task id below `/task/bailian` either; a word that is nobody's is.
    """
    methods, path = row.split()
    if (prefix, path) == ("/task/bailian", "/public-keys"):
        assert meet("GET", prefix + path).route.task == "task_id"
        return
    for method in methods.split(","):
        for decoration in DECORATIONS:
            match = meet(method, f"{prefix}{path}{decoration}")
            assert match.route.scope == "account"
            assert match.upstream_target(None) == f"/api/v1{path}{decoration}"


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "post", "ANY", "PATCH"])
@pytest.mark.parametrize(
    "path", ["/tokens", "/tokens/", "/tokens?expire_in_seconds=9", "/t%6Fkens"]
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_nobody_mints_a_key(prefix: str, path: str, method: str) -> None:
    """`tokens` would give a tenant upstream's own key: no scope reaches it."""
    assert meet(method, prefix + path).route.scope is None


OUTSIDE = [
    *("/", "/api", "/api/v1", "/api/v1/", "/alibailian", "/alibailian/api/v1/", "/task", "/task/"),
    *("/task/a/b", "/task/tasks/x", "/api/v2/apps/agent/x", "/apps/anthropic"),
    *("/API/v1/tasks", "/api/V1/tasks", "/alibailian/task/bailian/tasks", "/metrics", "/healthz"),
    *("/alibailian/alibailian/api/v1/tasks", "/api/v1beta/tasks", "/alibailian/v1/tasks"),
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_else_is_served(path: str) -> None:
    """What the table does not name is no path, for any method."""
    for method in ("GET", "POST", "ANY"):
        assert refused(TABLE, method, path).situation is Situation.NOT_FOUND


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/tasks/x", "GET"),
        ("POST", "/tasks/x", "GET"),
        ("POST", "/tasks", "GET"),
        ("GET", "/tasks/x/cancel", "POST"),
        ("GET", "/services/aigc/text-generation/generation", "POST"),
        ("DELETE", "/services/aigc/image2image/out-painting", "POST"),
        ("POST", "/uploads", "GET"),
        ("POST", "/models", "GET"),
        ("DELETE", "/models/qwen-plus", "GET"),
        ("GET", "/tokenizer", "POST"),
    ],
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_served_path_refuses_other_methods(
    prefix: str, method: str, path: str, allow: str
) -> None:
    """A known path never falls through to the account's catch-all with another method."""
    error = refused(TABLE, method, prefix + path)
    assert error.situation is Situation.METHOD_NOT_ALLOWED
    assert dict(error.headers) == {"Allow": allow}


def test_making_voices_is_the_only_tenant_safe_customization() -> None:
    """Listing, reading and deleting voices or vocabularies reaches everybody's."""
    places = [one.tenant_safe for one in TABLE.routes if one.name == "customization"]
    made = (("input", "action"), ("create_vocabulary", "create_voice", "create"))
    assert places == [(made,)] * len(PREFIXES)


def test_whoever_needs_no_more_than_a_token_is_judged() -> None:
    """Every `inference` route judges a model or a task, or answers about the caller alone."""
    judged = ("models", "query_model", "path_model", "task")
    unjudged = {
        one.name
        for one in TABLE.routes
        if one.scope == "inference"
        and one.answer is Answer.UPSTREAM
        and not any(getattr(one, place) for place in judged)
    }
    assert unjudged == {"public-key"}


def test_whatever_may_make_a_task_claims_it() -> None:
    """A route that forces async, or passes a caller's wish for it, gives the task an owner."""
    for one in TABLE.routes:
        if one.asynchronous is Async.ALWAYS:
            assert one.claims == TASK, one.name


def test_a_second_model_of_a_call_is_judged_too() -> None:
    """Wherever the body's `model` alone is judged, the model that extends its prompt is as well."""
    native = [one for one in TABLE.routes if one.envelope is Envelope.NATIVE]
    judged = [one for one in native if one.models == MODEL]
    assert judged
    assert {one.also_models for one in judged} == {(("parameters", "prompt_extend_model"),)}


# -- the packaged table: other protocols -----------------------------------------------------------

# Path under each base -> where other models may be named, and what belongs to a tenant.
TOOL, SVG = ("tools", "[]", "model"), ("tools", "[]", "svg", "model")
MODERATION, FALLBACK = ("moderation", "model"), ("fallbacks", "[]", "model")
KINDS = ("message", "reasoning", "compaction", "*_call", "*_output", "mcp_*")
STORED = (
    (("previous_response_id",), (None,)),
    (("conversation",), (None,)),
    (("prompt",), (None,)),
    (("background",), (None, False)),
    (("tools", "[]", "vector_store_ids"), (None,)),
    (("tools", "[]", "container", "file_ids"), (None,)),
    (("tool_resources",), (None,)),
    (("input", "[]", "type"), (None, *KINDS)),
    (("input", "[]", "content", "[]", "file_id"), (None,)),
    (("input", "[]", "output", "[]", "file_id"), (None,)),
)
CHAT_FILES = ((("messages", "[]", "content", "[]", "file", "file_id"), (None,)),)
BLOCK = ("messages", "[]", "content", "[]")
MESSAGE_FILES = (
    ((*BLOCK, "file_id"), (None,)),
    ((*BLOCK, "source", "file_id"), (None,)),
    ((*BLOCK, "content", "[]", "source", "file_id"), (None,)),
)
MESSAGE_STORED = ((("container",), (None,)), (("mcp_servers",), (None,)), *MESSAGE_FILES)
OPENAI, RERANK, ANTHROPIC = "/compatible-mode/v1", "/compatible-api/v1", "/apps/anthropic/v1"
ALIASES = ("", "/alibailian")
NAMED: list[tuple[str, tuple[Path, ...], object]] = [
    (f"{OPENAI}/chat/completions", (TOOL, MODERATION), CHAT_FILES),
    (f"{OPENAI}/completions", (), ()),
    (f"{OPENAI}/embeddings", (), ()),
    (f"{OPENAI}/systemone", (), ()),
    (f"{OPENAI}/responses", (TOOL, SVG, MODERATION), STORED),
    (f"{RERANK}/reranks", (), ()),
    (f"{ANTHROPIC}/messages", (TOOL, FALLBACK), MESSAGE_STORED),
    (f"{ANTHROPIC}/messages/count_tokens", (TOOL,), MESSAGE_FILES),
]


@pytest.mark.parametrize(("path", "others", "confined"), NAMED)
@pytest.mark.parametrize("alias", ALIASES)
def test_other_protocols_name_their_model_in_the_body(
    alias: str, path: str, others: tuple[Path, ...], confined: object
) -> None:
    """Under both prefixes the same path upstream, errors in kind, and every place judged."""
    found = meet("POST", alias + path).route
    for decoration in DECORATIONS:
        match = meet("POST", f"{alias}{path}{decoration}")
        assert match.route is found
        assert match.upstream_target("m") == f"{path}{decoration}"
    speaks = Envelope.ANTHROPIC if path.startswith(ANTHROPIC) else Envelope.OPENAI
    assert (found.scope, found.envelope, found.answer) == ("inference", speaks, Answer.UPSTREAM)
    assert (found.models, found.also_models, found.tenant_safe) == (MODEL, others, confined)
    assert found.claims == (() if path.endswith("count_tokens") else TASK)
    assert found.key_header == ("x-api-key" if speaks is Envelope.ANTHROPIC else None)
    assert refused(TABLE, "GET", alias + path).situation is Situation.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("base", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("alias", ALIASES)
def test_other_protocols_list_models(alias: str, base: str) -> None:
    """The list is narrowed, one of them is judged by its name in the path."""
    listing = meet("GET", f"{alias}{base}/models").route
    assert (listing.answer, listing.scope) == (Answer.ALLOWED_MODELS, "inference")
    one = meet("GET", f"{alias}{base}/models/kling/v3?x=1")
    assert (one.route.path_model, one.captures) == ("model", {"model": "kling/v3"})
    assert one.upstream_target("kling/v3") == f"{base}/models/kling/v3?x=1"
    assert refused(TABLE, "DELETE", f"{alias}{base}/models/a").situation is (
        Situation.METHOD_NOT_ALLOWED
    )


STORED_PATHS = [
    *(f"{OPENAI}{path}" for path in ("/files", "/files/id/content", "/batches", "/batches/id")),
    *(f"{OPENAI}{path}" for path in ("/responses/id", "/responses/id/cancel", "/conversations")),
    *(f"{OPENAI}{path}" for path in ("/vector_stores/id/files", "/fine_tuning/jobs", "/whatever")),
    *(f"{RERANK}/whatever", f"{ANTHROPIC}/messages/batches", f"{ANTHROPIC}/files"),
]


@pytest.mark.parametrize("path", STORED_PATHS)
@pytest.mark.parametrize("alias", ALIASES)
def test_what_other_protocols_keep_is_the_accounts(alias: str, path: str) -> None:
    """Everything else below these prefixes needs the scope, whatever the method."""
    for method in ("GET", "POST", "DELETE", "PATCH"):
        for decoration in DECORATIONS:
            match = meet(method, f"{alias}{path}{decoration}")
            assert match.route.scope == "account"
            assert match.upstream_target(None) == f"{path}{decoration}"


WRONG_BASES = [
    *((f"{prefix}/chat/completions", f"{OPENAI}/chat/completions") for prefix in PREFIXES),
    *((f"{prefix}/responses/", f"{OPENAI}/responses") for prefix in (*PREFIXES, "", "/v1")),
    *((f"{prefix}/reranks", f"{RERANK}/reranks") for prefix in (*PREFIXES, OPENAI)),
    *((f"{prefix}/v1/messages", f"{ANTHROPIC}/messages") for prefix in (*PREFIXES, "", ANTHROPIC)),
    (f"{PREFIXES[0]}/messages", f"{ANTHROPIC}/messages"),
    ("/apps/anthropic/messages?beta=1", f"{ANTHROPIC}/messages"),
    ("/compatible-mode/embeddings", f"{OPENAI}/embeddings"),
    ("/alibailian/compatible-mode/a%20b/c", f"{OPENAI}/a%20b/c"),
    ("/alibailian/compatible-mode/v1/v1/models", f"{OPENAI}/models"),
    ("/compatible-api/reranks", f"{RERANK}/reranks"),
]


@pytest.mark.parametrize(("path", "right"), WRONG_BASES)
def test_a_wrong_base_is_told_the_right_path(path: str, right: str) -> None:
    """The exact path to use, in the shape of the client that asked."""
    error = refused(TABLE, "POST", path)
    assert (error.situation, error.message) == (
        Situation.NOT_FOUND,
        f"No such path; use {right}.",
    )
    speaks = Envelope.ANTHROPIC if right.startswith(ANTHROPIC) else Envelope.OPENAI
    assert TABLE.envelope(path) is speaks


SPOKEN = [
    (Envelope.NATIVE, ("/", "/api/v1", "/api/v1/tasks", "/task/a/b", "*", "", "/compatible-modes")),
    (Envelope.OPENAI, (OPENAI, f"{OPENAI}/", f"{OPENAI}/Chat/completions", f"{OPENAI}//x?y=/z")),
    (
        Envelope.OPENAI,
        (f"http://host{OPENAI}/../x", "/alibailian/compatible-mode", f"{RERANK}/%00"),
    ),
    (Envelope.OPENAI, ("/api/v1/chat/completions", "/task/bailian/embeddings?x")),
    (Envelope.ANTHROPIC, (f"{ANTHROPIC}/%2e", "/alibailian/apps/anthropic", "/v1/messages/")),
]


@pytest.mark.parametrize(("envelope", "targets"), SPOKEN)
def test_without_a_route_the_path_tells_the_shape(
    envelope: Envelope, targets: tuple[str, ...]
) -> None:
    """Whatever is wrong with a target, the error is told as that path's clients read it."""
    for target in targets:
        assert TABLE.envelope(target) is envelope, target


# -- look-alikes -----------------------------------------------------------------------------------

DISGUISES = ["{}~", "{}+", "{},x", "{}.json", "{}.", "{}:x", "{}@x", "{}$", "{}%20x", "{}!", "{}="]
DISGUISES += ["{}%CC%81", "{}%EF%B8%8F", "{}%E1%85%A0", "{}%C3%A9", "{}%E8%A7%86", "{}'"]
UNSEEN = ["{}%E2%80%8B", "{}%C2%AD", "%EF%BB%BF{}", "{}%E2%80%A8", "{}%E2%80%A9", "{}%00", "{}%7F"]
UNSEEN += ["{}%E2%81%A0", "{}%EE%80%80"]


def spelled(segment: str) -> list[str]:
    """A segment as a forgiving server, or a careless eye, would take it for the same."""
    cases = [segment.upper(), segment.title(), segment.swapcase()]
    return [*cases, *(form.format(segment) for form in DISGUISES + UNSEEN), f"{cases[0]}~.x"]


def led(method: str, path: str) -> Route | Situation:
    """Where a path leads: its route, or why there is none."""
    try:
        return meet(method, path).route
    except ProxyError as refusal:
        return refusal.situation


def test_no_look_alike_goes_around_a_judge() -> None:
    """Disguise any segment of any path: it leads where the plain path leads, or nowhere."""
    for one in TABLE.routes:
        plain = re.sub(r"\{[a-z_]+(\*\*)?\}", "cap", one.pattern).strip("/").split("/")
        method = "POST" if ANY in one.methods else min(one.methods)
        right = led(method, "/" + "/".join(plain))
        for at, segment in enumerate(plain):
            for form in spelled(segment):
                path = "/" + "/".join([*plain[:at], form, *plain[at + 1 :]])
                assert led(method, path) in (right, Situation.NOT_FOUND), path


LOOK_ALIKES = [
    *(f"/services/audio/asr/{form.format('customization')}" for form in DISGUISES + UNSEEN),
    *("/services/audio/asr/Customization", "/services/audio/tts/customization.x/y"),
    *("/services/audio/ASR/customization", "/Services/audio/asr/customization"),
    *(f"/models/{form.format('permissions')}" for form in DISGUISES + UNSEEN),
    *("/models/Permissions", "/models/LIMITS/x", "/Tokens", "/tokens.json", "/tokens~/x"),
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_look_alike_is_no_path(prefix: str) -> None:
    """What is judged on the literal is not served beside it by any broader route."""
    for path in LOOK_ALIKES:
        for method in ("GET", "POST"):
            assert refused(TABLE, method, prefix + path).situation is Situation.NOT_FOUND, path


@pytest.mark.parametrize(
    "name",
    [
        *("qwen2.5-7b-instruct", "kling/kling-v3.1:x", "permissions-2", "limitsx", "a,b+c~", "a@b"),
        *("Limitless.1", "qwen-plus-2025-04-28", "%E8%A7%86%E9%A2%91.v1", "a%20b", "x/limits~"),
    ],
)
def test_a_models_name_may_look_like_anything_else(name: str) -> None:
    """Dots, colons and letters of other alphabets are no disguise by themselves."""
    for prefix in (*PREFIXES, OPENAI, ANTHROPIC):
        assert meet("GET", f"{prefix}/models/{name}").raw_captures == {"model": name}


def plainly(segment: str, patterns: set[str]) -> str:
    """The literal that a segment is meant to be taken for, read independently; or itself."""
    literals = {part for pattern in patterns for part in pattern.split("/")} - {"", "{x}", "{x**}"}
    for literal in literals:
        if re.fullmatch(rf"{literal}([^0-9a-z_-].*)?", segment, re.IGNORECASE | re.ASCII):
            return literal
    return segment


@given(
    st.sets(st.builds("{}{}".format, HEADS, st.sampled_from(["/a", "/{x}", "/{x**}"])), max_size=8),
    st.lists(
        st.sampled_from(["a", "b", "c", "A", "a.b", "B~", "ab", "a-b", "b_", "a%C3%A9"]),
        min_size=1,
        max_size=5,
    ),
)
def test_a_look_alike_never_leads_elsewhere(patterns: set[str], came: list[str]) -> None:
    """For any patterns and path: what is served is what the plain path would be served as.

    And a path that is plain is never taken for a look-alike.
    """
    table = RouteTable(map(route, patterns))
    segments = parse_target("/" + "/".join(came)).segments
    plain = "/" + "/".join(plainly(segment, patterns) for segment in segments)
    fitting = sorted((pattern for pattern in patterns if fits(pattern, plain)), key=specificity)
    try:
        found = table.match("GET", parse_target("/" + "/".join(came))).route.pattern
    except ProxyError:
        assert plain != "/" + "/".join(segments) or not fitting
    else:
        assert found == fitting[0]


def test_what_was_met_is_remembered_but_no_query_and_nothing_long() -> None:
    """The same match for the same target; each query is read anew, and so is what is refused."""
    table = RouteTable([route("/a/{x}"), route("/b", methods="POST")])
    met = table.meet("GET", "/a/1")
    assert met is table.meet("GET", "/a/1")
    assert met == table.match("GET", parse_target("/a/1"))
    assert table.meet("GET", "/a/2").captures == {"x": "2"}
    asked = table.meet("GET", "/a/1?key=secret")
    assert asked.target.query == "key=secret"
    assert asked is not table.meet("GET", "/a/1?key=secret")
    for path in ("/a/" + "x" * 300, "/a/" + "x" * 16_000):  # memory that a caller would fill
        assert table.meet("GET", path) is not table.meet("GET", path)
    for _ in range(2):
        with pytest.raises(ProxyError) as refusal:
            table.meet("GET", "/b")
        assert refusal.value.situation is Situation.METHOD_NOT_ALLOWED
