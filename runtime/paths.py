"""Which recordings a user means, in which order, and what their rows are called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError, reason

EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".mp3", ".opus"})
Sources = str | Path | Iterable[str | Path]


@dataclass(frozen=True)
class Found:
    """Recordings in the order of their rows.

    `names` stand in row ids: the stem, or where stems repeat the path relative to `root`. `skipped` counts files that
    are no recordings.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    root: Path
    skipped: int

    @property
    def repeated_stem(self) -> tuple[Path, Path] | None:
        """Two recordings with one stem, if there are any."""
        seen: dict[str, Path] = {}
        for path in self.paths:
            if path.stem in seen:
                return seen[path.stem], path
            seen[path.stem] = path
        return None


def find_recordings(soundscapes: Sources) -> Found:
    """Finds recordings in a folder (read recursively), by a glob, at a path, or at several paths.

    Folders and globs give files with a known extension, in any case; `._*` (macOS's shadows) and others are skipped
    and counted. A path that names a file is taken as it is.

    Raises:
        InputError: a path does not exist or cannot be read, or a glob matches nothing.
    """
    sources = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    taken: dict[str, Path] = {}  # by absolute path, so that none is taken twice
    skipped = 0
    for source in sources:
        for path in _files(str(source)):
            if os.path.isfile(source) or _is_recording(path):
                taken[os.path.abspath(path)] = path
            else:
                skipped += 1
    root = _root(sources, taken)
    paths = sorted(taken.values(), key=lambda path: _relative(path, root).as_posix())
    return Found(tuple(paths), tuple(_names(paths, root)), root, skipped)


def _files(source: str) -> list[Path]:
    """The files that a path, folder or glob stands for."""
    if os.path.isdir(source) and source:
        return _files_below(source)
    if os.path.isfile(source):
        return [Path(source)]
    if os.path.lexists(source):
        raise InputError(f"{source} is neither a file nor a folder that can be read")
    matches = sorted(glob.glob(source, recursive=True))
    if not matches:
        raise InputError(f"there is no file or folder {source!r}")
    return [path for match in matches for path in (_files_below(match) if os.path.isdir(match) else [Path(match)])]


def _files_below(folder: str) -> list[Path]:
    """All files below a folder, also through linked folders, each of which is entered once."""

    def refuse(error: OSError) -> None:
        raise InputError(f"cannot read the folder {error.filename} ({reason(error)})")

    files: list[Path] = []
    entered: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(parent)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        files += [Path(parent) / name for name in names]
    return files


def _is_recording(path: Path) -> bool:
    """By its name; a link that leads nowhere counts, so that it is reported, a device or pipe does not."""
    named = path.suffix.lower() in EXTENSIONS and not path.name.startswith("._")
    return named and (os.path.isfile(path) or not os.path.exists(path))


def _root(sources: Sequence[str | Path], taken: Iterable[str]) -> Path:
    if len(sources) == 1 and os.path.isdir(sources[0]):
        return Path(sources[0])
    folders = [os.path.dirname(path) for path in taken]
    return Path(os.path.commonpath(folders)) if folders else Path()


def _relative(path: Path, root: Path) -> Path:
    return Path(os.path.relpath(path, root))


def _names(paths: list[Path], root: Path) -> list[str]:
    """Stems; where they repeat, relative paths without the ending; where those repeat too, with it."""
    stems = Counter(path.stem for path in paths)
    relative = [_relative(path, root) for path in paths]
    without_ending = Counter(path.with_suffix("") for path in relative)
    names = []
    for path, below in zip(paths, relative, strict=True):
        if stems[path.stem] == 1:
            names.append(path.stem)
        elif without_ending[below.with_suffix("")] == 1:
            names.append(below.with_suffix("").as_posix())
        else:
            names.append(below.as_posix())
    # `x.ogg.ogg` beside `x.wav` and `x.ogg` has the stem that another one's ending gave it
    return names if len(set(names)) == len(names) else [below.as_posix() for below in relative]
