"""`perch-explore label` as a process: it says where the page is, survives being killed, and ends when it is told to."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import stat
import threading
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest

from benchmarks.measuring.usage import children
from benchmarks.stress.labelling import LabelPage
from runtime.explore.cli import main
from runtime.explore.label import _opened
from runtime.explore.label_files import read_labels
from runtime.explore.labelling.answer import Answer, now
from runtime.explore.labelling.journal import Journal
from runtime.rows.block import Block, Columns
from runtime.rows.formats.parquet_file import write_parquet
from tests.support.labelling import write_world
from tests.support.processes import until
from tests.support.rows_files import ABOUT, write_labels, write_rows


@pytest.mark.parametrize("learns", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_killed_and_started_again_it_goes_on_with_every_answer(tmp_path: Path, learns: bool) -> None:
    rows, truth = write_world(tmp_path, recordings=6)
    labels = tmp_path / "labels.csv"
    journal = Journal(labels)
    for row in range(0, 24, 2):
        species = tuple(name for name, there in zip(("apbsun2", "banpit3"), truth[row]) if there)
        row_id = f"r{row // 4}_{5 * (row % 4 + 1)}"
        journal.append(Answer(row_id, species, "labelled", "random", "they", now()), None)
    options = [str(rows), "--learn-every", "10" if learns else "0"]
    with LabelPage(*options) as first:
        learners = until(lambda: children(first.process.pid)) if learns else []
        first.label(first.next("random"), "banpit3")
        assert first.end(signal.SIGKILL)[1] == -signal.SIGKILL
    until(lambda: not any(Path(f"/proc/{learner}").exists() for learner in learners))  # type: ignore[attr-defined]
    with LabelPage(*options) as second:
        assert second.url.split("/")[2] == first.url.split("/")[2]
        assert second.url != first.url
        assert second.ask("state?tab=a")["counts"] == {"labelled": 13, "unsure": 0, "random": 13}
        until(lambda: not second.ask("learning")["running"])
        assert second.ask("learning")["after_labels"] == (13 if learns else 0)
        said, code = second.end(signal.SIGINT)
    assert (said, code) == (f"{labels}: 0 answers in this session; 13 windows answered in all\n", 0)
    assert len(read_labels(labels).rows) == 13


def test_it_ends_when_its_terminal_is_closed_though_a_recording_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(page: LabelPage) -> None:
        with contextlib.suppress(OSError, HTTPException):
            page.ask("window/0-0")

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/r0.wav"
        times, scores = np.zeros(1), {"label": np.zeros((1, 1), np.float32)}
        block = Block(url, ["r0_5"], times, times + 5, np.array(["scored"]), scores)
        with (tmp_path / "out.parquet").open("wb") as file:
            write_parquet([block], file, Columns({"label": (1,)}, {"label": ("amerob",)}, ABOUT))
        (tmp_path / "temporary").mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
        with LabelPage(str(tmp_path / "out.parquet")) as page:
            asking = threading.Thread(target=ask, args=[page])
            asking.start()
            until(lambda: page.ask("learning") and list((tmp_path / "temporary").glob("perch-*")))
            assert page.end(signal.SIGHUP)[1] == 128 + signal.SIGTERM
            asking.join()
        assert list((tmp_path / "temporary").glob("perch-*")) == []


def test_the_browser_is_not_given_the_address_where_others_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("runtime.explore.label._has_display", lambda: True)
    with _opened("http://127.0.0.1:1/secret/", browser=True):
        until(lambda: opened)
        file = Path(url2pathname(urlsplit(opened[0]).path))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "secret" not in opened[0] and "http://127.0.0.1:1/secret/" in file.read_text()
    assert not file.exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--precision", "1"], "--precision is 1"),
        (["--learn-every", "-1"], "--learn-every is -1"),
        (["--port", "70000"], "--port is 70000"),
        (["--port", "{busy}"], "cannot serve the page at port {busy} (address already in use); choose another --port"),
        (["--labeller", " "], "--labeller is ' '"),
        (["--labeller", "a\nb"], "--labeller is 'a\\nb'"),
        (["--audio", "nowhere"], "there is no folder nowhere"),
        (["--labels", "labels.txt"], "end its name in .csv"),
        (["--labels", "nowhere/labels.csv"], "cannot write to"),
        (["--labels", "old.csv"], "--import"),
        (["--labels", "old.csv", "--import", "old.csv"], "would be written over"),
        (["--import", "other.csv"], "labels none of the windows"),
        (["--list", "old.csv", "--list", "list.csv"], "has no column row_id"),
        (["--list", "other.csv"], "lists none of the windows"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "out.parquet", np.zeros((2, 4), np.float32), 2)
    write_labels(tmp_path / "old.csv", [("r0_5", "x")])
    write_labels(tmp_path / "other.csv", [("elsewhere_5", "x")])
    (tmp_path / "list.csv").write_text("name\nr0_5\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = str(taken.getsockname()[1])
        given = [option.format(busy=busy) for option in options]
        assert main(["label", "out.parquet", "--no-browser", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why.format(busy=busy) in line


@pytest.fixture
def ended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.explore.label._serve", lambda *_: 0)
    monkeypatch.setattr("runtime.explore.label._end", lambda code: None)


def test_labels_of_another_form_begin_a_new_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ended_at_once: object
) -> None:
    rows, _ = write_world(tmp_path, recordings=1)
    write_labels(tmp_path / "old.csv", [("R0_5.0", "One"), ("R0_5.0", "two"), ("r0_10", ""), ("gone_5", "one")])
    new = tmp_path / "new.csv"
    assert main(["label", str(rows), "--labels", str(new), "--import", str(tmp_path / "old.csv")]) == 0
    answers = Journal(new).answers
    assert {name: answer.species for name, answer in answers.items()} == {
        "r0_5": ("One", "two"),
        "r0_10": (),
        "gone_5": ("One",),
    }
    assert {answer.source for answer in answers.values()} == {"imported"}
    said = capsys.readouterr().out
    assert re.search(r"the labels of 3 windows copied from .*old.csv\n", said)
    assert said.endswith(f"{new}: 0 answers in this session; 3 windows answered in all\n")


def test_recordings_that_are_missing_and_rows_without_embedding_are_said_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ended_at_once: object
) -> None:
    rows = write_rows(tmp_path / "out.parquet", np.zeros((4, 4), np.float32), 2)
    assert main(["label", str(rows)]) == 0
    said = capsys.readouterr().out
    assert "2 recordings of 4 windows not found: site/r0.wav and 1 more; say where they are now with --audio" in said
