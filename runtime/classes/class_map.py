"""Maps the columns of a model's class head to the classes that a user asks for."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.classes.suggestions import did_you_mean, suggestions
from runtime.classes.taxonomy import Taxon, Taxonomy
from runtime.classes.wanted import WantedClasses
from runtime.console.log import log
from runtime.errors import InputError, some
from runtime.model.heads import NO_CLASS, ClassList, Head, first_columns

Proxy = Literal["genus-max", "genus-mean", "genus-head"]
"""What a class without a column of its own gets: the greatest score of its genus's classes, their mean, or the score of
the output `genus`."""
Unmapped = float | Literal["zero", "genus-max", "genus-mean", "genus-head"]
Met = Literal["exact", "genus", "absent"]
DROPPED = -2
SHOWN = 20


@dataclass(frozen=True)
class Match:
    """The columns that a model has for a wanted class.

    `column` is the class's own column of the output `label`, listed in the class list `namespace` under its
    `name`, `scientific_name` or eBird `code`, as `by` says; -1 where it has none. Then `relatives` are its genus's
    columns of `label`, and `genus_column` is its genus's column of the output `genus`, -1 where there is none.
    """

    name: str
    column: int = -1
    by: str = ""
    namespace: str = ""
    genus: str = ""
    relatives: tuple[int, ...] = ()
    genus_column: int = -1


@dataclass(frozen=True)
class ClassMap:
    """How scores of the wanted classes are made from the model's outputs.

    A class without a column of its own gets what `proxy` says; where that is None, or its genus has no columns,
    `unmapped_value`. `namespace` is the class list in which names were looked up first. `repeated` are names that were
    asked for more than once, and get one column.
    """

    matches: tuple[Match, ...]
    proxy: Proxy | None = None
    unmapped_value: float = 0.0
    namespace: str = ""
    repeated: tuple[str, ...] = ()
    near: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For classes without a column of their own, similar names that have one."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The wanted classes."""
        return tuple(match.name for match in self.matches)

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """`int64 [wanted]`: the class's own column of `label`, -1 where it has none."""
        return np.array([match.column for match in self.matches], np.int64)

    @cached_property
    def columns(self) -> tuple[tuple[int, ...], ...]:
        """For each class the columns it is made from: of `label`; of `genus` where `genus-head` stands in for it."""
        return tuple((match.column,) if match.column >= 0 else self._stand_ins(match) for match in self.matches)

    def _stand_ins(self, match: Match) -> tuple[int, ...]:
        if self.proxy == "genus-head":
            return (match.genus_column,) if match.genus_column >= 0 else ()
        return match.relatives if self.proxy is not None else ()

    @cached_property
    def met(self) -> tuple[Met, ...]:
        """For each class whether it has its own column, is replaced by its genus, or is absent."""
        return tuple(
            "exact" if match.column >= 0 else "genus" if columns else "absent"
            for match, columns in zip(self.matches, self.columns, strict=True)
        )

    @cached_property
    def constant(self) -> NDArray[np.bool_]:
        """`bool [wanted]`: which classes get the constant `unmapped_value`."""
        return np.array(self.met) == "absent"

    @property
    def unmapped(self) -> list[str]:
        """Classes that get the constant `unmapped_value`."""
        return [name for name, met in zip(self.names, self.met, strict=True) if met == "absent"]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The model's outputs that the map reads."""
        return ("label", "genus") if self.proxy == "genus-head" else ("label",)

    @property
    def needed(self) -> list[int]:
        """The columns of `label` that the map reads with any choice of `unmapped`."""
        return sorted({i for match in self.matches for i in (match.column, *match.relatives) if i >= 0})

    def summary(self) -> str:
        """One line: how many classes have their own column, and which do not."""
        by_genus = [match.name for match, met in zip(self.matches, self.met, strict=True) if met == "genus"]
        parts = [f"{self.met.count('exact')} exact"]
        if self.proxy is not None:
            parts.append(f"{len(by_genus)} by {self.proxy}{_named(by_genus)}")
        constants = self.unmapped
        parts.append(f"{len(constants)} absent{_named(constants, f', which are {self.unmapped_value:g}')}")
        if self.repeated:
            parts.append(f"{len(self.repeated)} listed more than once, given one column{_named(self.repeated)}")
        if self.near:
            parts.append(did_you_mean(self.near))
        return "; ".join(parts)

    @cached_property
    def _proxies(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The classes replaced by their genus; their columns, concatenated; where each class's columns start."""
        classes = np.flatnonzero(np.array(self.met) == "genus")
        groups = [np.array(self.columns[i], np.int64) for i in classes]
        starts = np.cumsum([0, *map(len, groups)])[:-1]
        return classes, np.concatenate([np.empty(0, np.int64), *groups]), starts

    def apply(self, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Maps outputs by name, each `float32 [rows, columns]`, to `float32 [rows, wanted]`."""
        mapped = outputs["label"][:, self.positions]
        mapped[:, self.constant] = self.unmapped_value
        classes, columns, starts = self._proxies
        if len(classes):
            scores = outputs[self.outputs[-1]][:, columns]
            combine = np.add if self.proxy == "genus-mean" else np.maximum
            mapped[:, classes] = combine.reduceat(scores, starts, axis=1)
        if len(classes) and self.proxy == "genus-mean":
            mapped[:, classes] /= np.diff([*starts, len(columns)]).astype(np.float32)
        return mapped


def map_classes(
    wanted: WantedClasses,
    head: Head,
    unmapped: float | str = "zero",
    namespace: str | None = None,
    genus_head: Head | None = None,
) -> ClassMap:
    """Maps each wanted class as `match_classes` does.

    Raises:
        InputError: as there; or no class has a column.
    """
    class_map = match_classes(wanted, head, unmapped, namespace, genus_head)
    if not class_map.constant.all():
        return class_map
    lists = head.class_lists.values() if namespace is None else [head.class_lists[namespace]]
    question = did_you_mean(class_map.near)
    raise InputError(
        f"the model has none of the names in {wanted.source}; "
        f"its classes have names like {' or '.join(map(_like, lists))}{f'; {question}' if question else ''}"
    )


def match_classes(
    wanted: WantedClasses,
    head: Head,
    unmapped: float | str = "zero",
    namespace: str | None = None,
    genus_head: Head | None = None,
) -> ClassMap:
    """Finds each wanted class among the columns of `head`.

    A class is looked up by its name in the class list `namespace`; if that is None, in the list that has most of the
    classes, then in the others. If that fails it is looked up in all lists by its scientific name, then by its eBird
    code. If columns share a name, the first is taken; `no_ebird_code` names none. A column belongs to a genus if any
    class list gives it a name of that genus. See `check_unmapped` for classes without a column.

    Raises:
        InputError: the head has no class list, or none of this namespace; a column that is needed was left out at
            conversion; `unmapped` is invalid, or needs an output that the model lacks.
    """
    proxy, value = check_unmapped(unmapped)
    if not head.class_lists:
        raise InputError(f"the output '{head.name}' has no class list, so `classes` cannot be used")
    if namespace is not None and namespace not in head.class_lists:
        namespaces = ", ".join(head.class_lists)
        raise InputError(f"the output '{head.name}' has no class list '{namespace}'; it has {namespaces}")
    if proxy == "genus-head" and (genus_head is None or not genus_head.classes):
        raise InputError(
            "unmapped is 'genus-head', but the model has no output 'genus' (Perch v2 never has; in others "
            "`perch-convert --outputs` may have left it out); use 'genus-max'"
        )
    lists = list(head.class_lists.values()) if namespace is None else [head.class_lists[namespace]]
    names = set(wanted.names) - {NO_CLASS}
    chosen = max(lists, key=lambda each: len(names.intersection((*each.names, *each.dropped))))
    find = _Finder(head, chosen, namespace is not None, wanted.taxonomy, genus_head)
    if wanted.taxonomy.knows(wanted.header) or find(wanted.header).column != -1:
        raise InputError(
            f"{wanted.source} has no header: its first line, '{wanted.header}', is a class; put one above it"
        )
    matches = tuple(match for match in map(find, wanted.names) if not _is_text(match, wanted))
    needed = [match.name for match in matches if match.column == DROPPED]
    if proxy in ("genus-max", "genus-mean"):
        needed += [match.name for match in matches if match.column == -1 and match.genus in find.dropped_genera]
    if needed:
        raise InputError(
            f"the model was converted without {some(needed)} of {wanted.source}, or classes of the same genus; "
            f"convert it again with `{wanted.options(namespace)}`"
        )
    without_column = [match.name for match in matches if match.column < 0]
    near = suggestions(without_column, head, wanted.taxonomy) if without_column else {}
    return ClassMap(matches, proxy, value, chosen.namespace, wanted.repeated, near)


def _is_text(match: Match, wanted: WantedClasses) -> bool:
    """Whether a column of a sample submission is text, such as Kaggle's `Usage`, and no class; warns if so."""
    if match.name not in wanted.texts or match.column != -1 or wanted.taxonomy[match.name] != Taxon():
        return False
    log.warning(
        "%s: the column '%s' is no class, and left out: no class list has it, and its cells are no numbers",
        wanted.source,
        match.name,
    )
    return True


@dataclass(frozen=True)
class _Finder:
    """Finds the columns of a class; those left out at conversion are `DROPPED`.

    A class's own name is looked up in the list `chosen` first, and in no other if `chosen_alone`.
    """

    head: Head
    chosen: ClassList
    chosen_alone: bool
    taxonomy: Taxonomy
    genus_head: Head | None

    def __call__(self, name: str) -> Match:
        if name == NO_CLASS:
            return Match(name)
        for by, other in (("name", name), *self.taxonomy.other_names(name)):
            for namespace, columns in self._columns.items():
                if other in columns and not (by == "name" and self.chosen_alone and namespace != self.chosen.namespace):
                    return Match(name, columns[other], by, namespace)
        genus = self.taxonomy[name].genus
        if not genus:
            return Match(name)
        relatives = tuple(sorted(self._genera.get(genus, ())))
        return Match(name, genus=genus, relatives=relatives, genus_column=self._genus_columns.get(genus, -1))

    @cached_property
    def _columns(self) -> Mapping[str, Mapping[str, int]]:
        """For each class list, the chosen one first: the first column of each name."""
        ordered = {self.chosen.namespace: self.chosen, **self.head.class_lists}
        return {
            namespace: dict.fromkeys(class_list.dropped, DROPPED) | first_columns(class_list.names)
            for namespace, class_list in ordered.items()
        }

    @cached_property
    def _genera(self) -> Mapping[str, set[int]]:
        """The columns of each genus."""
        columns = defaultdict(set)
        for class_list in self.head.class_lists.values():
            for i, name in enumerate(class_list.names):
                columns[self.taxonomy[name].genus].add(i)
        return columns

    @cached_property
    def dropped_genera(self) -> set[str]:
        """Genera of which columns were left out at conversion."""
        dropped = [name for class_list in self.head.class_lists.values() for name in class_list.dropped]
        return {genus for name in dropped if (genus := self.taxonomy[name].genus)}

    @cached_property
    def _genus_columns(self) -> Mapping[str, int]:
        names = self.genus_head.classes if self.genus_head is not None else ()
        return first_columns([name.lower() for name in names])


def _named(names: Sequence[str], what: str = "") -> str:
    return f"{what}: {some(names, SHOWN)}" if names else ""


def _like(class_list: ClassList) -> str:
    names = [name for name in class_list.names if name != NO_CLASS]
    return f"{', '.join(names[:3])} ({class_list.namespace})"


def check_unmapped(unmapped: float | str) -> tuple[Proxy | None, float]:
    """Reads the option `unmapped`: what classes without a column get.

    Returns:
        The proxy, None if a constant was asked for; and that constant, 0 for "zero" and for classes that have no proxy.

    Raises:
        InputError: it is no proxy, not "zero" and no finite number.
    """
    for proxy in get_args(Proxy):
        if unmapped == proxy:
            return proxy, 0.0
    try:
        value = 0.0 if unmapped == "zero" else float(unmapped)
    except (ValueError, TypeError):
        value = math.nan
    if not math.isfinite(value):
        proxies = ", ".join(repr(proxy) for proxy in get_args(Proxy))
        raise InputError(f"unmapped is {unmapped!r}, but must be 'zero' or a number, or one of {proxies}")
    return None, value
