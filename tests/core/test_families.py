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
