"""`families:` of the route file, read."""

from proxy.config.document import read_document
from proxy.config.routing import parse_routing
from proxy.core.families import Family, Slot
from proxy.core.routes import RouteTable

FILE = """
version: 1
routes: [{match: GET /a, target: /api/v1/a}]
families:
  - models: some-*
    target: /api/v1/services/other/path
    takes:
      - {image: first_frame, to: img_url}
      - {video: reference_video, most: 5, needs: function}
      - {audio: audio, to: "sounds[]"}
    others: true
    ratio: aspect_ratio
    resolution: mode
    resolutions: {720p: std}
    input: {member: f}
    input_options: [function]
  - models: [a, b]
    sizes: {720p: {"16:9": 1280*720}}
"""


def table() -> RouteTable:
    return parse_routing(read_document("routes.yaml", FILE), {}).table


def test_every_field() -> None:
    """A member that is no list has room for one; resolutions are upstream's in upper case."""
    first, second = table().families
    assert first == Family(
        models=("some-*",),
        target="/api/v1/services/other/path",
        slots=(
            Slot("image", "first_frame", "img_url", is_list=False, most=1),
            Slot("video", "reference_video", "media", is_list=True, most=5, needs="function"),
            Slot("audio", "audio", "sounds", is_list=True, most=None),
        ),
        is_open=True,
        ratio="aspect_ratio",
        resolution="mode",
        resolutions={"720P": "std"},
        input={"member": "f"},
        input_options=("function",),
    )
    assert second == Family(("a", "b"), sizes={"720P": {"16:9": "1280*720"}})
