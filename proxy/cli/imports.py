"""What is imported when it is asked for, kept from the search for garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unsearched() -> Iterator[None]:
    """Import without looking for garbage meanwhile: imports make none.

    Nor is it looked for among what was imported, which stays: the next two looks would take a sixth
    of a cold start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
