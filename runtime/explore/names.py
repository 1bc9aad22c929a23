"""Names of recordings and windows as other systems write them: with letters taken apart (NFD), with backslashes."""

from __future__ import annotations

import re
from pathlib import PurePath, PureWindowsPath

from runtime.files import composed

WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\|[^/]*\\[^/]*$")
"""How a path of Windows starts; or it has backslashes, and no slash."""
READINGS = (PurePath, PureWindowsPath)
"""How a path may be meant: on Linux a backslash is a letter like others."""
END = re.compile(r"_(\d+)[.,]?(\d*)$")


def pure(path: str) -> PurePath:
    """A path as it is shown, of this system or of Windows: its letters put together. Not to be opened."""
    return (PureWindowsPath if WINDOWS.match(path) else PurePath)(composed(path))


def comparable(row_id: str) -> str:
    """A row_id as it is compared: letters put together, slashes, and its second as `format_end` writes it."""
    return END.sub(_second, composed(row_id).replace("\\", "/"))


def _second(found: re.Match[str]) -> str:
    fraction = found[2].rstrip("0")
    return f"_{found[1]}.{fraction}" if fraction else f"_{found[1]}"
