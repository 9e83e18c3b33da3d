"""Families of models, and the one that every other model is of."""

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.families import PAGE, PLAIN, Family, Slot, family_of

FIRST = Family(("wan*-i2v*",), slots=(Slot("image", "first_frame", "img_url", is_list=False),))
SECOND = Family(("wan*",))


def test_the_first_pattern_wins() -> None:
    """Order counts; a model of no family is what the page says."""
    assert family_of([FIRST, SECOND], "wan2.6-i2v") is FIRST
    assert family_of([FIRST, SECOND], "wan2.6-t2v") is SECOND
    assert family_of([FIRST, SECOND], "kling-v2") is PAGE


def test_the_slots_of_a_field() -> None:
    """In their order, those of one kind."""
    assert [slot.role for slot in PAGE.slots] == list(PLAIN.values())
    assert PAGE.slots_for("video") == [Slot("video", "video")]
    assert SECOND.slots_for("video") == []


def test_the_packaged_families_are_told_apart() -> None:
    """No family stands behind one that takes all its models: it would never be met."""
    families = load_routing(PACKAGED, {}).table.families
    for number, family in enumerate(families):
        names = [pattern.replace("*", "x") for pattern in family.models]
        assert any(family_of(families[: number + 1], name) is family for name in names)


def test_families_and_the_short_route_agree() -> None:
    """Whatever model `image2video` is asked for, it goes where the façades send it."""
    table = load_routing(PACKAGED, {}).table
    (route,) = [one for one in table.routes if one.pattern == "/task/bailian/image2video"]
    assert route.retargets == tuple(
        (family.models, family.target) for family in table.families if family.target
    )
    for patterns, target in route.retargets:
        names = [pattern.replace("*", "x") for pattern in patterns]
        assert {family_of(table.families, name).target for name in names} == {target}
