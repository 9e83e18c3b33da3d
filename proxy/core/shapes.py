"""Ratio, resolution and size of a video, in the words a family's endpoint takes."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from proxy.core.documents import wrong
from proxy.core.families import Family
from proxy.core.unified import Wish

SIZE = re.compile(r"([1-9]\d{0,4})\*([1-9]\d{0,4})")

TIERS: Mapping[str, int] = MappingProxyType(
    {"480P": 832 * 480, "720P": 1280 * 720, "1080P": 1920 * 1080}
)
"""Resolutions, each with its pixels: sizes of one tier have about as many, whatever the ratio."""

RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")

_NEAR = 0.05
"""How far a documented size is from its tier or its ratio at most: 832*480 is not quite 16:9."""


_BLAMED = ("ratio", "size", "resolution")
"""Which is at fault where each alone would do."""


def put_shape(wish: Wish, family: Family) -> None:
    """Put the shape that is wished for among the parameters.

    Raises `ProxyError` (`ILLEGAL_INPUT`) naming the field that the family cannot take, or that
    says otherwise than an option.
    """
    size = wish.shape.text("size")
    if size is not None and not SIZE.fullmatch(size):
        raise wrong(wish.shape.field("size"), "must be width*height, as 1280*720")
    if not family.sizes:
        if size is not None:
            _split_size(wish, size)
        _put_resolution_and_ratio(wish, family)
    elif wish.shape.values:
        field = wish.shape.field(next(iter(wish.shape.values)))
        wish.parameters.put("size", _one_size(wish, family), field)


def _one_size(wish: Wish, family: Family) -> str:
    """One of the family's sizes, the first that fits what was said."""
    wished = {name: text for name in _BLAMED if (text := wish.shape.text(name))}
    if wished.keys() == {"size"}:
        return wished["size"]  # upstream may know more of them than we do
    for row in _rows(family):
        if wished.items() <= row.items():
            return row["size"]
    alone = [name for name in wished if all(wished[name] != row[name] for row in _rows(family))]
    choices = "; ".join(f"{tier} {', '.join(sizes)}" for tier, sizes in family.sizes.items())
    raise wrong(
        wish.shape.field([*alone, *wished][0]),
        f"{wish.model} has no such size; it has, by ratio, {choices}",
    )


def _rows(family: Family) -> Iterator[dict[str, str]]:
    for resolution, sizes in family.sizes.items():
        for ratio, size in sizes.items():
            yield {"resolution": resolution, "ratio": ratio, "size": size}


def _split_size(wish: Wish, size: str) -> None:
    """Say a size as resolution and ratio. Raises `ProxyError` where it has no such names."""
    width, height = map(int, size.split("*"))
    where = wish.shape.field("size")
    tier = next((name for name, most in TIERS.items() if _is_near(width * height, most)), None)
    ratio = next((name for name in RATIOS if _is_near(width / height, _quotient(name))), None)
    if tier is None or ratio is None:
        raise wrong(where, f"{wish.model} takes resolution and ratio; send these instead")
    wish.shape.put("resolution", tier, where)
    wish.shape.put("ratio", ratio, where)


def _is_near(value: float, other: float) -> bool:
    return abs(value / other - 1) <= _NEAR


def _quotient(ratio: str) -> float:
    width, height = map(int, ratio.split(":"))
    return width / height


def _put_resolution_and_ratio(wish: Wish, family: Family) -> None:
    resolution, ratio = wish.shape.text("resolution"), wish.shape.text("ratio")
    if resolution:
        where = wish.shape.field("resolution")
        called = family.resolutions or {resolution: resolution}
        if resolution not in called:
            raise wrong(where, f"{wish.model} has {' or '.join(called)}")
        wish.parameters.put(family.resolution, called[resolution], where)
    if ratio:
        wish.parameters.put(family.ratio, ratio, wish.shape.field("ratio"))
