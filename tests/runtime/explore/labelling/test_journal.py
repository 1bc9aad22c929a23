"""The label file: whatever happens to the process, the disk or the file, no answer is lost, and none is overwritten."""

from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import InputError, OutputError
from runtime.explore.label_files import read_labels
from runtime.explore.labelling.answer import Answer, now
from runtime.explore.labelling.journal import HEADER, ConflictError, Journal
from runtime.explore.labelling.vocabulary import checked_name
from tests.support.processes import until

WRITER = """
import sys
from pathlib import Path
from runtime.explore.labelling.answer import Answer, now
from runtime.explore.labelling.journal import Journal

name, count = sys.argv[2], int(sys.argv[3])
journal = Journal(Path(sys.argv[1]))
for i in range(count):
    journal.append(Answer(f"{name}_{i}", (f"{name} é;".rstrip(";"),), "labelled", "worth", name, now()), None)
    print(i, flush=True)
"""


def answer(row_id: str, *species: str, labeller: str = "me") -> Answer:
    return Answer(row_id, species, "labelled", "random", labeller, now())


def writer(path: Path, name: str, count: int = 10**9) -> subprocess.Popen[str]:
    """A process of its own that appends answers, and prints the number of each once it is saved."""
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_a_new_file_has_a_header_and_a_line_for_each_answer(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    journal = Journal(path)
    assert path.read_bytes() == HEADER
    said = answer("a_5", "Robin, red", 'the "loud" one')
    journal.append(said, None)
    assert Journal(path).answers == {"a_5": said}
    assert read_labels(path).rows == {"a_5": {"Robin, red", 'the "loud" one'}}


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path, count = tmp_path / "labels.csv", 60
    journal = Journal(path)
    writers = [writer(path, name, count) for name in "ab"]
    for i in range(count):
        journal.append(answer(f"c_{i}"), None)
    assert [process.wait() for process in writers] == [0, 0]
    for process in writers:
        process.communicate()
    journal.refresh()
    assert journal.answers.keys() == {f"{name}_{i}" for name in "abc" for i in range(count)}
    assert len(path.read_text().splitlines()) == 1 + 3 * count
    assert journal.take_notices() == []


def test_what_was_saved_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    saved = []
    for life in range(3):
        process = writer(path, f"life{life}")
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(7 + 13 * life)]
        process.send_signal(signal.SIGKILL)
        lines += process.communicate()[0].splitlines()
        saved += [f"life{life}_{int(line)}" for line in lines if line.strip()]
    journal = Journal(path)
    assert set(saved) <= journal.answers.keys()
    assert len(journal.answers) <= len(saved) + 3  # one may have been written but not yet told
    assert read_labels(path).rows.keys() == journal.answers.keys()


def test_who_has_not_seen_the_present_answer_is_told(tmp_path: Path) -> None:
    mine, theirs = Journal(tmp_path / "labels.csv"), Journal(tmp_path / "labels.csv")
    first = answer("a_5", "one", labeller="they")
    theirs.append(first, None)
    with pytest.raises(ConflictError) as conflict:
        mine.append(answer("a_5", "two"), None)
    assert conflict.value.answer == first
    mine.append(answer("a_5", "two"), first)
    theirs.refresh()
    assert theirs.answers["a_5"].species == ("two",)


@pytest.mark.parametrize("room", [0, 40])
def test_a_line_that_does_not_fit_on_the_disk_leaves_the_file_as_it_was(tmp_path: Path, room: int) -> None:
    path = tmp_path / "labels.csv"
    Journal(path).append(answer("a_5", "one"), None)
    before = path.read_bytes()
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + room}, {len(before) + room}))"
    script = f"import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{limit}\n{WRITER}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path), "b" * 30, "1"], capture_output=True, text=True, env=environment
    )
    assert "OutputError: cannot write to" in ended.stderr
    assert (ended.stdout, path.read_bytes()) == ("", before)
    Journal(path).append(answer("b_5"), None)
    assert path.read_bytes().startswith(before)


@pytest.mark.parametrize("whole", [True, False])
def test_a_last_line_without_its_break_is_ended_or_if_it_is_torn_taken_away(tmp_path: Path, whole: bool) -> None:
    path = tmp_path / "labels.csv"
    journal = Journal(path)
    line = answer("b_5", "Grün").line()[:-1]
    with path.open("ab") as file:
        file.write(line if whole else line[:9])
    other = Journal(path)
    journal.append(answer("a_5"), None)
    for each in (journal, other, Journal(path)):
        each.refresh()
        assert each.answers.keys() == ({"a_5", "b_5"} if whole else {"a_5"})
    lines = csv.reader(path.read_text(encoding="utf-8").splitlines(), strict=True)
    assert list(map(len, lines)) == [6] * (3 if whole else 2)
    assert (other.take_notices() == []) is whole


def test_a_file_torn_within_a_letter_or_ended_by_zeros_is_mended(tmp_path: Path) -> None:
    for tail in (answer("b_5", "Grün").line()[:9], b"\0" * 50, answer("b_5").line()[:-1] + b"\0"):
        path = tmp_path / "labels.csv"
        path.write_bytes(HEADER + answer("a_5").line() + tail)
        journal = Journal(path)
        assert journal.answers.keys() == {"a_5"}
        assert "broke off" in journal.take_notices()[0]
        assert read_labels(path).rows.keys() == {"a_5"}


def test_a_header_that_was_never_finished_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for length in (0, 5, len(HEADER) - 1):
        path.write_bytes(HEADER[:length])
        assert Journal(path).answers == {}
        assert path.read_bytes() == HEADER


def test_a_file_that_another_program_rewrote_is_read_again_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    journal = Journal(path)
    for name in ("a_5", "b_5"):
        journal.append(answer(name, "one"), None)
    shorter = HEADER + answer("b_5", "two").line()
    (tmp_path / "other").write_bytes(shorter)
    (tmp_path / "other").replace(path)
    journal.append(answer("c_5"), None)
    assert path.read_bytes().startswith(shorter)
    assert journal.answers.keys() == {"b_5", "c_5"}
    assert "2 lines of it are gone" in journal.take_notices()[0]
    path.write_bytes(b"row_id,species\n")
    with pytest.raises(OutputError, match="--import"):
        journal.append(answer("d_5"), None)
    assert path.read_bytes() == b"row_id,species\n"
    path.unlink()
    with pytest.raises(OutputError, match="is gone"):
        journal.append(answer("d_5"), None)
    assert not path.exists()


def test_a_file_that_is_replaced_and_then_removed_while_it_is_opened_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.csv"
    journal = Journal(path)

    def removed(path: Path, file: int) -> bool:
        path.unlink()
        return False

    monkeypatch.setattr("runtime.explore.labelling.lock._is_at", removed)
    with pytest.raises(OutputError, match="is gone"):
        journal.append(answer("a_5"), None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("row_id,species\na_5,x\n", "--import"),
        ("row_id,species,answer,source,labeller,labelled_at\na_5,x\n", "line 2 of .* has 2 cells"),
        ("row_id,species,answer,source,labeller,labelled_at\n\na_5,x,maybe,random,me,2026\n", "line 3 .*'maybe'"),
        ("row_id,species,answer,source,labeller,labelled_at\na_5,nan,labelled,random,me,2026\n", "line 2 .*nan"),
        ("row_id,species,answer,source,labeller,labelled_at\n,x,labelled,random,me,2026\n", "line 2 .*no row_id"),
        ("row_id,species,answer,source,labeller,labelled_at\na_5,\xff,labelled,random,me,2026\n", "line 2 .*UTF-8"),
    ],
)
def test_a_file_that_is_none_of_the_page_is_refused_in_a_sentence(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=why):
        Journal(path)
    assert path.read_bytes() == text.encode("latin-1")


def test_a_file_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + answer("a_5", "one").line()).replace(b"\n", b"\r\n"))
    journal = Journal(path)
    journal.append(answer("b_5"), None)
    assert Journal(path).answers.keys() == read_labels(path).rows.keys() == {"a_5", "b_5"}


def test_a_file_that_somebody_holds_is_waited_for_and_then_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.csv"
    journal = Journal(path)
    monkeypatch.setattr("runtime.explore.labelling.lock.PATIENCE_S", 0.1)
    script = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 2); print(1, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline()
            with pytest.raises(OutputError, match="another program holds"):
                journal.append(answer("a_5"), None)
        finally:
            process.kill()
    until(lambda: journal.append(answer("a_5"), None) is None)
    assert journal.answers.keys() == {"a_5"}


def test_a_disk_without_locks_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("runtime.explore.labelling.lock._try_to_lock", refuse)
    with pytest.raises(OutputError, match=r"no locks available\), as on some network disks"):
        Journal(tmp_path / "labels.csv")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=3), st.sampled_from(["=cmd|' /C calc'!A0", "+1", "@x", "nocall", "NaN"]))
def test_every_name_that_is_taken_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], more: str
) -> None:
    taken = []
    for name in [*names, more]:
        try:
            taken.append(checked_name(name))
        except InputError:
            continue
    path = tmp_path_factory.mktemp("names") / "labels.csv"
    said = answer("a_5", *sorted({name.casefold(): name for name in taken}.values()))
    Journal(path).append(said, None)
    assert Journal(path).answers == {"a_5": said}
    assert read_labels(path).rows == {"a_5": frozenset(said.species)}
