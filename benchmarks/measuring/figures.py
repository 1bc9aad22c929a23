"""The figures of a command as JSON; `make results` turns them into tables and plots."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.files import Files, check_outputs, check_writable, replacing


def check_writable_figures(writes: Mapping[str, Path | None], reads: Mapping[str, Files]) -> None:
    """Checks before the work that its results can be written, and that they replace no file that is read.

    Raises:
        InputError: one would replace a file that is read.
        OutputError: one cannot be written.
    """
    check_outputs(writes, reads)
    for path in writes.values():
        if path is not None:
            check_writable(path)


def write_json(path: Path | None, command: str, figures: Mapping[str, Any]) -> None:
    """Writes the figures and the name of the command that measured them, if `path` is not None.

    Numbers that are not finite, which JSON cannot hold, become null.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(_plain({"command": command, **figures}), indent=1) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
