"""Upstream's errors and failures, as each client tells them to its caller (protocol section 4)."""

from collections.abc import Mapping

import dashscope
from conformance.clients import AIO, BYTES, CHUNKED, CURL, V1, V2, V2_AIO
from conformance.dashscope_rows import SOON, TEXT, VIDEO, once, stream, v2, v2_async
from conformance.http import played, post
from conformance.operations import Answers, Operation, Place, Run
from conformance.vercel import vercel
from conformance.wire_rows import HELLO, PLAIN, SUBMIT
from dashscope.aigc.generation import AioGeneration
from dashscope.aigc.video_synthesis import AioVideoSynthesis, VideoSynthesis

from proxy.core.limits import Limits

AT_ONCE = {"retry-after-ms": "1"}
"""What makes the v2 client send again without a pause; the others do not look."""

STATUSES = (400, 401, 403, 404, 409, 429, 430, 500, 502, 503, 504)

TEXTS: Mapping[str, Run] = {
    V1: once(dashscope.Generation, **TEXT),
    AIO: once(AioGeneration, **TEXT),
    V2: v2(lambda client, _: client.chat.completions.create(**TEXT)),
    V2_AIO: v2_async(lambda client, _: client.chat.completions.create(**TEXT)),
    **played([post(PLAIN, HELLO)], CURL, BYTES, CHUNKED),
    **vercel("embedding"),
}

STREAMS: Mapping[str, Run] = {
    V1: lambda _: stream(dashscope.Generation, **TEXT),
    V2: v2(lambda client, _: list(client.chat.completions.create(**TEXT, stream=True))),
    **vercel("stream"),
}


async def submit(_: Place) -> Answers:
    return (await AioVideoSynthesis.async_call(**VIDEO),)


VIDEOS: Mapping[str, Run] = {
    V1: lambda _: (VideoSynthesis.async_call(**VIDEO),),
    AIO: submit,
    V2: v2(lambda client, _: client.videos.generate(**VIDEO, poll_interval=SOON)),
    **played([SUBMIT], CURL, BYTES),
    **vercel("video"),
}

ERRORS: Mapping[str, Operation] = {
    **{
        f"error {status}": Operation(
            TEXTS, faults=[{"status": status, "times": None, "headers": AT_ONCE}]
        )
        for status in STATUSES
    },
    "error 400 of a stream": Operation(STREAMS, faults=[{"status": 400, "times": None}]),
    "error 429 of a submit": Operation(
        VIDEOS, faults=[{"status": 429, "times": None, "headers": AT_ONCE}]
    ),
    **{
        f"error {status} of a submit": Operation(
            VIDEOS,
            faults=[{"status": status, "times": None, "headers": AT_ONCE}],
            differs=["not-again"],
        )
        for status in (408, 500, 503, 504)
    },
    "error 500 of a submit, not to be sent again": Operation(
        VIDEOS,
        faults=[{"status": 500, "times": None, "headers": {"x-should-retry": "false"}}],
    ),
    "error 429 once": Operation(
        {V2: TEXTS[V2], V2_AIO: TEXTS[V2_AIO]}, faults=[{"status": 429, "headers": AT_ONCE}]
    ),
    "error 500, not to be sent again": Operation(
        {V2: TEXTS[V2]},
        faults=[{"status": 500, "times": None, "headers": {"x-should-retry": "false"}}],
    ),
    "error in HTML": Operation(
        TEXTS,
        faults=[
            {
                "status": 413,
                "body": "<html>no</html>",
                "content_type": "text/html",
                "times": None,
            }
        ],
    ),
    "error in no words": Operation(
        TEXTS, faults=[{"status": 400, "body": "", "content_type": "text/plain", "times": None}]
    ),
    "limits": Operation(
        played([post(PLAIN, HELLO), SUBMIT], CURL, BYTES, CHUNKED),
        faults=[{"headers": {"X-RateLimit-Limit-Requests": "1200"}, "times": None}],
        limits=Limits(requests_per_minute=60, submits_per_minute=6, concurrent_tasks=3),
        differs=["limits"],
    ),
    "no answer": Operation(
        played([post(PLAIN, HELLO)], CURL, BYTES, CHUNKED),
        faults=[{"reset": "after_request"}],
        differs=["refusal"],
    ),
}
