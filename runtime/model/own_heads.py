"""Heads that users add to a converted file: what its metadata says of them, besides their shapes and class lists.

Such a head is computed from the output `embedding` and gives probabilities. The entry `own_heads` is a JSON object with
an object for each of them, by their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAMESPACE = "own"
"""The namespace of their class lists."""
MOST_TEXT = 2**22
"""Characters of the entry, far above any list of thresholds."""


@dataclass(frozen=True)
class OwnHead:
    """What is known of a user's own head."""

    thresholds: tuple[float | None, ...]
    """For each class the probability from which on it counts as detected; None: it never does."""
    normalize: str | None
    """How windows were normalised on whose embeddings it was taught, as in `--normalize`; None if unknown."""
    taught: Mapping[str, Any]
    """What it was taught from, to be shown."""

    @property
    def has_thresholds(self) -> bool:
        """Whether any class can be detected by its threshold."""
        return any(threshold is not None for threshold in self.thresholds)

    def to_json(self) -> dict[str, Any]:
        """The head's object in the entry `own_heads`."""
        return {"thresholds": list(self.thresholds), "normalize": self.normalize, "taught": dict(self.taught)}

    @classmethod
    def read(cls, name: str, fields: Any, namespace: str, classes: int) -> OwnHead:
        """Reads the object of the head `name`, which has so many classes in its class list of this namespace.

        Raises:
            ValueError, LookupError, TypeError: it is invalid.
        """
        if namespace != NAMESPACE:
            raise ValueError(f"the own head '{name[:40]}' has no class list of the namespace '{NAMESPACE}'")
        thresholds, normalize, taught = fields["thresholds"], fields["normalize"], fields["taught"]
        if not isinstance(thresholds, list) or len(thresholds) != classes:
            raise ValueError(f"the own head '{name[:40]}' has not one threshold for each of its {classes} classes")
        if not all(each is None or (type(each) in (int, float) and 0 <= each <= 1) for each in thresholds):
            raise ValueError(f"a threshold of the own head '{name[:40]}' is no number from 0 to 1")
        if not (normalize is None or isinstance(normalize, str)) or not isinstance(taught, dict):
            raise ValueError(f"the own head '{name[:40]}' does not say what it was taught from")
        return cls(tuple(None if each is None else float(each) for each in thresholds), normalize, taught)
