"""What is printed for people and for pipes."""

import pytest

from proxy.cli.tables import print_facts, print_table, shown


def test_columns_do_not_move(capsys: pytest.CaptureFixture[str]) -> None:
    """Each column is as wide as its widest cell; numbers end at one edge; no blanks at the end."""
    print_table([("NAME", "AMOUNT", "MODELS"), ("alice", "1.5", "*"), ("b", "120", "")], right={1})
    assert capsys.readouterr().out.splitlines() == [
        "NAME   AMOUNT  MODELS",
        "alice     1.5  *",
        "b         120",
    ]


@pytest.mark.parametrize("planted", ["x\ny", "\x1b[2J", "a\tb", "\u202egnp.exe"])
def test_nothing_steers_a_terminal(capsys: pytest.CaptureFixture[str], planted: str) -> None:
    """What others wrote stays on its line, and is told instead of obeyed."""
    print_table([("NAME",), (planted,)])
    print_facts([("name", planted)])
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 3
    assert planted not in out
    assert shown(planted) in out
