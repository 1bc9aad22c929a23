"""`perch-run --map-report`: which column of the model each wanted class got."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.classes.class_map import ClassMap, Match
from runtime.classes.taxonomy import Taxonomy
from runtime.errors import counted, some
from runtime.files import replacing
from runtime.model.heads import NO_CLASS, Head

FIELDS = (
    "class",
    "met",
    "by",
    "namespace",
    "columns",
    "genus",
    "scientific_name",
    "common_name",
    "class_name",
    "suggestions",
)
SHOWN = 50
SEPARATOR = "; "
"""Separates names in a cell."""
Line = Mapping[str, str]


def report_lines(class_map: ClassMap, heads: Mapping[str, Head], taxonomy: Taxonomy) -> list[Line]:
    """One line for each wanted class, with the cells that `FIELDS` name.

    `met` is `exact`, `genus` or `absent`; `by` is the kind of name that a class list has, or the proxy; `namespace` is
    that class list. Then come the class's columns, its taxon as far as it is known, and similar names.
    """
    label = heads["label"]
    by_list = label.class_lists
    first = by_list[class_map.namespace].names
    # A column without a code is listed under its name in the model's first list.
    names = [other if name == NO_CLASS else name for name, other in zip(first, label.classes, strict=True)]
    lines: list[Line] = []
    for match, met, columns in zip(class_map.matches, class_map.met, class_map.columns, strict=True):
        taxon = taxonomy[match.name]
        column_names: Sequence[str] = names
        if met == "exact":
            column_names = by_list[match.namespace].names
        elif class_map.proxy == "genus-head":
            column_names = heads["genus"].classes
        cells = (
            match.name,
            met,
            match.by if met == "exact" else str(class_map.proxy or "") if met == "genus" else "",
            match.namespace,
            SEPARATOR.join(column_names[i] for i in columns),
            taxon.genus,
            taxon.scientific_name,
            taxon.common_name,
            taxon.class_name,
            SEPARATOR.join(class_map.near.get(match.name, ())),
        )
        lines.append(dict(zip(FIELDS, cells, strict=True)))
    return lines


def write_report(lines: Sequence[Line], path: Path) -> None:
    """Writes a CSV.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def report_text(lines: Sequence[Line], class_map: ClassMap) -> str:
    """The report as text: counts, counts by class_name, and the classes that no column has under their own names."""
    text = [f"{counted(len(lines), 'class')}: {_counts(lines)}"]
    kinds = sorted({line["class_name"] for line in lines}, key=lambda kind: (not kind, kind))
    if any(kinds):
        text += [f"  {kind or 'others'}: {_counts([x for x in lines if x['class_name'] == kind])}" for kind in kinds]
    if class_map.repeated:
        text.append(f"listed more than once, given one column: {some(class_map.repeated, SHOWN)}")
    others = [pair for pair in zip(lines, class_map.matches, strict=True) if pair[0]["by"] != "name"]
    others.sort(key=lambda pair: ("absent", "genus", "exact").index(pair[0]["met"]))
    described = [f"  {match.name}: {_described(line, match, class_map)}" for line, match in others]
    if described:
        text += ["not found by their own names:", *described[:SHOWN]]
    if len(described) > SHOWN:
        text.append(f"  and {len(described) - SHOWN} more")
    return "\n".join(text)


def _counts(lines: Sequence[Line]) -> str:
    met = [line["met"] for line in lines]
    return f"{met.count('exact')} exact, {met.count('genus')} by genus, {met.count('absent')} absent"


def _described(line: Line, match: Match, class_map: ClassMap) -> str:
    columns = line["columns"].split(SEPARATOR)
    if line["met"] == "exact":
        return f"exact by its {line['by']}, {columns[0]} ({match.namespace})"
    if line["met"] == "genus":
        text = f"{line['by']} of {match.genus}, {counted(len(columns), 'column')} ({some(columns)})"
    else:
        text = f"absent, {class_map.unmapped_value:g}"
    if line["met"] == "absent" and match.relatives and class_map.proxy is None:
        text += f"; the model has {len(match.relatives)} of its genus {match.genus}; see --unmapped"
    return f"{text}; did you mean {line['suggestions']}?" if line["suggestions"] else text
