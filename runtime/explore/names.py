"""Names of recordings and windows as other systems write them: decomposed letters (NFD), backslashes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import PurePath, PureWindowsPath

from runtime.files import composed

WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\|[^/]*\\[^/]*$")
"""Recognises a path from Windows: a drive or a share, or backslashes and no slash."""
READINGS = (PurePath, PureWindowsPath)
"""How to read a path: on Linux a backslash may be part of a name."""
END = re.compile(r"_(\d+)[.,]?(\d*)$")


class RowNames:
    """Finds rows by row_ids as other programs and people spell them.

    Differences that are overcome: decomposed letters (NFD), backslashes, `5.0` or `5,0` for 5, upper and lower case,
    and folders of the row's path in front.
    """

    def __init__(self, row_ids: Sequence[str], paths: Sequence[str]) -> None:
        self._row_ids, self._paths = row_ids, paths

    def find(self, name: str) -> set[str]:
        """The row_ids that a name may mean."""
        form = comparable(name)
        found = self._by_form.get(form) or self._by_letters.get(form.casefold())
        if found or "/" not in form:
            return found or set()
        return {row_id for full, row_id in self._by_path.get(form.rpartition("/")[2], ()) if full.endswith(f"/{form}")}

    @cached_property
    def _by_form(self) -> Mapping[str, set[str]]:
        return self._indexed(comparable)

    @cached_property
    def _by_letters(self) -> Mapping[str, set[str]]:
        return self._indexed(lambda row_id: comparable(row_id).casefold())

    def _indexed(self, form: Callable[[str], str]) -> Mapping[str, set[str]]:
        rows = defaultdict(set)
        for row_id in self._row_ids:
            rows[form(row_id)].add(row_id)
        return rows

    @cached_property
    def _by_path(self) -> Mapping[str, list[tuple[str, str]]]:
        """Of the rows of each name, the recording's path with the window's end, and the row_id."""
        rows = defaultdict(list)
        stems = {path: (pure(path).parent / pure(path).stem).as_posix() for path in dict.fromkeys(self._paths)}
        for row_id, path in zip(self._row_ids, self._paths):
            full = f"/{stems[path]}_{comparable(row_id).rpartition('_')[2]}"
            rows[full.rpartition("/")[2]].append((full, row_id))
        return rows


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
