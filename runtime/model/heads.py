"""The heads of a model (its outputs) and their class lists, as entries of a file's metadata.

A class list is stored as in the SavedModel's assets: its header, then one name a line. The first one of the head
`label` is the entry `classes.label`; others are `classes.label.NAMESPACE`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtime.model.own_heads import OwnHead

LABEL = "label"
"""The output whose columns are the model's species."""
NO_CLASS = "no_ebird_code"
"""The entry of a class list for a column that has no name in its namespace; it is no class."""
MOST_DIMENSIONS, MOST_NUMBERS = 8, 2**26
"""Limits on one window's output, far above any model's."""


def first_columns(names: Sequence[str]) -> dict[str, int]:
    """The first column of each name, from 0; `no_ebird_code` is no name."""
    columns = {name: i for i, name in reversed(list(enumerate(names)))}
    columns.pop(NO_CLASS, None)
    return columns


@dataclass(frozen=True)
class ClassList:
    """Names of a class head's columns, in order; a name may repeat.

    `namespace` is the list's header, such as `ebird2021`. `dropped` are classes of the SavedModel that this file lacks,
    because it was converted with `--classes`.
    """

    namespace: str
    names: tuple[str, ...]
    dropped: tuple[str, ...] = ()

    def keeping(self, columns: Sequence[int]) -> ClassList:
        """The names of these columns; the classes of others are dropped."""
        names = tuple(self.names[i] for i in columns)
        kept = {*names, NO_CLASS}
        return ClassList(self.namespace, names, tuple(name for name in self.names if name not in kept))


@dataclass(frozen=True)
class Head:
    """One output of the model.

    `shape` is without the batch. `classes`, `namespace` and `dropped` are the first class list of a class head (see
    `ClassList`), and empty for others. `other_lists`, in the order of their namespaces, name the same columns.
    """

    name: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    namespace: str = ""
    dropped: tuple[str, ...] = ()
    other_lists: tuple[ClassList, ...] = ()
    own: OwnHead | None = None
    """What is known of a head that a user added to the file; None for the model's own."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one window's output, in float32."""
        return 4 * math.prod(self.shape)

    @property
    def class_lists(self) -> dict[str, ClassList]:
        """The class lists by namespace, the first one first; empty for heads without classes."""
        first = (ClassList(self.namespace, self.classes, self.dropped),) if self.classes else ()
        return {each.namespace: each for each in (*first, *self.other_lists)}

    def names(self, namespace: str | None) -> tuple[str, ...]:
        """The names of the columns in a namespace; in the first one if there is no list of that namespace."""
        class_list = self.class_lists.get(self.namespace if namespace is None else namespace)
        return self.classes if class_list is None else class_list.names

    def keeping(self, columns: Sequence[int]) -> Head:
        """The class head with only these columns."""
        first, *others = (each.keeping(columns) for each in self.class_lists.values())
        return Head(self.name, (len(columns),), first.names, first.namespace, first.dropped, tuple(others))

    def with_namesakes(self, columns: Iterable[int]) -> list[int]:
        """These columns and all others that share a name with one of them in any class list, in order.

        A lookup takes the first of the columns that share a name. A file that keeps all or none of them therefore takes
        the same column as the file it was made from.
        """
        kept: set[int] = set()
        more = set(columns)
        while more - kept:
            kept |= more
            for class_list in self.class_lists.values():
                names = {class_list.names[i] for i in kept} - {NO_CLASS}
                more |= {i for i, name in enumerate(class_list.names) if name in names}
        return sorted(kept)

    def to_metadata(self) -> dict[str, str]:
        """Metadata entries of the class lists."""
        entries = {}
        for class_list in self.class_lists.values():
            key = self.name if class_list.namespace == self.namespace else f"{self.name}.{class_list.namespace}"
            entries[f"classes.{key}"] = "\n".join([class_list.namespace, *class_list.names])
            if class_list.dropped:
                entries[f"dropped_classes.{key}"] = "\n".join(class_list.dropped)
        return entries


def read_heads(shapes: Mapping[str, Any], own: Mapping[str, Any], entries: Mapping[str, str]) -> dict[str, Head]:
    """Reads the heads of these shapes, with their class lists. `own` describes those that a user added.

    Raises:
        ValueError, LookupError, TypeError: the entries are invalid.
    """
    heads = {name: _head(name, _shape(name, shape), _lists(name, shapes, entries)) for name, shape in shapes.items()}
    for name, fields in own.items():
        each = heads[name]
        heads[name] = replace(each, own=OwnHead.read(name, fields, each.namespace, len(each.classes)))
    return heads


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    dimensions = shape if isinstance(shape, list) and 0 < len(shape) <= MOST_DIMENSIONS else [0]
    if not all(type(size) is int and 0 < size <= MOST_NUMBERS for size in dimensions):
        raise ValueError(f"{str(shape)[:40]} is no valid shape of the output '{name[:40]}'")
    if math.prod(dimensions) > MOST_NUMBERS:
        raise ValueError(f"the output '{name[:40]}' has {math.prod(dimensions)} numbers")
    return tuple(dimensions)


def _head(name: str, shape: tuple[int, ...], lists: dict[str, ClassList]) -> Head:
    first = lists.pop(name, ClassList("", ()))
    others = tuple(each for _, each in sorted(lists.items()))
    for each in (first, *others):
        if each.names and len(each.names) != shape[-1]:
            raise ValueError(f"{len(each.names)} classes of '{each.namespace}' for an output '{name}' of {shape[-1]}")
    if {f"{name}.{each.namespace}" for each in others if each.namespace != first.namespace} != set(lists):
        raise ValueError(f"class lists of '{name}' whose headers are not their names")
    return Head(name, shape, first.names, first.namespace, first.dropped, others)


def _lists(name: str, heads: Iterable[str], entries: Mapping[str, str]) -> dict[str, ClassList]:
    """The class lists of a head, by the names of their entries."""
    lists = {}
    for entry, text in entries.items():
        key = entry.removeprefix("classes.")
        if entry != key and (key == name or (key.startswith(f"{name}.") and key not in heads)):
            lists[key] = _class_list(text, entries.get(f"dropped_classes.{key}"))
    return lists


def _class_list(text: str, dropped: str | None) -> ClassList:
    namespace, *names = text.split("\n")
    return ClassList(namespace, tuple(names), tuple(dropped.split("\n")) if dropped else ())
