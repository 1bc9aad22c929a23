"""The random share: windows that were labelled in a random order, and so stand for all windows."""

from __future__ import annotations

import hashlib

WORD = b"perch-explore random share\n"
"""Sets this order apart from other uses of the hash. Another word would reshuffle what people have labelled."""


def draw(row_id: str) -> int:
    """A window's place in the random order, from 0 to 2**64 - 1; it depends on the row_id alone.

    Whatever rows there are, those with the smallest numbers are a random sample of them, in every session and on every
    machine.
    """
    digest = hashlib.sha256(WORD + row_id.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8])
