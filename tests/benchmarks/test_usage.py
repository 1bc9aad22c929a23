"""What processes use, against a child whose state is known."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.measuring.usage import UsageMonitor, alive, children, usage
from tests.support.processes import until

PROGRAM = (
    "import sys, threading; held = bytearray(50_000_000); threading.Thread(target=sys.stdin.read).start(); print()"
)


def test_a_child_until_it_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    child.stdout.readline()
    with UsageMonitor(os.getpid()) as monitor:
        until(lambda: child.pid in monitor.workers)
    assert child.pid in children(os.getpid())
    used = usage(child.pid)
    assert used is not None
    assert used.threads >= 2
    assert used.peak_rss >= used.rss > used.private >= 50_000_000
    assert used.pss >= used.private
    assert monitor.parent is not None
    assert monitor.parent.rss > 0

    child.kill()
    until(lambda: not alive(child.pid))  # a zombie until it is waited for
    for _ in range(2):
        assert usage(child.pid) is None
        assert not alive(child.pid)
        assert child.pid not in children(os.getpid())
        child.communicate()
