"""Finds files at a URL, by the rules for folders and globs on a disk."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runtime.audio.hidden import SYSTEM, is_hidden
from runtime.errors import InputError
from runtime.remote import RemoteFile, find


@dataclass(frozen=True)
class RemoteFound:
    """What is at a URL: the folder, None where files were named or match a glob; and files.

    Each file comes with the folder for which it is skipped, None if it is not.
    """

    folder: str | None
    files: Sequence[tuple[RemoteFile, str | None]]
    is_file: bool = False
    """Whether the URL names a file itself."""


def find_remote(url: str) -> RemoteFound:
    """The files at a URL of a file or folder, or those that match a glob in it.

    Raises:
        InputError: there is nothing.
        OSError: it cannot be listed.
    """
    found = find(url)
    if "" in found:
        return RemoteFound(None, [(found[""], None)], is_file=True)
    top = url.rstrip("/")
    if found:
        return RemoteFound(top, [(file, _hidden(top, name.split("/"), 0)) for name, file in found.items()])
    files = list(_matching(url)) if glob.has_magic(url) else []
    if not files:
        raise InputError(f"there is no file or folder {url!r}")
    return RemoteFound(None, files)


def _matching(url: str) -> Iterator[tuple[RemoteFile, str | None]]:
    """The files that match a glob, or lie below a folder that does."""
    parts = url.split("/")
    fixed = next(k for k, part in enumerate(parts) if glob.has_magic(part))
    top, pattern = "/".join(parts[:fixed]), [part for part in parts[fixed:] if part]
    for name, file in find(top).items():
        path = name.split("/")
        deepest = len(path) - url.endswith("/")  # then only folders match
        ends = [k for k in range(deepest + 1) if _matches(path[:k], pattern)]
        hidden = [_system(top, path[:k], pattern) or _hidden(top, path, k) for k in ends]
        if ends:
            yield file, None if None in hidden else hidden[0]


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path matches a glob as Python's `glob` understands it: `**` stands for any folders but hidden ones."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        visible = next((k for k, part in enumerate(path) if part.startswith(".")), len(path))
        return any(_matches(path[k:], pattern[1:]) for k in range(visible + 1))
    if not path or (path[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def _system(top: str, path: Sequence[str], pattern: Sequence[str]) -> str | None:
    """The first system folder that a match lies in or is, unless the glob names it."""
    at = next((k for k, part in enumerate(path) if part.casefold() in SYSTEM and part not in pattern), None)
    return None if at is None else "/".join([top, *path[: at + 1]])


def _hidden(top: str, path: Sequence[str], first: int) -> str | None:
    """The first hidden folder on the way to a file, from the folder with this number on."""
    at = next((k for k in range(first, len(path) - 1) if is_hidden(path[k])), None)
    return None if at is None else "/".join([top, *path[: at + 1]])
