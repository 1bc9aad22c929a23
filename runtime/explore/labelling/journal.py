"""The label file as a journal: every answer is a line appended to it, and the last line of a window counts.

An answer is safe once `append` returns: its line was written at once, under a lock that other servers share, and
flushed to the disk. Nothing is ever rewritten. Two things are cut off: a line that did not go into a full disk, and one
that broke off because the power failed; nobody was told that either was saved.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from runtime.errors import InputError, OutputError, reason
from runtime.explore.labelling.answer import COLUMNS, Answer, answer_of, line_of
from runtime.explore.labelling.lock import opened_and_locked
from runtime.files import file_stamp

HEADER = line_of(COLUMNS)
MARK = b"\xef\xbb\xbf"
"""The byte order mark that spreadsheets put first."""
MOST_BYTES = 256 * 2**20


class ConflictError(Exception):
    """Somebody has answered a window in the meantime; `answer` is what they said, None if they withdrew it."""

    def __init__(self, answer: Answer | None) -> None:
        super().__init__()
        self.answer = answer


class Journal:
    """The answers of a label file, which others may append to at any time. It may be used by several threads.

    Args:
        path: of the file.
        own_name: gives the row_id of the rows for one that the file may spell differently.

    answers: the present answer of each window, by row_id; those withdrawn are left out.
    notices: what the user should know of the file.

    Raises:
        InputError: the file is no label file of the page.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, own_name: Callable[[str], str] = str) -> None:
        self.path, self._own_name = path, own_name
        self.answers: dict[str, Answer] = {}
        self.notices: list[str] = []
        self.spellings: dict[str, str] = {}
        """The first spelling of each species, by its letters in lower case."""
        self.others_at = -math.inf
        """When others were last seen to write, by `time.monotonic`."""
        self._spelt: dict[str, str] = {}
        """How the file spells row_ids that it spells differently from the rows."""
        self._changed: list[Answer | None] = []
        self._data = b""
        self._lines = 0
        self._stamp: tuple[int, ...] = ()
        self._lock = threading.RLock()
        try:
            with opened_and_locked(path, os.O_CREAT) as file:
                data = _read(file)
                if len(data) < len(HEADER) and HEADER.startswith(data):  # new, or its maker was stopped
                    self._write(file, HEADER[len(data) :])
                    _keep_name(path)
                self._refresh(file)
                self._mend(file)
        except OSError as error:
            raise self._cannot_write(error) from None

    @property
    def lines(self) -> int:
        """How many lines the file had when it was last read."""
        return self._lines

    def refresh(self) -> None:
        """Reads what others have written.

        Raises:
            OutputError: the file is gone, cannot be read, or is no label file of the page any more.
        """
        with self._lock, self._failing():
            if file_stamp(os.stat(self.path)) == self._stamp:
                return
            with opened_and_locked(self.path) as file:
                self._refresh(file)

    def append(self, answer: Answer, seen: Answer | None) -> None:
        """Appends an answer by someone to whom `seen` was shown as the window's present one.

        Raises:
            ConflictError: it is not.
            OutputError: the line cannot be written; then the file is as it was.
        """
        with self._lock, self._failing():
            with opened_and_locked(self.path) as file:
                self._refresh(file)
                self._mend(file)
                if (present := self.answers.get(answer.row_id)) != seen:
                    raise ConflictError(present)
                line = replace(answer, row_id=self._spelt.get(answer.row_id, answer.row_id)).line()
                self._write(file, line)
                self._data += line
                self._lines += 1
                self._stamp = file_stamp(os.fstat(file))
            self._take(answer)

    def take_changed(self) -> list[Answer | None]:
        """The answers that came since the last call, in their order; None stands where all before it are void."""
        with self._lock:
            changed, self._changed = self._changed, []
            return changed

    def take_notices(self) -> list[str]:
        """What the user should know, since the last call."""
        with self._lock:
            notices, self.notices = self.notices, []
            return notices

    def copy_to(self, path: Path) -> int:
        """Writes the answers read so far to another file; returns how many windows have one."""
        with self._lock:
            path.write_bytes(self._data)
            return len(self.answers)

    def _refresh(self, file: int) -> None:
        """Reads what is new in the locked file; all of it, if more than its end is."""
        now = file_stamp(os.fstat(file))
        if now == self._stamp:
            return
        data, before = _read(file), self._data
        if not data.startswith(before[: len(before) - _torn(before)]):
            self._read_again(data, before)
        elif before.endswith(b"\n"):
            self._take_lines(data[len(before) :], before.count(b"\n"))
            self.others_at = time.monotonic()
        else:
            self._take_all(data)
        self._data, self._stamp, self._lines = data, now, data.count(b"\n")

    def _read_again(self, data: bytes, before: bytes) -> None:
        """Reads a file in which another program has changed what was there."""
        had = len(self.answers)
        lost = Counter(before.splitlines()) - Counter(data.splitlines())
        self._take_all(data)
        self.notices.append(
            f"another program has rewritten {self.path}: {sum(lost.values())} lines of it are gone or changed, and it "
            f"now has answers to {len(self.answers)} windows instead of {had}"
        )

    def _take_all(self, data: bytes) -> None:
        body = data.removeprefix(MARK)
        first, _, rest = body.partition(b"\n")
        if first.rstrip(b"\r") + b"\n" != HEADER:
            raise InputError(
                f"{self.path} has not the columns {','.join(COLUMNS)} in which the page keeps its answers; "
                f"`--import {self.path} --labels NEW.csv` copies its labels into a new file that has"
            )
        self._changed = [None]
        self.answers, self.spellings, self._spelt = {}, {}, {}
        self._take_lines(rest, 1)

    def _take_lines(self, data: bytes, before: int) -> None:
        """Reads the answers in lines that come after so many others."""
        if torn := _torn(data):  # not yet an answer
            data = data[:-torn]
        try:
            reader = csv.reader(io.StringIO(data.decode(), newline=""), skipinitialspace=True, strict=True)
            for cells in reader:
                if any(cells):
                    answer = answer_of(cells)
                    own = self._own_name(answer.row_id)
                    if own != answer.row_id:
                        self._spelt[own] = answer.row_id
                    self._take(replace(answer, row_id=own))
        except UnicodeDecodeError as error:
            number = before + data.count(b"\n", 0, error.start) + 1
            raise InputError(f"line {number} of {self.path} is not UTF-8; save it as UTF-8") from None
        except (csv.Error, ValueError) as error:
            number = before + reader.line_num
            raise InputError(f"line {number} of {self.path} {str(error).strip()}; mend or delete it") from None

    def _take(self, answer: Answer) -> None:
        for name in answer.species:
            self.spellings.setdefault(name.casefold(), name)
        self._changed.append(answer)
        if answer.answer == "withdrawn":
            self.answers.pop(answer.row_id, None)
        else:
            self.answers[answer.row_id] = answer

    def _mend(self, file: int) -> None:
        """Gives the last line its line break if it lacks one, or cuts it off if it is torn."""
        if self._data.endswith(b"\n"):
            return
        if torn := _torn(self._data):
            os.ftruncate(file, len(self._data) - torn)
            os.fsync(file)
            text = self._data[-torn:].decode(errors="replace").replace("\0", "")
            self.notices.append(
                f"the last line of {self.path} broke off, as it does when the power fails; it was taken away: {text!r}"
            )
            self._data = self._data[:-torn]
        else:
            self._write(file, b"\n")
            self._data += b"\n"
        self._stamp = file_stamp(os.fstat(file))

    def _write(self, file: int, line: bytes) -> None:
        """Appends all of it and waits until the disk has it, or appends nothing."""
        length = os.fstat(file).st_size
        try:
            if os.write(file, line) < len(line):
                raise OutputError(f"cannot write to {self.path}: the disk is full; free some space, and answer again")
            os.fsync(file)
        except OSError:
            os.ftruncate(file, length)
            raise

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            raise OutputError(str(error)) from None
        except OSError as error:
            raise self._cannot_write(error) from None

    def _cannot_write(self, error: OSError) -> OutputError:
        if isinstance(error, OutputError):
            return error
        if isinstance(error, FileNotFoundError) and self._data:
            return OutputError(f"{self.path} is gone; put it back, and answer again")
        return OutputError(f"cannot write to {self.path} ({reason(error)}); make room or name another file by --labels")


def _torn(data: bytes) -> int:
    """How many bytes at the end are a line that broke off."""
    last = data[data.rfind(b"\n") + 1 :]
    if not last:
        return 0
    try:
        answer_of(next(csv.reader([last.decode()], skipinitialspace=True, strict=True)))
        return len(last) if b"\0" in last else 0
    except (ValueError, csv.Error, StopIteration):
        return len(last)


def _keep_name(path: Path) -> None:
    """Waits until the disk has the name of a new file, too. Not every system can."""
    with contextlib.suppress(OSError):
        folder = os.open(path.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read(file: int) -> bytes:
    if os.fstat(file).st_size > MOST_BYTES:
        raise InputError(f"a label file of more than {MOST_BYTES:,} bytes is not of the page")
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as stream:
        return stream.read()
