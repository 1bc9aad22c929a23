"""A page for labelling over made-up rows whose recordings hold tones: one species at 3 kHz, one at 7 kHz."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from runtime.classes.taxonomy import Taxonomy
from runtime.explore.labelling.background_learning import Learning
from runtime.explore.labelling.desk import Desk
from runtime.explore.labelling.journal import Journal
from runtime.explore.labelling.orders import Orders
from runtime.explore.labelling.server import make_server
from runtime.explore.labelling.vocabulary import Vocabulary
from runtime.explore.labelling.windows import Windows
from runtime.explore.pictures.sound import Recordings
from runtime.explore.rows import open_runs
from tests.support.rows_files import write_rows

CLASSES = ("amerob", "apbsun2", "banpit3")
PER_RECORDING, RATE = 4, 32_000
TOKEN = "token"


@dataclass
class Answered:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Page:
    """The page's server in a thread, and what a browser does with it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self._server = make_server(desk, TOKEN, self.port)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.desk.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] = {},
        token: str = TOKEN,
    ) -> Answered:
        """Asks with the headers of a browser, or others instead; None for one that is left out."""
        usual: dict[str, str | None] = {
            "Host": f"127.0.0.1:{self.port}",
            "Content-Type": None if body is None else "application/json",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(method, f"/{token}/{path}", skip_host=True, skip_accept_encoding=True)
            for name, value in {**usual, "Content-Length": str(len(body or b"")), **headers}.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answered(answer.status, dict(answer.getheaders()), answer.read())

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.data
        return answer.json

    def post(self, path: str, status: int = 200, **asked: Any) -> Any:
        answer = self.ask("POST", path, json.dumps({"tab": "a", **asked}).encode())
        assert answer.status == status, answer.data
        return answer.json

    def next(self, order: str = "random", value: str | None = None, after: str | None = None, tab: str = "a") -> Any:
        return self.post("next", tab=tab, order={"id": order, "value": value}, after=after)

    def label(self, key: str, *species: str, status: int = 200, seen: Any = None, **more: Any) -> Any:
        asked = {"answer": "labelled", "order": {"id": "random", "value": None}, **more}
        return self.post("label", status, key=key, species=species, seen=seen, **asked)


def write_world(folder: Path, recordings: int = 3) -> tuple[Path, NDArray[np.bool_]]:
    """Rows of recordings `site/r0.wav`, … and which windows hold apbsun2 and banpit3, bool `[rows, 2]`."""
    random = np.random.default_rng(0)
    count = recordings * PER_RECORDING
    truth = random.random((count, 2)) < [0.4, 0.3]
    embedding = random.normal(size=(count, 16)).astype(np.float32)
    embedding[:, :2] += 12 * truth
    label = random.normal(size=(count, 3)).astype(np.float32)
    label[:, 1:] += 6 * truth
    (folder / "site").mkdir(exist_ok=True)
    for number in range(recordings):
        soundfile.write(folder / f"site/r{number}.wav", _sound(truth[number * PER_RECORDING :][:PER_RECORDING]), RATE)
    return write_rows(folder / "out.parquet", embedding, PER_RECORDING, label, CLASSES), truth


def open_page(rows: Sequence[Path], labels: Path, every: int = 0, labeller: str = "me", **more: Any) -> Page:
    """The page over files of rows."""
    files = open_runs(rows)
    windows = Windows(files, [Recordings(file.source) for file in files])
    journal = Journal(labels, windows.own_name)
    learning = Learning(files, journal, 0.9, every, more.get("cannot", ""))
    orders = Orders(windows, learning, more.get("listed"))
    desk = Desk(windows, journal, Vocabulary(files, Taxonomy()), orders, learning, labeller, "out.parquet")
    return Page(desk)


def _sound(truth: NDArray[np.bool_]) -> NDArray[np.float32]:
    times = np.arange(5 * RATE) / RATE
    tones = [np.sin(2 * np.pi * pitch * times) for pitch in (3_000, 7_000)]
    windows = [sum((tone for tone, there in zip(tones, row) if there), np.zeros(len(times))) for row in truth]
    noise = np.random.default_rng(1).normal(size=len(times) * len(truth))
    return np.asarray(0.1 * np.concatenate(windows) + 0.01 * noise, np.float32)
