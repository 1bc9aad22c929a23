"""Memory that is free."""

from __future__ import annotations

import psutil

from runtime.memory import free_in_container

RESERVE = 0.1
"""Share of the free memory that is left to other programs."""


def available_memory() -> int:
    """Bytes that are free, within the limit of this container, less a reserve for other programs."""
    free, here = psutil.virtual_memory().available, free_in_container()
    return round((free if here is None else min(free, here)) * (1 - RESERVE))
