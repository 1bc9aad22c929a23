"""Finds the recordings that a user names, and gives each the name that its rows carry."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from operator import itemgetter
from pathlib import Path

from runtime.audio.channels import channel_name
from runtime.audio.extensions import FORMATS, is_recording, reading_advice, unreadable
from runtime.audio.hidden import SYSTEM, is_hidden
from runtime.audio.remote_paths import find_remote
from runtime.errors import InputError, counted, reason, some
from runtime.remote import Location, is_url, local_path, path_below

Sources = str | Path | Iterable[str | Path]
AUDACITY_BLOCK = re.compile(r"e[0-9a-f]{7}\.au")
"""Names of the six-second pieces that older Audacity projects consist of."""


@dataclass(frozen=True)
class FoundRecordings:
    """Recordings in the order of their rows.

    `names` stand in row ids: the stem, or where stems repeat the path relative to `root`. `skipped` counts files that
    are not recordings, `hidden_files` the hidden ones among them. `root` is the folder in which all of them lie; where
    they have none in common, because some are on a disk and some at URLs, it is empty.
    """

    paths: tuple[Location, ...]
    names: tuple[str, ...]
    root: str | Path
    skipped: int
    hidden_files: int = 0
    hidden: tuple[str, ...] = ()
    """Folders that were not searched: hidden ones, bins and the system's."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """The reasons why folders could not be read, by folder."""
    no_reader: Mapping[str, int] = field(default_factory=dict)
    """How many files hold sound that cannot be read as things are, by extension."""
    sizes: Mapping[Location, int] = field(default_factory=dict)
    """Bytes of recordings that are in memory, not in files."""
    below: tuple[str, ...] = ()
    """The path of each recording relative to `root`, with `/` between folders."""
    channels: tuple[int, ...] = ()
    """The channel of each, from 1 on, where each channel counts as a recording of its own."""
    channel_counts: tuple[int, ...] = ()
    """How many channels the file of each has then, 0 if unknown."""

    @property
    def repeated_stem(self) -> tuple[Location, Location] | None:
        """The first two recordings with the same stem; None if all stems differ."""
        seen: dict[str, Location] = {}
        for path in self.paths:
            if path.stem in seen:
                return seen[path.stem], path
            seen[path.stem] = path
        return None

    @property
    def lost(self) -> tuple[str, ...]:
        """Unreadable folders that may hold recordings."""
        return tuple(folder for folder in self.unreadable if folder not in self.hidden)

    @property
    def warning(self) -> str | None:
        """A warning of folders that could not be read; None if all could."""
        if not self.unreadable:
            return None
        folders = some([f"{folder} ({why})" for folder, why in self.unreadable.items()])
        return f"skipped {counted(len(self.unreadable), 'unreadable folder')}: {folders}"

    def by_channel(self, counts: Sequence[int]) -> FoundRecordings:
        """Each channel as a recording of its own; `counts` says how many channels each recording has, 0 if
        that is unknown: then the first is taken."""
        each = [(at, channel) for at, count in enumerate(counts) for channel in range(1, max(1, count) + 1)]
        return replace(
            self,
            paths=tuple(self.paths[at] for at, _ in each),
            names=tuple(channel_name(self.names[at], channel) for at, channel in each),
            below=(),
            channels=tuple(channel for _, channel in each),
            channel_counts=tuple(counts[at] for at, _ in each),
        )

    def nothing(self, named: object) -> str:
        """The message for a search without results; `named` is where the user asked to look."""
        if self.no_reader:
            first = f"none of the recordings in {named} can be read as things are: {reading_advice(self.no_reader)}"
        else:
            first = f"no recordings in {named} ({FORMATS})"
        return "; ".join([first, *self._skipped()])

    def passed_over(self) -> list[str]:
        """Lines on what was skipped."""
        if not self.no_reader:
            return self._skipped()
        unread = f"skipped recordings in formats that cannot be read: {reading_advice(self.no_reader)}"
        return [*self._skipped(), unread]

    def _skipped(self) -> list[str]:
        lines = []
        if self.skipped:
            hidden = f", {self.hidden_files} of them hidden" if self.hidden_files else ""
            lines.append(f"skipped {counted(self.skipped, 'other file')}{hidden}")
        if self.hidden:
            names = some([os.path.basename(folder) for folder in self.hidden])
            lines.append(f"skipped {counted(len(self.hidden), 'hidden or system folder')} ({names})")
        if self.lost:
            lines.append(f"skipped {counted(len(self.lost), 'unreadable folder')} ({some(self.lost)})")
        return lines


def find_recordings(soundscapes: Sources) -> FoundRecordings:
    """Finds recordings in a folder (read recursively), by a glob, at a path, or at several paths; also at URLs.

    Folders and globs give the files with a known extension, in any case. Other files, hidden files and folders,
    bins, system folders and unreadable folders are skipped and counted; a folder that is named itself is always read. A
    path that names a file is taken whatever its extension.

    Raises:
        InputError: a path does not exist or cannot be read, a glob matches nothing, or no recordings were found and a
            folder cannot be read.
    """
    given = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    sources = [local_path(str(source)) or source for source in given]
    search = _Search()
    for source in map(str, sources):
        try:
            search.remote(source) if is_url(source) else search.source(source)
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"cannot look for recordings at {source!r} ({reason(error)})") from None
    return search.results(sources)


class _Search:
    """A search and its results so far, by absolute path, so that no file is taken or counted twice."""

    def __init__(self) -> None:
        self._taken: dict[str, Location] = {}
        self._folders: list[str | Path] = []
        self._skipped: set[str] = set()
        self._hidden_files: set[str] = set()
        self._hidden: dict[str, None] = {}
        self._unreadable: dict[str, str] = {}
        self._no_reader: dict[str, str] = {}

    def source(self, source: str) -> None:
        """Takes the recordings that a path, folder or glob stands for."""
        entered: set[str] = set()
        if os.path.isdir(source) and source:
            self._folders.append(Path(source))
            self._folder(source, entered)
        elif os.path.isfile(source):
            self._taken[os.path.abspath(source)] = Path(source)
        elif os.path.lexists(source):
            raise InputError(f"{source} is neither a file nor a folder that can be read")
        else:
            self._glob(source, entered)

    def remote(self, url: str) -> None:
        """Takes the recordings that a URL stands for."""
        found = find_remote(url)
        if found.folder is not None:
            self._folders.append(found.folder)
        for file, folder in found.files:
            if folder is not None:
                self._hidden[folder] = None
            elif found.is_file or self._is_recording(file.name, file.url):
                self._taken[file.url] = file

    def _glob(self, pattern: str, entered: set[str]) -> None:
        matches = sorted(glob.glob(pattern, recursive=True))
        closed = {folder: "permission denied" for folder in _folders_of(pattern) if not _is_open(folder)}
        if not matches and not closed:  # glob skips closed folders silently
            raise InputError(f"there is no file or folder {pattern!r}; {_nearest(pattern)}")
        self._unreadable |= closed
        named = Path(pattern).parts
        for match in (*closed, *matches):
            system = next((part for part in Path(match).parts if part.casefold() in SYSTEM and part not in named), None)
            if system is not None:
                self._pass_over(match[: match.index(system) + len(system)])
            elif os.path.isdir(match):
                self._folder(match, entered)
            else:
                self._file(match)

    def _folder(self, top: str, entered: set[str]) -> None:
        """Takes the recordings below a folder, and below linked folders, entering each folder once."""

        def note(error: OSError) -> None:
            self._unreadable[str(error.filename)] = reason(error)

        for parent, folders, names in os.walk(top, followlinks=True, onerror=note):
            real = os.path.realpath(parent)
            if real in entered:
                folders.clear()
                continue
            entered.add(real)
            for name in filter(is_hidden, folders):
                self._pass_over(os.path.join(parent, name))
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            for name in names:
                self._file(os.path.join(parent, name))

    def _pass_over(self, folder: str) -> None:
        self._hidden[folder] = None
        if not _is_open(folder):
            self._unreadable[folder] = "permission denied"

    def _file(self, path: str) -> None:
        """Takes a file whose name is that of a recording: also a broken link, so that it is reported, but no device or
        pipe."""
        absolute = os.path.abspath(path)
        if self._is_recording(os.path.basename(path), absolute):
            if os.path.isfile(path) or not os.path.exists(path):
                self._taken[absolute] = Path(path)
            else:
                self._skipped.add(absolute)

    def _is_recording(self, name: str, absolute: str) -> bool:
        """Whether a file's name is that of a recording; others are counted."""
        extension = os.path.splitext(name)[1].lower()
        if name.startswith("."):
            self._hidden_files.add(absolute)
        elif is_recording(extension) and not AUDACITY_BLOCK.fullmatch(name):
            return True
        elif unreadable(extension):
            self._no_reader[absolute] = extension
            return False
        self._skipped.add(absolute)
        return False

    def results(self, sources: Sequence[str | Path]) -> FoundRecordings:
        """The recordings, in the order of their rows.

        Raises:
            InputError: there are no recordings, and a folder cannot be read.
        """
        root = self._folders[0] if len(sources) == 1 and self._folders else _root(self._taken)
        ordered = sorted(((path_below(path, root), given) for path, given in self._taken.items()), key=itemgetter(0))
        recordings = FoundRecordings(
            tuple(path for _, path in ordered),
            tuple(_names(ordered)),
            root,
            len(self._skipped),
            len(self._hidden_files & self._skipped),
            tuple(self._hidden),
            self._unreadable,
            Counter(self._no_reader.values()),
            below=tuple(below for below, _ in ordered),
        )
        if not ordered and recordings.lost:
            why = self._unreadable[recordings.lost[0]]
            raise InputError(f"cannot read the folder {recordings.lost[0]} ({why}), and found no recordings elsewhere")
        return recordings


def _folders_of(pattern: str) -> Iterator[str]:
    """The folders that a glob searches."""
    while glob.has_magic(pattern):
        pattern = os.path.dirname(pattern)
        yield from filter(os.path.isdir, glob.glob(pattern, recursive=True) if pattern else ["."])


def _is_open(folder: str) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def _root(taken: Iterable[str]) -> str | Path:
    """The folder in which all recordings lie, by their absolute paths."""
    folders = {os.path.dirname(path) for path in taken}
    if not any(map(is_url, folders)):
        return Path(os.path.commonpath(folders)) if folders else Path()
    parts = [folder.split("/") for folder in folders]
    common = [here[0] for here in itertools.takewhile(lambda here: len(set(here)) == 1, zip(*parts))]
    return "/".join(common) if len(common) > 2 else ""  # s3:, nothing, and the bucket


def _names(ordered: Sequence[tuple[str, Location]]) -> list[str]:
    """Stems; where they repeat, paths relative to the root without the extension; where those repeat too, with it."""
    stems = Counter(path.stem for _, path in ordered)
    bare = {below: Path(below).with_suffix("").as_posix() for below, path in ordered if stems[path.stem] > 1}
    repeats = Counter(bare.values())
    names = []
    for below, path in ordered:
        if below not in bare:
            names.append(path.stem)
        else:
            names.append(bare[below] if repeats[bare[below]] == 1 else below)
    # `x.ogg.ogg` has the stem `x.ogg`, which is also the name of `x.ogg` beside `x.wav`
    return names if len(set(names)) == len(names) else [below for below, _ in ordered]


def _nearest(path: str) -> str:
    """Where nothing is: a similar name, or the folder that was looked in."""
    parent, name = os.path.split(path.rstrip("/"))
    while parent and not os.path.isdir(parent) and parent != os.path.dirname(parent):
        parent, name = os.path.split(parent)
    try:
        similar = get_close_matches(name, os.listdir(parent or "."), n=1)
    except OSError:
        similar = []
    return f"did you mean {os.path.join(parent, similar[0])!r}?" if similar else f"looked in {os.path.abspath(parent)}"
