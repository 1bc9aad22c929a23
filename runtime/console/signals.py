"""The signals that end a command: Ctrl-C, SIGTERM, and what a terminal sends when it is closed."""

from __future__ import annotations

import signal


class Signals:
    """Turns them into KeyboardInterrupt while its `with` block runs, so that nothing is left behind.

    A signal that was ignored before stays ignored, as with `nohup` and `&`. SIGTERM interrupts only once, and never
    the cleaning up after Ctrl-C: `timeout` and batch systems send it several times.

    Args:
        once: whether Ctrl-C, too, interrupts only once.
    """

    def __init__(self, once: bool = False) -> None:
        self.received: list[int] = []
        self.interrupt = True
        """Whether a signal interrupts; it is noted in any case."""
        self._once = once

    def __enter__(self) -> Signals:
        handlers = {signal.SIGINT: self._note, signal.SIGTERM: self._note}
        if hasattr(signal, "SIGHUP"):  # Windows has none
            handlers[signal.SIGHUP] = _as_terminated
        known = [number for number in handlers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
        self._before = {number: signal.signal(number, handlers[number]) for number in known}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        first = not self.received
        self.received.append(number)
        if self.interrupt and (first or (number == signal.SIGINT and not self._once)):
            raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """The exit code that a shell would give: 130 after Ctrl-C, 143 after SIGTERM, 0 if there was none."""
        return 128 + self.received[0] if self.received else 0


def _as_terminated(number: int, frame: object) -> None:
    signal.raise_signal(signal.SIGTERM)
