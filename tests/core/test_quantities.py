"""`core.quantities`: what counts as a number, and as a resolution."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.quantities import MOST, lines_of, lines_of_size, number_of, whole_of

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.from_regex(r"[0-9]{0,5}[.*xPpK:]?[0-9]{0,5}", fullmatch=True),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, "5"),
        (5.2, "5.2"),
        (0.1 + 0.2, "0.3"),  # 0.30000000000000004: nobody bills below a billionth
        (5e-7, "0.0000005"),
        (Decimal("5.25"), "5.25"),
        ("5", "5"),
        (" 5.20 ", "5.2"),
        (0, "0"),
        (MOST, str(MOST)),
        (1e9, str(MOST)),
    ],
)
def test_numbers_are_exact(value: object, number: str) -> None:
    """A float is what its shortest text says, and so is a text."""
    assert number_of(value) == Decimal(number)


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            True,
            False,
            [],
            {},
            "",
            "five",
            "-5",
            "+5",
            "1e3",
            "5s",
            "0x5",
            ".5",
            "1_000",
            "٥",
        ),
        *(-1, -0.5, MOST + 1, 1e300, float("nan"), float("inf"), float("-inf")),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1e999999"), "9" * 5000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_number(value: object) -> None:
    """Truth values, what is below nothing or beyond all measure, and what only resembles one."""
    assert number_of(value) is None
    assert whole_of(value) is None


def test_whole_numbers() -> None:
    """Three and 3.0 are one; half of something cannot be counted."""
    assert whole_of(3) == whole_of("3") == whole_of(3.0) == 3
    assert whole_of(3.5) is None


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        *((720, 720), ("720", 720), ("720P", 720), ("720p", 720), (" 1080P ", 1080), (480.0, 480)),
        *(("2K", 1440), ("4k", 2160), ("1K", 1080), ("8K", 4320), ("720.0", 720)),
        *((Decimal(768), 768), ("3K", None), (2, None), ("standard", None), ("", None)),
        *(
            (None, None),
            (True, None),
            (10**6, None),
            ("1280*720", None),
            (-720, None),
        ),
    ],
)
def test_resolutions_by_name(value: object, lines: int | None) -> None:
    """Numbers, texts, with or without the P, and the names that stores print on boxes."""
    assert lines_of(value) == lines


@pytest.mark.parametrize(
    ("size", "lines"),
    [
        # Upstream's own lists of sizes, by resolution, for wan2.5 and wan2.6.
        *[(size, 480) for size in ("832*480", "480*832", "624*624")],
        *[(size, 720) for size in ("1280*720", "720*1280", "960*960", "1088*832", "832*1088")],
        *[(size, 1080) for size in ("1920*1080", "1080*1920", "1440*1440", "1632*1248")],
        *[("1366*768", 768), ("1376*768", 768), ("2560*1440", 1440), ("3840*2160", 2160)],
        *[("1280x720", 720), ("1280X720", 720), ("1280 * 720", 720), ("1280:720", 720)],
        *[("99999*99999", 16384), ("7680*4320", 4320), ("20000*128", 1440)],
        *[("16:9", None), ("1:1", None), ("1*720", None), ("std", None), (720, None), (None, None)],
    ],
)
def test_resolutions_by_size(size: object, lines: int | None) -> None:
    """A size has the resolution under which upstream lists it, whatever its proportions."""
    assert lines_of_size(size) == lines


def test_an_integer_that_python_would_not_print() -> None:
    """Answers may hold one, and nothing here must turn it into text."""
    assert number_of(10**5000) is None
    assert lines_of(10**5000) is None


@given(ANYTHING)
def test_nothing_raises(value: object) -> None:
    """Whatever JSON there is: a quantity within bounds, or none."""
    number, whole = number_of(value), whole_of(value)
    assert number is None or 0 <= number <= MOST
    assert whole is None or 0 <= whole <= MOST
    for lines in (lines_of(value), lines_of_size(value)):
        assert lines is None or 128 <= lines <= 16_384
