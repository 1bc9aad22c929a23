"""Names of recordings and windows as other systems write them: decomposed letters (NFD), backslashes."""

from __future__ import annotations

import re
from pathlib import PurePath, PureWindowsPath

from runtime.files import composed

WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\|[^/]*\\[^/]*$")
"""Recognises a path from Windows: a drive or a share, or backslashes and no slash."""
READINGS = (PurePath, PureWindowsPath)
"""How to read a path: on Linux a backslash may be part of a name."""
END = re.compile(r"_(\d+)[.,]?(\d*)$")


def pure(path: str) -> PurePath:
    """A path for display, from this system or from Windows, with composed letters. Not for opening files."""
    return (PureWindowsPath if WINDOWS.match(path) else PurePath)(composed(path))


def comparable(row_id: str) -> str:
    """A row_id in the form used for comparing.

    Composed letters, slashes, its second as `format_end` writes it, and no space in front: label files lose that.
    """
    return END.sub(_second, composed(row_id).replace("\\", "/").strip())


def _second(match: re.Match[str]) -> str:
    fraction = match[2].rstrip("0")
    return f"_{match[1]}.{fraction}" if fraction else f"_{match[1]}"
