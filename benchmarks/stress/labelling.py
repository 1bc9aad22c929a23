"""Labelling: the page opens and goes on at once however many windows there are, and kills lose no answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import soundfile

from benchmarks.stress.promises import promise
from runtime.classes.taxonomy import birds
from runtime.explore.label_files import read_labels
from runtime.rows.block import Block, Columns
from runtime.rows.formats.parquet_file import write_parquet

WINDOWS, PER_RECORDING, EMBEDDING, RATE = 100_000, 12, 1536, 32_000
CLASSES = (234, 10_932)
"""A competition's, and all of eBird's in Perch."""
ANSWERS, THINKING_S = 40, 1.0
MOST_OPEN_S, MOST_NEXT_S = 3.0, 0.1
LIVES, TABS, LONGEST_LIFE_S = 10, 2, 3.0
ABOUT = {"saved_model_sha256": "a" * 64, "window_s": "5", "sample_rate": str(RATE), "hop_s": "5"}
GONE = (OSError, http.client.HTTPException)
"""What a page gets from a server that was killed."""


class LabelPage:
    """perch-explore label in a process of its own, and what a browser asks of it."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "runtime.explore", "label", "--no-browser", "--labeller", "me", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        self.url = next(line for line in self.process.stdout if line.startswith("http://")).split()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def read(self, path: str, **asked: Any) -> bytes:
        """What the server answers; it is sent JSON if there is something to send."""
        data = json.dumps({"tab": "a", **asked}).encode() if asked else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    def ask(self, path: str, **asked: Any) -> Any:
        """The same, as JSON."""
        return json.loads(self.read(path, **asked))

    def next(self, order: str, value: str | None = None, **asked: Any) -> Any:
        """The next window of an order, once that is made."""
        while (answer := self.ask("next", order={"id": order, "value": value}, **asked)).get("waiting"):
            time.sleep(0.1)
        return answer["window"]

    def label(self, window: Any, *species: str, **asked: Any) -> None:
        """Answers a window, and returns when the server has saved it."""
        order = {"id": "random", "value": None}
        said = {"key": window["key"], "species": species, "answer": "labelled", "order": order, "seen": None, **asked}
        assert self.ask("label", **said)["saved"]

    def end(self, how: signal.Signals) -> tuple[str, int]:
        """What it says last, and its exit code."""
        self.process.send_signal(how)
        return self.process.communicate()[0], self.process.returncode


def labelling(folder: Path, model: Path) -> None:
    """The page of 100,000 windows opens and goes on at once, and killed again and again it loses no answer."""
    for classes in CLASSES:
        rows = folder / f"{classes}.parquet"
        write_many_rows(rows, WINDOWS, classes)
        measure(rows, folder / f"labels.{classes}.csv")
    kill_pages(folder / f"{CLASSES[0]}.parquet", folder / "killed.csv", LIVES)


def write_many_rows(rows: Path, count: int, classes: int) -> None:
    """Rows of one-minute recordings of noise, which are one file under many names."""
    noise = np.random.default_rng(0)
    folder = rows.parent / "site"
    folder.mkdir(exist_ok=True)
    names = [f"r{number:05}" for number in range(-(-count // PER_RECORDING))]
    sound = (0.05 * noise.normal(size=5 * PER_RECORDING * RATE)).astype(np.float32)
    soundfile.write(folder / f"{names[0]}.wav", sound, RATE)
    for name in names[1:]:
        if not (folder / f"{name}.wav").exists():
            (folder / f"{name}.wav").hardlink_to(folder / f"{names[0]}.wav")

    def blocks() -> Iterator[Block]:
        for number, name in enumerate(names):
            starts = 5.0 * np.arange(0.0, min(PER_RECORDING, count - number * PER_RECORDING))
            shapes = {"embedding": (len(starts), EMBEDDING), "label": (len(starts), classes)}
            outputs = {output: noise.normal(size=shape).astype(np.float32) for output, shape in shapes.items()}
            row_ids, status = [f"{name}_{end:g}" for end in starts + 5], np.full(len(starts), "scored", "<U12")
            yield Block(f"site/{name}.wav", row_ids, starts, starts + 5, status, outputs)

    columns = Columns({"embedding": (EMBEDDING,), "label": (classes,)}, {"label": tuple(birds())[:classes]}, ABOUT)
    with rows.open("wb") as file:
        write_parquet(blocks(), file, columns)


def measure(rows: Path, labels: Path) -> None:
    """Answers some windows as a person would, while the page learns, and times what that person waits for."""
    started = time.monotonic()
    with LabelPage(str(rows), "--labels", str(labels)) as page:
        ready = time.monotonic()
        state = page.read("state?tab=a")
        window = page.next("random")
        page.read(window["picture"])
        page.read(window["sound"])
        opened = time.monotonic() - ready
        print(f"  {rows.name}: address after {ready - started:.1f} s, state {len(state) / 1e3:.0f} kB", flush=True)
        waits: dict[str, list[float]] = {"answer saved": [], "next window": [], "picture and sound": []}
        for number in range(ANSWERS):
            time.sleep(THINKING_S)
            species = ["amerob"] if number % 3 == 0 else []
            with _timed(waits["answer saved"]):
                page.label(window, *species)
            with _timed(waits["next window"]):
                window = page.next("random", after=window["key"])
            with _timed(waits["picture and sound"]):
                page.read(window["picture"])
                page.read(window["sound"])
        for name, seconds in waits.items():
            median = 1e3 * statistics.median(seconds)
            print(f"  {name}: {median:.0f} ms in the median, {1e3 * max(seconds):.0f} ms at most", flush=True)
        for order, value in (("species", "amerob"), ("similar", window["row_id"])):
            since = time.monotonic()
            page.next(order, value, tab=order)
            print(f"  first window of the order {order} after {time.monotonic() - since:.1f} s", flush=True)
        promise(opened < MOST_OPEN_S, f"the page opens within {MOST_OPEN_S:g} s: {opened:.2f} s")
        promise(max(waits["next window"]) < MOST_NEXT_S, f"each next window within {1e3 * MOST_NEXT_S:.0f} ms")


@contextlib.contextmanager
def _timed(seconds: list[float]) -> Iterator[None]:
    since = time.monotonic()
    yield
    seconds.append(time.monotonic() - since)


def kill_pages(rows: Path, labels: Path, lives: int) -> None:
    """Two servers with two tabs each label into one file as fast as they can, until they are killed."""
    saved: dict[str, str] = {}
    for life in range(lives):
        with (
            LabelPage(str(rows), "--labels", str(labels), "--learn-every", "5") as one,
            LabelPage(str(rows), "--labels", str(labels), "--learn-every", "0") as other,
        ):
            tabs = [(page, f"{life}-{number}") for number, page in enumerate((one, other) * TABS)]
            threads = [threading.Thread(target=_label_until_killed, args=(*tab, saved)) for tab in tabs]
            for thread in threads:
                thread.start()
            for page in random.sample((one, other), 2):
                time.sleep(random.uniform(0, LONGEST_LIFE_S))
                page.process.kill()
            for thread in threads:
                thread.join()
    held = read_labels(labels).rows
    lost = [row_id for row_id, name in saved.items() if held.get(row_id) != frozenset({name})]
    promise(not lost, f"killed {2 * lives} times, all of {len(saved)} saved answers are in the file {lost[:3] or ''}")
    written = len(held) - len(saved)
    promise(written <= 2 * TABS * lives, f"{written} answers more, which were written but not told")


def _label_until_killed(page: LabelPage, tab: str, saved: dict[str, str]) -> None:
    window = None
    try:
        while True:
            window = page.next("random", tab=tab, after=window and window["key"])
            try:
                page.label(window, tab, tab=tab)
            except urllib.error.HTTPError as error:
                if error.code != 409:  # the other server's tab was faster
                    raise
                continue
            saved[window["row_id"]] = tab
    except GONE:
        return
