"""The site of a recording, by its path and a pattern such as `{site}/{date}_{time}`."""

from __future__ import annotations

import functools
import re

PIECES = {
    "{site}": r"(?P<site>[^/]+?)",
    "{date}": r"\d{4}-?\d\d-?\d\d",
    "{time}": r"\d\d[-_.:]?\d\d(?:[-_.:]?\d\d)?",
    "**": r".*",
    "*": r"[^/]*",
}
PIECE = re.compile(r"\{[^}]*\}?|\*\*|\*")


def site_of(pattern: str | None, below: str) -> str | None:
    """The site in the path of a recording below the folder that was named; None if the pattern does not match.

    The pattern is that of the path's end, or of the entire path if it begins with a slash; the file's ending may be
    left out. `{site}` is any text in one folder's or file's name, `{date}` and `{time}` are digits, `*` is any text in
    a name, `**` any text.
    """
    if pattern is None:
        return None
    compiled, bare = compiled_pattern(pattern), re.sub(r"\.[^./]*$", "", below)
    match = compiled.fullmatch(bare) or compiled.fullmatch(below)
    return None if match is None else match["site"]


@functools.lru_cache
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """Raises ValueError if it has other fields, or not one site."""
    fields = [piece for piece in PIECE.findall(pattern) if piece.startswith("{")]
    if fields.count("{site}") != 1 or not set(fields) <= PIECES.keys():
        raise ValueError(f"{pattern} has the fields {fields}")
    start = "" if pattern.startswith("/") else "(?:.*/)?"
    return re.compile(start + _expression(pattern.removeprefix("/")), re.DOTALL)


def _expression(pattern: str) -> str:
    literals, pieces = PIECE.split(pattern), PIECE.findall(pattern)
    return re.escape(literals[0]) + "".join(
        PIECES[piece] + re.escape(literal) for piece, literal in zip(pieces, literals[1:], strict=True)
    )
