"""Orders in which windows are served. Those that need a look at every row are made in a thread, and asked for again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.explore.labelling.background_learning import Learning
from runtime.explore.labelling.learning_protocol import Learnt
from runtime.explore.labelling.windows import Windows
from runtime.explore.queries import find_query
from runtime.explore.random_share import draw
from runtime.explore.rows import RowFile
from runtime.explore.similarity import find_similar
from runtime.explore.species import find_columns

NAMES = {
    "worth": "most worth labelling",
    "species": "highest scores of a species",
    "similar": "most similar to a window",
    "random": "random",
    "list": "from the list",
}
NEEDS = {"species": "species", "similar": "row_id"}
MOST = 2_000
"""Most windows that are found similar to one."""
KEPT, QUICK_S = 16, 0.3
"""How many orders stay in memory, and how long is waited for a new one before the page is told to ask again."""


@dataclass(frozen=True)
class Ranking:
    """Windows in an order, int64 `[windows]`; `reason` says why one is where it is, by its place in them.

    source: what a label file says of how they were chosen.
    """

    numbers: NDArray[np.int64]
    reason: Callable[[int], str]
    source: str


class WaitingError(Exception):
    """An order is being made; the message says so."""


class Orders:
    """The orders of some windows.

    listed: the windows of the order `list`, None if there is none.
    """

    def __init__(self, windows: Windows, learning: Learning, listed: NDArray[np.int64] | None = None) -> None:
        self._windows, self._learning, self._listed = windows, learning, listed
        self._embedded = all("embedding" in file.shapes for file in windows.files)
        self._labelled = any("label" in file.shapes for file in windows.files)
        self._made: OrderedDict[tuple[str, str], Future[Ranking]] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "orders")
        self._lock = threading.Lock()
        self._closed = False

    def described(self) -> list[dict[str, object]]:
        """What the page offers."""
        why = {
            "worth": "" if self._embedded else "the rows have no embedding",
            "species": "" if self._labelled or self._embedded else "the rows have neither label nor embedding",
            "similar": "" if self._embedded else "the rows have no embedding",
            "random": "",
            "list": "" if self._listed is not None else "no list was given with --list",
        }
        return [
            {"id": order, "name": name, "needs": NEEDS.get(order), "available": not why[order], "why": why[order]}
            for order, name in NAMES.items()
        ]

    def close(self) -> None:
        """Stops making orders."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def get(self, order: str, value: str) -> Ranking:
        """The windows of an order; `value` is the species or the row_id that it needs.

        Raises:
            InputError: there is none; the message says why.
            WaitingError: it is not there yet.
        """
        why = next((str(each["why"]) for each in self.described() if each["id"] == order), "there is no such order")
        if why:
            raise InputError(f"there is no order {NAMES.get(order, order)!r}: {why}")
        if order in NEEDS and not value:
            raise InputError(f"name a {NEEDS[order]} for the order {NAMES[order]!r}")
        if order == "list":
            assert self._listed is not None
            return Ranking(self._listed, lambda place: f"number {place + 1} of the list", "list")
        learnt = self._learning.learnt
        if order == "worth" and learnt is not None and len(learnt.worth):
            return self._worth(learnt)
        if order in ("worth", "random"):
            return self._wait("random", "", self._random)
        if order == "similar":
            return self._wait(order, value, self._similar)
        if learnt is not None and (value in learnt.well_known or (value in learnt.names and not self._columns(value))):
            return self._by_probe(learnt, value)
        return self._wait(order, value, self._by_score)

    def _wait(self, order: str, value: str, make: Callable[[str], Ranking]) -> Ranking:
        key = order, value
        with self._lock:
            if key not in self._made:
                self._made[key] = self._thread.submit(make, value)
                while len(self._made) > KEPT:
                    self._made.popitem(last=False)[1].cancel()
            self._made.move_to_end(key)
            made = self._made[key]
        try:
            return made.result(QUICK_S)
        except (TimeoutError, CancelledError):
            raise WaitingError(f"looking through {len(self._windows):,} windows") from None
        except Exception:  # another time it may go well
            with self._lock:
                self._made.pop(key, None)
            raise

    def _worth(self, learnt: Learnt) -> Ranking:
        def reason(place: int) -> str:
            name, probability = learnt.worth_species[place], learnt.worth_probabilities[place]
            shown = f" ({probability:.0%})" if name in learnt.well_known else ""
            return f"unsure whether it holds {name}{shown}"

        return Ranking(learnt.worth, reason, "worth")

    def _by_probe(self, learnt: Learnt, name: str) -> Ranking:
        probabilities = learnt.probabilities[learnt.names.index(name)]
        order = np.argsort(-probabilities, kind="stable")  # NaN last
        order = order[: np.count_nonzero(~np.isnan(probabilities))]
        return Ranking(order, lambda place: f"number {place + 1} for {name} by what was learnt", "species")

    def _random(self, _: str) -> Ranking:
        scored = np.flatnonzero(self._windows.scored)
        draws = np.array([draw(self._windows.row_ids[number]) for number in scored.tolist()], np.uint64)
        return Ranking(scored[np.argsort(draws, kind="stable")], lambda place: "in random order", "random")

    def _by_score(self, name: str) -> Ranking:
        scores = np.full(len(self._windows), np.nan, np.float32)
        columns = self._columns(name)
        if not columns:
            raise InputError(
                f"neither the model nor what was learnt has {name}; label some windows with and without it first"
            )
        for number, column in columns.items():
            start = int(self._windows.starts[number])
            for first, values in self._blocks(self._windows.files[number], "label"):
                scores[start + first : start + first + len(values)] = values[:, column]
        order = np.argsort(-scores, kind="stable")[: np.count_nonzero(~np.isnan(scores))]
        return Ranking(order, lambda place: f"number {place + 1} by the model's score of {name}", "species")

    def _columns(self, name: str) -> dict[int, int]:
        """The column of a species among the model's scores, in each file that has one."""
        columns = {
            number: int(find_columns([name], file.classes["label"])[0])
            for number, file in enumerate(self._windows.files)
            if "label" in file.shapes
        }
        return {number: column for number, column in columns.items() if column >= 0}

    def _similar(self, row_id: str) -> Ranking:
        files = [file.with_own_handle() for file in self._windows.files]
        hits = find_similar(files, [find_query(row_id, files, None)], MOST, before_block=self._check_open)
        numbers = np.array([self._windows.starts[hit.file] + hit.row for hit in hits], np.int64)
        similarities = [hit.similarity for hit in hits]
        return Ranking(numbers, lambda place: f"similarity {similarities[place]:.3f} to {row_id}", "similar")

    def _blocks(self, file: RowFile, name: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for start, values in file.with_own_handle().blocks(name):
            self._check_open()
            yield start, values

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("the page is closing")
