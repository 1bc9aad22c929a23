"""Similar names, to suggest for classes that the model lacks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from runtime.classes.taxonomy import Taxonomy
from runtime.errors import some
from runtime.model.heads import NO_CLASS, Head

FEWEST_LETTERS = 5
"""In shorter names a difference of one letter is no typing error."""
MOST = 3


def suggestions(names: Sequence[str], head: Head, taxonomy: Taxonomy) -> Mapping[str, list[str]]:
    """For classes that a head's class lists lack, names in these lists similar to the class's or its scientific one.

    A name in the package's table is another bird's, not a misspelling, so it gets none.
    """
    sought = {
        other: name
        for name in names
        for other in (taxonomy[name].scientific_name, name)
        if other and not taxonomy.knows(other)
    }
    lists = head.class_lists.values()
    candidates = {name: None for each in lists for name in (*each.names, *each.dropped) if name != NO_CLASS}
    candidates |= {other: None for name in candidates if (other := taxonomy[name].scientific_name)}
    return {sought[other]: similar for other, similar in similar_names(sought, candidates).items()}


def did_you_mean(near: Mapping[str, Sequence[str]]) -> str:
    """The question "did you mean …?"; empty where no names are similar."""
    pairs = [f"{names[0]!r} for {name!r}" for name, names in near.items()]
    return f"did you mean {some(pairs)}?" if pairs else ""


def similar_names(names: Iterable[str], candidates: Iterable[str]) -> Mapping[str, list[str]]:
    """The candidates similar to each name, at most three; names without any are left out.

    A candidate is similar if it differs only in case, spaces and punctuation. If there is no such candidate, it is also
    similar if both become equal when each loses at most one letter, unless both have digits and these differ: codes of
    two species often differ only in digits.
    """
    shortened = defaultdict(list)
    for name in names:
        for short in _shortened(_folded(name)):
            shortened[short].append(name)
    equal: dict[str, dict[str, None]] = defaultdict(dict)
    slips: dict[str, dict[str, None]] = defaultdict(dict)
    for candidate in candidates:
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
    """The name; if it is long enough, also all that it becomes by losing one letter."""
    if len(folded) < FEWEST_LETTERS:
        return {folded}
    return {folded, *(folded[:i] + folded[i + 1 :] for i in range(len(folded)))}
