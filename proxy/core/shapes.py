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


def shape_parameters(wish: Wish, family: Family) -> dict[str, object]:
    """The parameters for the shape that is wished for.

    Raises `ProxyError` (`ILLEGAL_INPUT`) naming the field that the family cannot take.
    """
    size = wish.shape.text("size")
    if size is not None and not SIZE.fullmatch(size):
        raise wrong(wish.shape.field("size"), "must be width*height, as 1280*720")
    if family.sizes:
        return _as_size(wish, family) if wish.shape.values else {}
    if size is not None:
        _split_size(wish, size)
    return _as_resolution_and_ratio(wish, family)


def _as_size(wish: Wish, family: Family) -> dict[str, object]:
    """One of the family's sizes, the first that fits what was said."""
    wished = [wish.shape.text(name) for name in ("resolution", "ratio", "size")]
    if wished[2] and wished[:2] == [None, None]:
        return {"size": wished[2]}  # upstream may know more of them than we do
    for row in _rows(family):
        if all(want in {None, have} for want, have in zip(wished, row, strict=True)):
            return {"size": row[2]}
    name = next(name for name in ("ratio", "size", "resolution") if wish.shape.text(name))
    choices = "; ".join(f"{tier} {', '.join(sizes)}" for tier, sizes in family.sizes.items())
    raise wrong(
        wish.shape.field(name), f"{wish.model} has no such size; it has, by ratio, {choices}"
    )


def _rows(family: Family) -> Iterator[tuple[str, str, str]]:
    for resolution, sizes in family.sizes.items():
        for ratio, size in sizes.items():
            yield resolution, ratio, size


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


def _as_resolution_and_ratio(wish: Wish, family: Family) -> dict[str, object]:
    parameters: dict[str, object] = {}
    resolution, ratio = wish.shape.text("resolution"), wish.shape.text("ratio")
    if resolution and family.resolutions:
        if resolution not in family.resolutions:
            choices = " or ".join(family.resolutions)
            raise wrong(wish.shape.field("resolution"), f"{wish.model} has {choices}")
        parameters[family.resolution] = family.resolutions[resolution]
    elif resolution:
        parameters[family.resolution] = resolution
    if ratio:
        parameters[family.ratio] = ratio
    return parameters
