"""`python -m bench.counted FILE MODULE [ARGUMENT ...]`: a module that counts its own instructions.

Runs the module as `python -m` does. From SIGUSR1 on, every instruction that the interpreter runs
in the main thread is counted, whoever's code it is of; SIGUSR2 ends that and writes the number to
the file.
"""

import runpy
import signal
import sys
from pathlib import Path
from types import FrameType


class Counter:
    """Counts while it is on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._count = 0

    def begin(self, *_: object) -> None:
        """Count from 0, in every frame that is entered or gone on with from now on."""
        self._count = 0
        sys.settrace(self._entered)

    def end(self, *_: object) -> None:
        """Count no more, and tell."""
        sys.settrace(None)
        self._file.write_text(f"{self._count}\n", "ascii")

    def _entered(self, frame: FrameType, event: str, arg: object) -> "Counter":  # noqa: ARG002 - sys.settrace's form
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self

    def __call__(self, frame: FrameType, event: str, arg: object) -> "Counter":  # noqa: ARG002 - the same
        """One event in a frame that is traced."""
        self._count += event == "opcode"
        return self


def main() -> None:
    """Become the module."""
    file, name = sys.argv[1:3]
    counter = Counter(Path(file))
    signal.signal(signal.SIGUSR1, counter.begin)
    signal.signal(signal.SIGUSR2, counter.end)
    sys.argv = sys.argv[2:]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
