"""Which recordings a user means, in which order, and what their rows are called."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime.audio.extensions import FORMATS, RECORDINGS, convertible, how_to_read
from runtime.errors import InputError, reason, some

Sources = str | Path | Iterable[str | Path]
SYSTEM = frozenset(
    (
        *("$recycle.bin", "recycler", "recycled", "system volume information", "found.000", "$extend"),  # Windows
        *("__macosx", "network trash folder", "temporary items"),  # macOS; its other ones start with a dot
        *("lost+found", "lost.dir"),  # Linux, Android
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "~snapshot"),  # network drives
    )
)
"""Folders that hold no recordings, or those that were thrown away."""
AUDACITY_BLOCK = re.compile(r"e[0-9a-f]{7}\.au")
"""What Audacity's projects were made of: six seconds of a track each."""


@dataclass(frozen=True)
class Found:
    """Recordings in the order of their rows.

    `names` stand in row ids: the stem, or where stems repeat the path relative to `root`. `skipped` counts files that
    are no recordings, of which `hidden_files` are hidden.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    root: Path
    skipped: int
    hidden_files: int = 0
    hidden: tuple[str, ...] = ()
    """Hidden folders, bins and the system's own, which nobody looked into."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Folders that could not be read, and why."""
    convertible: Mapping[str, int] = field(default_factory=dict)
    """By ending how many files hold sound that cannot be read before it is converted."""

    @property
    def repeated_stem(self) -> tuple[Path, Path] | None:
        """Two recordings with one stem, if there are any."""
        seen: dict[str, Path] = {}
        for path in self.paths:
            if path.stem in seen:
                return seen[path.stem], path
            seen[path.stem] = path
        return None

    @property
    def lost(self) -> tuple[str, ...]:
        """Folders that could not be read and may hold recordings."""
        return tuple(folder for folder in self.unreadable if folder not in self.hidden)

    @property
    def warning(self) -> str | None:
        """What is to be said of folders that could not be read."""
        if not self.unreadable:
            return None
        folders = some([f"{folder} ({why})" for folder, why in self.unreadable.items()])
        return f"skipped, as they cannot be read: {len(self.unreadable)} folders: {folders}"

    def nothing(self, named: object) -> str:
        """What is to be said where there are no recordings."""
        return "; ".join([f"no recordings in {named} ({FORMATS})", *self.passed_over()])

    def passed_over(self) -> list[str]:
        """Lines about what is not among the recordings."""
        lines = []
        if self.skipped:
            hidden = f", {self.hidden_files} of them hidden" if self.hidden_files else ""
            lines.append(f"skipped, being no recordings: {self.skipped} files{hidden}")
        if self.hidden:
            names = some([os.path.basename(folder) for folder in self.hidden])
            lines.append(f"skipped, being hidden or the system's: {len(self.hidden)} folders ({names})")
        if self.lost:
            lines.append(f"skipped, as they cannot be read: {len(self.lost)} folders ({some(self.lost)})")
        if self.convertible:
            lines.append(f"skipped, in formats that cannot be read: {how_to_read(self.convertible)}")
        return lines


def find_recordings(soundscapes: Sources) -> Found:
    """Finds recordings in a folder (read recursively), by a glob, at a path, or at several paths.

    Folders and globs give files with a known ending, in any case. Hidden files and folders, bins and the system's own
    folders are skipped and counted, as are others, and folders that cannot be read; but a folder that is named is read,
    whatever it is called. A path that names a file is taken as it is.

    Raises:
        InputError: a path does not exist or cannot be read, or a glob matches nothing; or no recordings were found, and
            a folder cannot be read.
    """
    sources = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    search = _Search()
    for source in map(str, sources):
        try:
            search.source(source)
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"cannot look for recordings at {source!r} ({reason(error)})") from None
    return search.found(sources)


class _Search:
    """What was met so far. Files are known by their absolute paths, so that none is taken or counted twice."""

    def __init__(self) -> None:
        self._taken: dict[str, Path] = {}
        self._skipped: set[str] = set()
        self._hidden_files: set[str] = set()
        self._hidden: dict[str, None] = {}
        self._unreadable: dict[str, str] = {}
        self._convertible: dict[str, str] = {}

    def source(self, source: str) -> None:
        """Takes what a path, folder or glob stands for."""
        entered: set[str] = set()
        if os.path.isdir(source) and source:
            self._folder(source, entered)
        elif os.path.isfile(source):
            self._taken[os.path.abspath(source)] = Path(source)
        elif os.path.lexists(source):
            raise InputError(f"{source} is neither a file nor a folder that can be read")
        else:
            self._glob(source, entered)

    def _glob(self, pattern: str, entered: set[str]) -> None:
        matches = sorted(glob.glob(pattern, recursive=True))
        for folder in _folders_of(pattern):
            if not _is_open(folder):  # which glob does not tell
                self._unreadable[folder] = "permission denied"
        if not matches and not self._unreadable:
            raise InputError(f"there is no file or folder {pattern!r}")
        named = Path(pattern).parts
        for match in (*self._unreadable, *matches):
            system = next((part for part in Path(match).parts if part.casefold() in SYSTEM and part not in named), None)
            if system is not None:
                self._pass_over(match[: match.index(system) + len(system)])
            elif os.path.isdir(match):
                self._folder(match, entered)
            else:
                self._file(match)

    def _folder(self, top: str, entered: set[str]) -> None:
        """Takes the recordings below a folder, also through linked folders, each of which is entered once."""

        def note(error: OSError) -> None:
            self._unreadable[str(error.filename)] = reason(error)

        for parent, folders, names in os.walk(top, followlinks=True, onerror=note):
            real = os.path.realpath(parent)
            if real in entered:
                folders.clear()
                continue
            entered.add(real)
            for name in filter(_is_hidden, folders):
                self._pass_over(os.path.join(parent, name))
            folders[:] = sorted(name for name in folders if not _is_hidden(name))
            for name in names:
                self._file(os.path.join(parent, name))

    def _pass_over(self, folder: str) -> None:
        self._hidden[folder] = None
        if not _is_open(folder):
            self._unreadable[folder] = "permission denied"

    def _file(self, path: str) -> None:
        """Takes a file that is a recording by its name. A link that leads nowhere is one, so that it is reported; a
        device or pipe is none."""
        name, absolute = os.path.basename(path), os.path.abspath(path)
        ending = os.path.splitext(name)[1].lower()
        if name.startswith("."):
            self._hidden_files.add(absolute)
        elif ending in RECORDINGS and not AUDACITY_BLOCK.fullmatch(name):
            if os.path.isfile(path) or not os.path.exists(path):
                self._taken[absolute] = Path(path)
                return
        elif sound := convertible(name):
            self._convertible[absolute] = sound
            return
        self._skipped.add(absolute)

    def found(self, sources: Sequence[str | Path]) -> Found:
        """All of it, in order.

        Raises:
            InputError: there is nothing, and a folder cannot be read.
        """
        root = _root(sources, self._taken)
        start = os.path.join(os.path.abspath(root), "")
        ordered = sorted((path.removeprefix(start).replace(os.sep, "/"), given) for path, given in self._taken.items())
        found = Found(
            tuple(path for _, path in ordered),
            tuple(_names(ordered)),
            root,
            len(self._skipped),
            len(self._hidden_files & self._skipped),
            tuple(self._hidden),
            self._unreadable,
            Counter(self._convertible.values()),
        )
        if not ordered and found.lost:
            why = self._unreadable[found.lost[0]]
            raise InputError(f"cannot read the folder {found.lost[0]} ({why}), and there are no recordings elsewhere")
        return found


def _folders_of(pattern: str) -> Iterator[str]:
    """The folders that a glob looks into."""
    while glob.has_magic(pattern):
        pattern = os.path.dirname(pattern)
        yield from filter(os.path.isdir, glob.glob(pattern, recursive=True) if pattern else ["."])


def _is_open(folder: str) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def _is_hidden(folder: str) -> bool:
    """Whether nobody looks into a folder of this name unless it is told to."""
    return folder.startswith(".") or folder.casefold() in SYSTEM


def _root(sources: Sequence[str | Path], taken: Iterable[str]) -> Path:
    if len(sources) == 1 and os.path.isdir(sources[0]):
        return Path(sources[0])
    folders = {os.path.dirname(path) for path in taken}
    return Path(os.path.commonpath(folders)) if folders else Path()


def _names(ordered: Sequence[tuple[str, Path]]) -> list[str]:
    """Stems; where they repeat, paths relative to the root without the ending; where those repeat too, with it."""
    stems = Counter(path.stem for _, path in ordered)
    bare = {below: Path(below).with_suffix("").as_posix() for below, path in ordered if stems[path.stem] > 1}
    repeats = Counter(bare.values())
    names = []
    for below, path in ordered:
        if below not in bare:
            names.append(path.stem)
        else:
            names.append(bare[below] if repeats[bare[below]] == 1 else below)
    # `x.ogg.ogg` beside `x.wav` and `x.ogg` has the stem that another one's ending gave it
    return names if len(set(names)) == len(names) else [below for below, _ in ordered]
