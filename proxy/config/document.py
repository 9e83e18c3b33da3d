"""YAML that remembers where everything stood: the only file that imports yaml."""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor

from proxy.config import ConfigError

Location = tuple[str | int, ...]

_NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_PLAIN_NUMBER = re.compile(
    r"[-+]?((0|[1-9][0-9_]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|\.[0-9]+|\.inf|\.nan)", re.IGNORECASE
)
"""To YAML, `010` is 8 and `1:30` is 90. Nobody who writes prices means that."""


def loader_by(parser: Any) -> Any:  # noqa: ANN401 - PyYAML's loaders share no type
    """The parser of libyaml with the nodes of PyYAML: a ninth of the time that PyYAML alone takes.

    libyaml's own nodes know no bound for what is nested, but the end of the process. A PyYAML that
    was built without libyaml has no such parser (None): then it is PyYAML alone.
    """
    if parser is None:
        return yaml.SafeLoader

    class Nodes(Composer, parser):  # type: ignore[misc]  # which parser is known when this runs
        def __init__(self, text: str) -> None:
            parser.__init__(self, text)
            Composer.__init__(self)

    return Nodes


_LOADER = loader_by(getattr(yaml, "CSafeLoader", None))


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data read from `name`, and the line (from 1) of everything in it."""

    name: str
    data: object
    lines: dict[Location, int] = field(default_factory=dict)

    def line(self, location: Location) -> int:
        """The line of a place, or of the nearest place around it that is there."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def at(self, location: Location) -> str:
        """`file:line` of a place, as `line` finds it."""
        return f"{self.name}:{self.line(location)}"


def read_document(name: str, text: str, loader: Any = _LOADER) -> Document:  # noqa: ANN401 - as above
    """Parse one YAML document. Raises `ConfigError` for bad syntax and for a name given twice."""
    document = Document(name, None)
    problems: list[str] = []
    try:
        root = _compose(text, loader)
        data = None if root is None else _plain(root, (), document, problems)
    except RecursionError as error:
        raise ConfigError(
            [f"{name}:1: a part that contains itself, or is nested too deep"]
        ) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([f"{name}:{line}: not YAML: {error.problem}"]) from error
    except yaml.YAMLError as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError([f"{name}:1: not YAML: {reason}"]) from error
    if problems:
        raise ConfigError(problems)
    return Document(name, data, document.lines)


def _compose(text: str, loader: Any) -> yaml.Node | None:  # noqa: ANN401 - as above
    """The nodes. What libyaml does not take PyYAML is asked about: its words are known."""
    try:
        return yaml.compose(text, Loader=loader)
    except yaml.YAMLError:
        return yaml.compose(text, Loader=yaml.SafeLoader)


def _plain(node: yaml.Node, at: Location, document: Document, problems: list[str]) -> object:
    document.lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*at, n), document, problems) for n, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, document, problems)
    if node.tag in _NUMBERS and not _PLAIN_NUMBER.fullmatch(str(node.value)):
        problems.append(
            f"{document.at(at)}: a number that YAML reads as another one (010 is 8, 1:30 is 90); "
            "write it plainly, or quote it as text"
        )
        return None
    try:
        return SafeConstructor().construct_object(node)
    except (yaml.MarkedYAMLError, ValueError):
        # A tag of another program, or a date that is none. The value may be a secret.
        problems.append(f"{document.at(at)}: a value that plain YAML cannot read; quote it as text")
        return None


def _mapping(
    node: yaml.MappingNode, at: Location, document: Document, problems: list[str]
) -> dict[str, object]:
    """A mapping with text keys. YAML keeps the last of two equal keys; here that is a mistake."""
    plain: dict[str, object] = {}
    for key, value in node.value:
        name = str(key.value)
        where = (*at, name)
        if name in plain:
            line = key.start_mark.line + 1
            problems.append(f"{document.name}:{line}: {name}: stands twice, keep one")
        plain[name] = _plain(value, where, document, problems)
        document.lines[where] = key.start_mark.line + 1
    return plain
