"""Names that nearly match: what somebody may have meant."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from runtime.classes.taxonomy import Taxonomy
from runtime.errors import some
from runtime.model.heads import NO_CLASS, Head

FEWEST_LETTERS = 5
"""Of names shorter than that one letter is too much to be a slip."""
MOST = 3


def suggestions(names: Sequence[str], head: Head, taxonomy: Taxonomy) -> Mapping[str, list[str]]:
    """Of classes that were not found in a head's class lists, names that nearly match their own or scientific one and
    would be found. There are none of what the package's table knows to be another bird.
    """
    asked = {
        other: name
        for name in names
        for other in (taxonomy[name].scientific_name, name)
        if other and not taxonomy.knows(other)
    }
    lists = head.class_lists.values()
    known = {name: None for known in lists for name in (*known.names, *known.dropped) if name != NO_CLASS}
    known |= {other: None for name in known if (other := taxonomy[name].scientific_name)}
    return {asked[other]: near for other, near in near_names(asked, known).items()}


def did_you_mean(near: Mapping[str, Sequence[str]]) -> str:
    """A question, empty where nothing nearly matches."""
    meant = [f"{names[0]!r} for {name!r}" for name, names in near.items()]
    return f"did you mean {some(meant)}?" if meant else ""


def near_names(unknown: Iterable[str], known: Iterable[str]) -> Mapping[str, list[str]]:
    """Of each unknown name that nearly matches known ones, these: at most three.

    Names match that differ in case, spaces, underscores and such alone; or where there are none, those that become
    equal when each loses at most one letter. Codes of two species often differ in their digits alone: they do not.
    """
    shortened = defaultdict(list)
    for name in unknown:
        for short in _shortened(_folded(name)):
            shortened[short].append(name)
    equal: dict[str, dict[str, None]] = defaultdict(dict)
    slips: dict[str, dict[str, None]] = defaultdict(dict)
    for candidate in known:
        folded = _folded(candidate)
        for name in {name for short in _shortened(folded) for name in shortened.get(short, ()) if name != candidate}:
            if _folded(name) == folded:
                equal[name][candidate] = None
            elif _digits(name) == _digits(candidate) or not (_digits(name) and _digits(candidate)):
                slips[name][candidate] = None
    return {name: list(equal.get(name) or slips[name])[:MOST] for name in [*equal, *slips]}


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _digits(name: str) -> str:
    return re.sub(r"\D", "", name)


def _shortened(folded: str) -> set[str]:
    """The name, and if it is long enough, what is left when it loses one of its letters."""
    if len(folded) < FEWEST_LETTERS:
        return {folded}
    return {folded, *(folded[:i] + folded[i + 1 :] for i in range(len(folded)))}
