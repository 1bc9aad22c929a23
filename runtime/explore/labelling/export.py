"""Takes labelled windows elsewhere: as clips with a table, or as Raven selection tables; both in a zip."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
import secrets
import tempfile
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import soundfile

from runtime.classes.taxonomy import Taxonomy
from runtime.errors import InputError, OutputError, PerchError, counted, reason
from runtime.explore.labelling.answer import Answer
from runtime.explore.labelling.windows import Windows
from runtime.explore.pictures.sound import RATE, read
from runtime.remote import Location
from runtime.rows.formats.detection_tables import RAVEN, one_line

TABLE = ("file", "row_id", "recording", "start_s", "end_s", "species", "source", "labeller", "labelled_at")
RAVEN_HEADER = (*(name for name in RAVEN if name != "Score"), "Labeller")
RATES = range(8_000, 500_001)
"""Sample rates that a clip may keep."""
UNSAFE = re.compile(r"[^\w.-]+|^\.+", re.ASCII)
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)?", re.IGNORECASE)
"""What Windows takes for a device, with any ending; and nothing, for names that begin with a dot."""
LONGEST_NAME, KEPT = 100, 3
Labelled = Sequence[tuple[int, Answer]]


class Exports:
    """Makes zips in a temporary folder and keeps the last few."""

    def __init__(self, windows: Windows, taxonomy: Taxonomy) -> None:
        self._windows, self._taxonomy = windows, taxonomy
        self._folder = tempfile.TemporaryDirectory(prefix="perch-export-", ignore_cleanup_errors=True)
        self._made: dict[str, Path] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Removes them."""
        self._folder.cleanup()

    def find(self, name: str) -> Path | None:
        """The zip of this name, if it is still there."""
        return self._made.get(name)

    def make(self, answers: Mapping[str, Answer], species: object, form: object) -> dict[str, object]:
        """Makes a zip of the windows that hold one of some species.

        Returns its address, how many windows it holds, and in a sentence what is missing from it.

        Raises:
            InputError: there are no such windows, or no such form.
            OutputError: there is no room for it.
        """
        wanted = {name for name in species if isinstance(name, str)} if isinstance(species, list) else set()
        write = WRITERS.get(form) if isinstance(form, str) else None
        if write is None:
            raise InputError(f"there is no form {form!r}, but {' and '.join(WRITERS)}")
        chosen = sorted(
            (number, answer)
            for answer in answers.values()
            if answer.answer == "labelled"
            and wanted.intersection(answer.species)
            and (number := self._windows.number_of(answer.row_id)) is not None
        )
        if not chosen:
            raise InputError("no labelled window holds one of these species; choose others")
        name = f"{secrets.token_hex(8)}.zip"
        path = Path(self._folder.name) / name
        with self._lock:
            try:
                with zipfile.ZipFile(path, "w") as target:
                    lost = write(self._windows, self._taxonomy, chosen, wanted, target)
            except OSError as error:
                path.unlink(missing_ok=True)
                raise OutputError(f"cannot write the zip to {path.parent} ({reason(error)}); make room there") from None
            self._made[name] = path
            for old in list(self._made)[:-KEPT]:
                with contextlib.suppress(OSError):  # somebody is still reading it
                    self._made.pop(old).unlink(missing_ok=True)
        why = f"{counted(len(lost), 'window')} left out: {lost[0]}" if lost else ""
        return {"url": f"export/{name}", "windows": len(chosen) - len(lost), "why": why}


def _write_clips(
    windows: Windows, taxonomy: Taxonomy, chosen: Labelled, wanted: set[str], target: zipfile.ZipFile
) -> list[str]:
    """Writes a WAV for each window and a table; returns why some were left out."""
    names, lost, lines = SafeNames(), [], []
    for number, answer in chosen:
        start_s, end_s = windows.times(number)
        try:
            data = _wav(windows, number, start_s, end_s)
        except PerchError as error:
            lost.append(f"{answer.row_id} of {windows.paths[number]}: {error}")
            continue
        name = f"clips/{names.of(answer.row_id)}.wav"
        target.writestr(name, data)
        times = f"{start_s:.10g}", f"{end_s:.10g}"
        about = ";".join(answer.species), answer.source, answer.labeller, answer.labelled_at
        lines.append((name, answer.row_id, windows.paths[number], *times, *about))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([TABLE, *lines])
    target.writestr("clips.csv", text.getvalue().encode("utf-8", "surrogateescape"))
    return lost


def _wav(windows: Windows, number: int, start_s: float, end_s: float) -> bytes:
    """A window at its recording's own rate, with 24 bits."""
    recording = windows.find(number)
    if recording is None:
        raise PerchError("the recording is not there")
    rate = _own_rate(recording)
    samples = read(recording, start_s, end_s - start_s, rate, windows.channel(number))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, "PCM_24", format="WAV")
    return file.getvalue()


def _own_rate(recording: Location) -> int:
    """A recording's sample rate; `RATE` where that is not simple to tell."""
    if isinstance(recording, Path):
        with contextlib.suppress(soundfile.SoundFileError, OSError, TypeError), soundfile.SoundFile(recording) as file:
            if file.samplerate in RATES:
                return int(file.samplerate)
    return RATE


def _write_raven(
    windows: Windows, taxonomy: Taxonomy, chosen: Labelled, wanted: set[str], target: zipfile.ZipFile
) -> list[str]:
    """Writes a selection table for each recording, with a line for each window and species."""
    names, tables = SafeNames(), defaultdict[str, list[Sequence[object]]](list)
    for number, answer in chosen:
        tables[answer.row_id.rpartition("_")[0]] += _selections(windows, taxonomy, number, answer, wanted)
    for name, lines in tables.items():
        rows = [RAVEN_HEADER, *((i, *line) for i, line in enumerate(lines, 1))]
        text = "".join("\t".join(one_line(str(cell)) for cell in row) + "\n" for row in rows)
        target.writestr(f"{names.of(name)}.selections.txt", text.encode("utf-8", "surrogateescape"))
    return []


def _selections(
    windows: Windows, taxonomy: Taxonomy, number: int, answer: Answer, wanted: set[str]
) -> Iterator[Sequence[object]]:
    file, _ = windows.place(number)
    nyquist = int(windows.files[file].about.get("sample_rate", RATE)) // 2
    channel = windows.channel(number)
    start, end = (f"{seconds:.10g}" for seconds in windows.times(number))
    for name in answer.species:
        if name in wanted:
            taxon = taxonomy[name]
            yield (
                "Spectrogram 1",
                channel if isinstance(channel, int) else 1,
                *(start, end, 0, nyquist, windows.paths[number], start),
                *(name, taxon.scientific_name, taxon.common_name, answer.labeller),
            )


class SafeNames:
    """Names that any system can give to a file, each different from the others even where case does not count."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def of(self, text: str) -> str:
        """A name that looks like a text."""
        plain = UNSAFE.sub("_", text)[-LONGEST_NAME:] or "_"
        plain = f"_{plain}" if DEVICE.fullmatch(plain.partition(".")[0]) else plain
        names = itertools.chain([plain], (f"{plain}-{i}" for i in itertools.count(2)))
        name = next(each for each in names if each.lower() not in self._used)
        self._used.add(name.lower())
        return name


Writer = Callable[[Windows, Taxonomy, Labelled, set[str], zipfile.ZipFile], list[str]]
WRITERS: dict[str, Writer] = {"wav": _write_clips, "raven": _write_raven}
