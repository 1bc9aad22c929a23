"""Folders that are skipped unless they are named themselves."""

from __future__ import annotations

SYSTEM = frozenset(
    (
        *("$recycle.bin", "recycler", "recycled", "system volume information", "found.000", "$extend"),  # Windows
        *("__macosx", "network trash folder", "temporary items"),  # macOS; its other ones start with a dot
        *("lost+found", "lost.dir"),  # Linux, Android
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "~snapshot"),  # network drives
    )
)
"""System folders and bins, which hold no recordings or deleted ones."""


def is_hidden(folder: str) -> bool:
    """Whether a folder of this name is skipped."""
    return folder.startswith(".") or folder.casefold() in SYSTEM
