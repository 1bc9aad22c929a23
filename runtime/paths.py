"""Which recordings a user means, in which order, and what their rows are called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError

EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".mp3", ".opus"})
Soundscapes = str | Path | Iterable[str | Path]


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


def find_recordings(soundscapes: Soundscapes) -> Found:
    """Finds recordings in a folder (read recursively), by a glob, at a path, or at several paths.

    Folders and globs give files with a known extension, in any case; `._*` (macOS's shadows) and others are skipped
    and counted. A path that names a file is taken as it is.

    Raises:
        InputError: a path does not exist, or a glob matches nothing.
    """
    sources = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    taken: set[Path] = set()
    skipped = 0
    for source in map(Path, sources):
        if source.is_dir():
            files = _files_below(source)
        elif source.exists():
            taken.add(source)
            continue
        else:
            files = [Path(match) for match in glob.glob(str(source), recursive=True)]
            if not files:
                raise InputError(f"there is no file or folder {source}")
        recordings = {path for path in files if _is_recording(path)}
        skipped += len(files) - len(recordings)
        taken |= recordings
    root = _root(sources, taken)
    paths = sorted(taken, key=lambda path: _relative(path, root).as_posix())
    return Found(tuple(paths), tuple(_names(paths, root)), root, skipped)


def _files_below(folder: Path) -> list[Path]:
    return [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith("._") and path.is_file()


def _root(sources: list[str | Path], taken: set[Path]) -> Path:
    if len(sources) == 1 and Path(sources[0]).is_dir():
        return Path(sources[0])
    folders = [str(path.absolute().parent) for path in taken]
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
    return names
