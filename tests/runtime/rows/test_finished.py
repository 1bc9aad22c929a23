"""Finished parts, and whether a later run may keep them."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.errors import InputError
from runtime.rows.block import Origin
from runtime.rows.finished import Finished
from runtime.rows.outcome import Failed, Read

PATH = Path("a.wav")
PART = Finished(str(PATH.absolute()), "a", 10, 20, 1, 3, 250, None, ["a note"])
FIELDS = asdict(PART)


def test_a_part_comes_back_from_json() -> None:
    assert Finished.read(json.loads(json.dumps(FIELDS))) == PART
    assert PART.outcome == Read(["a note"])
    dated = FIELDS | Finished.when(Origin(datetime(2024, 5, 12, tzinfo=UTC), "north"))
    assert Finished(**dated).origin == Origin(datetime(2024, 5, 12, tzinfo=UTC), "north")
    older = {name: value for name, value in FIELDS.items() if name not in ("began", "site")}
    assert Finished.read(older) == PART
    named = Finished.read(older | {"path": "/night/20240512_053000.wav"})
    assert named is not None
    assert named.origin == Origin(datetime(2024, 5, 12, 5, 30))
    assert Finished(**FIELDS | {"failure": "a hole"}).outcome == Failed("a hole", ["a note"])


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {},
        FIELDS | {"more": 1},
        FIELDS | {"size": "10"},
        FIELDS | {"part": True},
        FIELDS | {"path": 1},
        FIELDS | {"notes": None},
        FIELDS | {"notes": [1]},
        FIELDS | {"failure": 1},
        FIELDS | {"windows": "2"},
        FIELDS | {"began": "yesterday"},
        FIELDS | {"began": 3},
        FIELDS | {"site": 3},
    ],
)
def test_what_makes_no_sense_is_no_part(fields: object) -> None:
    assert Finished.read(fields) is None


def test_a_part_is_kept_in_its_place() -> None:
    PART.check_place(PATH, "a", 1)
    PART.check_file(PATH, 10, 20)
    for path, name, part, message in (
        (None, "", 0, "expected .*a.wav next, but there is nothing; recordings may be added after"),
        (Path("b.wav"), "b", 1, "expected .*a.wav next, but there is b.wav"),
        (PATH, "in/a", 1, "rows of a.wav were named 'a' and would now be named 'in/a'"),
        (PATH, "a", 0, "part 1 of a.wav is out of order; start anew"),
    ):
        with pytest.raises(InputError, match=f"cannot resume: {message}"):
            PART.check_place(path, name, part)
    for size, mtime_ns in ((11, 20), (10, 21)):
        with pytest.raises(InputError, match=f"cannot resume: a.wav has changed .* {size} now"):
            PART.check_file(PATH, size, mtime_ns)
