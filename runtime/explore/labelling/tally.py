"""Counts of the answers, and which labels have a key on the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Set
from typing import Any

from runtime.explore.labelling.answer import Answer

MOST_KEYS = 9
COMMONER = 1.5
"""A label takes another one's key when it is so many times as common: a key should mean the same for long."""


class Tally:
    """Counts the answers, and remembers which labels have a key."""

    def __init__(self) -> None:
        self._keys: list[str] = []

    def of(self, answers: Collection[Answer], random: Set[str]) -> dict[str, Any]:
        """The counts, and the commonest labels by their keys; `random` are the windows of the random share."""
        labelled = sum(answer.answer == "labelled" for answer in answers)
        return {
            "counts": {
                "labelled": labelled,
                "unsure": len(answers) - labelled,
                "random": sum(answer.row_id in random for answer in answers),
            },
            "keys": self._commonest(Counter(name for answer in answers for name in answer.species)),
        }

    def _commonest(self, counts: Counter[str]) -> list[str]:
        keys = self._keys
        while keys and keys[-1] not in counts:  # one in between stays, so that the others keep their keys
            keys.pop()
        for name, count in counts.most_common():
            if name in keys:
                continue
            if len(keys) < MOST_KEYS:
                keys.append(name)
                continue
            least = min(keys, key=counts.__getitem__)
            if count > COMMONER * counts[least]:
                keys[keys.index(least)] = name
        return list(keys)
