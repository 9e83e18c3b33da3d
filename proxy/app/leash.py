"""A child process that ends with its parent, whatever ended that one.

The parent holds the other end of the child's standard input and never writes there. When it is
gone, killed without a chance to say so included, the child reads the end of it.
"""

import asyncio
import os
from collections.abc import Callable


def when_parent_ends(then: Callable[[], object], descriptor: int = 0) -> None:
    """Call `then` in the running loop when whoever holds the other end is gone."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        if not os.read(descriptor, 1024):
            loop.remove_reader(descriptor)
            then()

    loop.add_reader(descriptor, readable)
