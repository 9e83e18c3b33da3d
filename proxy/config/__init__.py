"""READS. Environment and `routes.yaml` in, frozen values out, or every mistake with its line.

    settings.py   the environment -> `Settings`
    document.py   YAML -> plain data that remembers its lines
    schema.py     what `routes.yaml` may say, field by field
    routing.py    data -> routes and upstream accounts

Nothing is parsed at request time; a value that got past this room is right.
"""


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are whole lines, fit to be printed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
