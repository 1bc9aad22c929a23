"""A finished part of a recording, as an unfinished run remembers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runtime.audio.clock import time_in_name
from runtime.errors import InputError
from runtime.remote import Location, absolute_path
from runtime.rows.block import Origin
from runtime.rows.outcome import Failed, Read, outcome_of


@dataclass(frozen=True)
class Finished:
    """A part of a recording whose rows are final. `size` and `mtime_ns` are its file's before it was read."""

    path: str
    """The file's absolute path."""
    name: str
    """What its rows are called."""
    size: int
    mtime_ns: int
    part: int
    parts: int
    windows: int | None
    """How many windows the recording has or promises, where that is known."""
    failure: str | None
    notes: Sequence[str] = ()
    began: str | None = None
    """When the recording was begun, in ISO 8601, if that is known."""
    site: str | None = None
    """Where, if that is known."""

    @classmethod
    def read(cls, fields: object) -> Finished | None:
        """Reads a part from its JSON, which may hold anything; None if that is not a part.

        One that an earlier version left does not say when the recording was begun; its file's name may.
        """
        if not (
            isinstance(fields, dict)
            and {"began": None, "site": None, **fields}.keys() == cls.__dataclass_fields__.keys()
        ):
            return None
        numbers = [fields[name] for name in ("size", "mtime_ns", "part", "parts")]
        notes, failure, windows = fields["notes"], fields["failure"], fields["windows"]
        makes_sense = (
            all(type(number) is int for number in numbers)
            and isinstance(notes, list)
            and all(type(text) is str for text in (fields["path"], fields["name"], *notes))
            and (failure is None or type(failure) is str)
            and (windows is None or type(windows) is int)
            and _is_time(fields.get("began"))
            and (fields.get("site") is None or type(fields["site"]) is str)
        )
        if not makes_sense:
            return None
        if "began" not in fields:
            fields = fields | cls.when(Origin(time_in_name(Path(fields["path"]).stem)))
        return cls(**fields)

    @classmethod
    def when(cls, origin: Origin) -> dict[str, str | None]:
        """What is kept of a recording's origin, as fields."""
        return {"began": None if origin.began is None else origin.began.isoformat(), "site": origin.site}

    @property
    def origin(self) -> Origin:
        """Where the recording comes from."""
        return Origin(None if self.began is None else datetime.fromisoformat(self.began), self.site)

    @property
    def outcome(self) -> Read | Failed:
        """What became of it."""
        return outcome_of(self.failure, self.notes)

    def check_place(self, path: Location | None, name: str, part: int) -> None:
        """Checks that this is the part that comes next in this run; `path` is None if no recording is left.

        Raises:
            InputError: another part comes next, or none.
        """
        if path is None or absolute_path(path) != self.path:
            raise InputError(
                f"cannot resume: expected {self.path} next, but there is {path or 'nothing'}; recordings may be added "
                "after those that were finished, but not removed, renamed or put before them"
            )
        if name != self.name:
            raise InputError(
                f"cannot resume: rows of {path} were named '{self.name}' and would now be named '{name}', since "
                "another recording has its stem; take that one away, or run it apart"
            )
        if part != self.part:
            raise InputError(f"cannot resume: part {self.part} of {path} is out of order; start anew")

    def check_file(self, path: Location | None, size: int, mtime_ns: int) -> None:
        """Checks that the recording `path` is still the file that was read.

        Raises:
            InputError: it is not.
        """
        if (size, mtime_ns) != (self.size, self.mtime_ns):
            raise InputError(
                f"cannot resume: {path} has changed since its rows were computed ({self.size} bytes then, "
                f"{size} now, or written since)"
            )


def _is_time(text: object) -> bool:
    if text is None:
        return True
    try:
        return type(text) is str and bool(datetime.fromisoformat(text))
    except ValueError:
        return False
