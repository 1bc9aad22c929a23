"""A page in Chromium, driven over a pipe by its DevTools protocol: nothing but the browser is needed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--remote-debugging-pipe",
)
PATIENCE_S = 180
"""How long an answer may take: only a page that hangs takes as long."""


class Page:
    """An open page. Texts of errors that its scripts raise are collected in `errors`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process, self.errors = process, list[str]()
        self._number, self._buffer, self._session = 0, b"", {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What a command of the protocol returns."""
        assert self.process.stdin
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        while True:
            answer = self._receive(method)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"]))

    def _receive(self, method: str) -> dict[str, Any]:
        assert self.process.stdout
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"the page hangs: no answer to {method}"
            part = os.read(self.process.stdout.fileno(), 2**20)
            assert part, "the browser has gone"
            self._buffer += part
        first, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(first))

    def open(self, path: Path, width: int = 700, height: int = 500) -> None:
        """Loads a file."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.until("document.readyState === 'complete'")

    def touch(self, on: bool) -> None:
        """Turns touch input on or off."""
        self.call("Emulation.setTouchEmulationEnabled", enabled=on)

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript, when it is there."""
        reply = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def until(self, condition: str) -> None:
        """Waits until an expression is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.run(condition):
            assert time.monotonic() < deadline, f"not true: {condition}"
            time.sleep(0.02)

    def press(self, x: float, y: float, held_s: float = 0.1, moved: float = 1) -> None:
        """Moves the mouse there, holds its button down for so long, moves by so many pixels, and lets go."""
        at = {"x": x, "y": y}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **at)
        button = {"button": "left", "clickCount": 1, **at}
        self.call("Input.dispatchMouseEvent", type="mousePressed", buttons=1, **button)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", buttons=1, button="left", x=x + moved, y=y)
        time.sleep(held_s)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", buttons=0, **{**button, "x": x + moved})

    def tap(self, x: float, y: float, held_s: float = 0.1) -> None:
        """Touches a point for `held_s` seconds."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        time.sleep(held_s)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, key: str, code: int, text: str = "") -> None:
        """Presses a key, such as `Enter`, 13."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)


FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 20, true))))"
"""True when what was drawn last has been drawn."""


@contextlib.contextmanager
def chromium() -> Iterator[Page]:
    """A browser with an empty profile."""
    assert PROGRAM
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # the pipe of the protocol is file descriptors 3 and 4
        script = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
        command = ["sh", "-c", script, PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            try:
                yield Page(process)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
