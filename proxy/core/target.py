"""The request target: taken apart without changing a byte, refused when it could mean two paths.

The public path is matched decoded, because that is how upstream will read it, and forwarded as
it came, escape for escape. Between the two lies every traversal trick, so what could be read
differently by a second decoder is no path of ours: dot segments, empty segments, encoded
slashes, backslashes, `;` parameters, `%25` (an escape within an escape), invisible characters.
Segments are judged as the most forgiving decoder would see them, after NFKC and without outer
blanks: full-width dots and slashes are dots and slashes to a best-fit mapping.
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from proxy.core.errors import ProxyError, Situation

_ABSOLUTE_FORM = re.compile(r"https?://[^/?#]*", re.IGNORECASE)  # RFC 9112 section 3.2.2
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_RAW = re.compile(r"[!$&'()*+,\-./0-9:=@A-Z_a-z~%]*")  # RFC 3986 pchar, without `;`
_UNSAFE_DECODED = re.compile(r"[\x00-\x1f\x7f-\x9f/\\;?#%]")
_UNSAFE_QUERY = re.compile(r"[\x00-\x20\x7f#\ud800-\udfff]")  # what could end a request line
_PLAIN = re.compile(r"(?:/[!$&'()*+,\-0-9:=@A-Z_a-z~][!$&'()*+,\-.0-9:=@A-Z_a-z~]*+)++/?+")
"""Nearly all paths: nothing to decode, no dot and nothing empty where a segment begins."""
_NO_NAMES = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class Target:
    """A confined request target.

    `raw` are the path's segments as they came, `segments` the same decoded; `slash` tells of a
    trailing slash, kept and never redirected. `query` is raw, None when there was no `?`.
    """

    raw: tuple[str, ...]
    segments: tuple[str, ...]
    slash: bool
    query: str | None

    @property
    def path(self) -> str:
        """The path as it came."""
        return "/" + "/".join(self.raw) + ("/" if self.slash and self.raw else "")


def parse_target(text: str) -> Target:
    """Take a request target apart. Raises `ProxyError` (`NOT_FOUND`) for what is no safe path.

    Of an absolute-form target only the path counts: the host is the configured upstream's.
    """
    absolute = _ABSOLUTE_FORM.match(text)  # at the very beginning: a query may hold a URL
    path, mark, query = text[absolute.end() if absolute else 0 :].partition("?")
    is_plain = _PLAIN.fullmatch(path) is not None
    if not is_plain:
        _demand_path(path)
    if _UNSAFE_QUERY.search(query):
        raise _no_such_path("has characters that may not stand in a query")
    raw = path[1:].split("/")
    slash = raw[-1] == ""
    if slash:
        raw.pop()
    segments = raw if is_plain else map(_decoded, raw)
    return Target(tuple(raw), tuple(segments), slash, query if mark else None)


def _demand_path(path: str) -> None:
    if not path.startswith("/") or not _RAW.fullmatch(path) or _BAD_ESCAPE.search(path):
        raise _no_such_path("has characters that may not stand in a path")


def rough_segments(text: str) -> tuple[str, ...]:
    """The segments of any request target, as they came: to tell whose it was, not to match it."""
    absolute = _ABSOLUTE_FORM.match(text)
    path = text[absolute.end() if absolute else 0 :].partition("?")[0]
    return tuple(path.strip("/").split("/"))


def _decoded(segment: str) -> str:
    if "%" not in segment and segment not in _NO_NAMES:
        return segment  # all of `_RAW` is plain
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise _no_such_path("is not UTF-8") from None
    forgiven = unicodedata.normalize("NFKC", text)
    if forgiven != text or text != text.strip():
        raise _no_such_path("has a character that another server could read as a plainer one")
    if forgiven in _NO_NAMES:
        raise _no_such_path("has an empty or a dot segment")
    if not text.isprintable():
        raise _no_such_path("has a character that nobody can see")
    if _UNSAFE_DECODED.search(forgiven):
        raise _no_such_path("has an escape that another server could read as part of the path")
    return text


def query_values(query: str | None, name: str) -> list[str]:
    """The decoded values of `name` in a query.

    Raises `ProxyError` (`ILLEGAL_INPUT`) for a look-alike of the name (`Model`, `model[0]`), for
    `;`, which some parsers take for `&`, and for a value with characters nobody can see or that
    are not UTF-8: what is judged must be what upstream reads.
    """
    if not query:
        return []
    plain = query.replace(";", "&")
    pairs = parse_qsl(plain, keep_blank_values=True, encoding="utf-8", errors="surrogateescape")
    similar = [(key, value) for key, value in pairs if _fold(key) == _fold(name)]
    if similar and (";" in query or any(key != name for key, _ in similar)):
        raise ProxyError(
            Situation.ILLEGAL_INPUT, f"query.{name}: spell it plainly, once, without `;`."
        )
    values = [value for _, value in similar]
    if not all(value.isprintable() for value in values):
        raise ProxyError(
            Situation.ILLEGAL_INPUT, f"query.{name}: must be UTF-8 without invisible characters."
        )
    return values


def _fold(name: str) -> str:
    """What the most forgiving parser would make of a name; `name[...]` is a list to some."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"(?<!^)\[.*|[^0-9a-z]", "", plain, flags=re.DOTALL)


def _no_such_path(problem: str) -> ProxyError:
    return ProxyError(Situation.NOT_FOUND, f"No such path: it {problem}.")
