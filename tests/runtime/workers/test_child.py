"""Children as their parent hears them: what they say, how they end, and whose silence it is."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest

import runtime.workers.child
import runtime.workers.inbox
from runtime.workers.child import Child
from runtime.workers.inbox import LONGEST_WAIT_S, Inbox

CHILDREN = """
import sys, time
from runtime.workers.child import listen, serve
import threading
def main():
    receive, send = serve()
    threading.Thread(target=listen, args=(receive, id), daemon=True).start()
    send("hello")
    {}
"""


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("raise RuntimeError('what was wrong')", "ended with code 1 (RuntimeError: what was wrong)"),
        ("return", "ended with code 0"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by signal 11"),
        (
            "out = send.__closure__[0].cell_contents; out.write(b'?'); out.flush(); time.sleep(60)",
            "sent something that is not a message",
        ),
    ],
)
def test_how_a_child_ended_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str) -> None:
    (tmp_path / "one_child.py").write_text(CHILDREN.format(does))
    monkeypatch.syspath_prepend(tmp_path)
    if "not a message" in said:
        monkeypatch.setattr(runtime.workers.child, "END_S", 0.1)
    inbox: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    child = Child("one_child", None, inbox)
    try:
        assert [inbox.get(timeout=60)[1] for _ in range(2)] == ["hello", None]
        assert child.last_words() == said
    finally:
        child.stop()


class Clocks:
    """Stands for the module `time`; a laptop's monotonic clock may stand still while it sleeps."""

    def __init__(self) -> None:
        self.now = self.wall = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


class Silent:
    """A child that says nothing."""

    def __init__(self, silent_since: float) -> None:
        self.silent_since, self.ready, self.given_up = silent_since, True, False

    def give_up_on(self, silent_s: float) -> None:
        self.given_up = True


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(runtime.workers.inbox, "time", clocks)
    return clocks


def look(inbox: Inbox, child: Silent) -> None:
    inbox.queue.put(("child", "message"))
    assert inbox.receive([child], [child], None) == ("child", "message")  # type: ignore[list-item]


def test_a_child_that_is_silent_for_too_long_is_given_up(clocks: Clocks) -> None:
    inbox, child = Inbox(10.0), Silent(clocks.now)
    for _ in range(9):
        clocks.pass_by(1.0)
        look(inbox, child)
    assert not child.given_up
    clocks.pass_by(1.0)
    look(inbox, child)
    assert child.given_up


@pytest.mark.parametrize("runs", [True, False], ids=["monotonic clock runs", "monotonic clock stands still"])
def test_the_parents_own_sleep_is_no_childs_silence(clocks: Clocks, runs: bool) -> None:
    inbox, child = Inbox(10.0), Silent(clocks.now)
    for _ in range(3):  # a night each
        clocks.wall += 30_000.0
        clocks.now += 30_000.0 if runs else 0.0
        look(inbox, child)
        clocks.pass_by(1.0)
        look(inbox, child)
        assert not child.given_up
        assert child.silent_since <= clocks.now
    for _ in range(10):
        clocks.pass_by(1.0)
        look(inbox, child)
    assert child.given_up


def test_a_parent_that_is_always_late_gives_up_in_the_end(clocks: Clocks) -> None:
    inbox, child = Inbox(10.0), Silent(clocks.now)
    for _ in range(round(10 / LONGEST_WAIT_S) + 1):
        clocks.pass_by(60.0)
        look(inbox, child)
    assert child.given_up


def test_the_deadline_bounds_the_wait(clocks: Clocks) -> None:
    assert Inbox(10.0).receive([], [], clocks.now) is None
    assert Inbox(10.0).receive([], [], clocks.now - 5) is None
