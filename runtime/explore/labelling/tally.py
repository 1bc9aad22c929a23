"""Counts of the answers, and which labels have a key on the page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from runtime.explore.labelling.answer import Answer

MOST_KEYS = 9
COMMONER = 1.5
"""A label takes another one's key when it is so many times as common: a key should mean the same for long."""


class Tally:
    """Counts the present answers, and gives keys to labels.

    It is told every line of the label file in its order, so that after a restart the keys are the same.
    """

    def __init__(self) -> None:
        self.species = Counter[str]()
        """In how many windows each is."""
        self._keys: list[str] = []
        self._clear()

    def _clear(self) -> None:
        self.species.clear()
        self._present: dict[str, tuple[Answer, bool]] = {}
        self._random: set[str] = set()
        self._counts = Counter[str]()

    def add(self, answer: Answer | None, here: bool) -> None:
        """Takes an answer; None voids all before. `here`: its window is one of the page's, so it is counted."""
        if answer is None:
            self._clear()
            return
        row_id = answer.row_id
        if (before := self._present.pop(row_id, None)) is not None:
            self._count(*before, -1)
        if answer.source == "random":
            self._random.add(row_id)
        if answer.answer != "withdrawn":
            self._present[row_id] = answer, here
            self._count(answer, here, 1)
        self._give_keys(answer.species)

    def as_json(self) -> dict[str, Any]:
        """The counts, and the commonest labels by their keys."""
        counts = {name: self._counts[name] for name in ("labelled", "unsure", "random")}
        return {"counts": counts, "keys": list(self._keys)}

    def _count(self, answer: Answer, here: bool, by: int) -> None:
        self._counts[answer.answer] += by * here
        self._counts["random"] += by * (here and answer.row_id in self._random)
        for name in answer.species:
            self.species[name] += by
            if not self.species[name]:
                del self.species[name]

    def _give_keys(self, names: tuple[str, ...]) -> None:
        keys = self._keys
        while keys and keys[-1] not in self.species:  # one in between stays, so that the others keep their keys
            keys.pop()
        for name in names:
            if name in keys or name not in self.species:
                continue
            if len(keys) < MOST_KEYS:
                keys.append(name)
                continue
            least = min(keys, key=self.species.__getitem__)
            if self.species[name] > COMMONER * self.species[least]:
                keys[keys.index(least)] = name
