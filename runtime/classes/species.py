"""Which classes may be detected: those of a list of species, and those that live at a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.classes.geomodel import occurrence
from runtime.classes.species_names import HEADERS, columns_by_name, folded, names_in, read_lines
from runtime.classes.suggestions import did_you_mean, similar_names
from runtime.classes.taxonomy import Taxonomy
from runtime.errors import InputError, counted, some

MIN_OCCURRENCE = 0.03
"""BirdNET's own threshold."""


@dataclass(frozen=True)
class Place:
    """Where and when recordings were made, for a geomodel; a species lives there from `least` on."""

    geomodel: str | Path
    latitude: float
    longitude: float
    week: int | None
    least: float


@dataclass(frozen=True)
class Species:
    """Which columns may be detected. `occurrence` is the probability of each at the place, NaN where unknown."""

    allowed: NDArray[np.bool_]
    occurrence: NDArray[np.float64]
    remarks: tuple[str, ...] = ()
    """Lines for a summary."""
    warning: str = ""
    """Names of the list that are none of the classes', in one line."""


def chosen_species(
    classes: Sequence[str], taxonomy: Taxonomy, species_list: str | Path | None, place: Place | None
) -> Species:
    """The classes in a list of species that live at a place; those of which a geomodel knows nothing stay.

    Raises:
        InputError: a file cannot be read or used, or none of its names is a class's.
    """
    by_name = columns_by_name(classes, taxonomy)
    allowed, known = np.ones(len(classes), np.bool_), np.full(len(classes), np.nan)
    remarks, warning = [], ""
    if species_list is not None:
        columns, lines, unmatched = _listed(species_list, by_name)
        allowed[:] = False
        allowed[columns] = True
        near = did_you_mean(similar_names(unmatched, by_name))
        if len(unmatched) == lines:
            raise InputError(f"{species_list} names none of the classes: {some(unmatched)}{near and f'; {near}'}")
        met, in_all = lines - len(unmatched), counted(int(allowed.sum()), "class")
        remarks.append(f"species list: {met} of {counted(lines, 'name')} found, {in_all}")
        if unmatched:
            warning = f"{species_list} names what is no class: {some(unmatched)}{near and f'; {near}'}"
            remarks.append(warning)
    if place is not None:
        found = occurrence(place.geomodel, place.latitude, place.longitude, place.week)
        for name, columns_of_it in by_name.items():
            if name in found:
                known[columns_of_it] = np.fmax(known[columns_of_it], found[name])
        if np.isnan(known).all():
            raise InputError(f"{place.geomodel} knows none of the classes")
        named = allowed.copy()
        allowed &= np.isnan(known) | (known >= place.least)
        remarks.append(
            f"geomodel: of {counted(int(named.sum()), 'class')} {(named & (known >= place.least)).sum()} occur there, "
            f"{(named & (known < place.least)).sum()} do not; {(named & np.isnan(known)).sum()} are not filtered, "
            "since it does not know them"
        )
    return Species(allowed, known, tuple(remarks), warning)


def _listed(path: str | Path, by_name: Mapping[str, Sequence[int]]) -> tuple[list[int], int, list[str]]:
    """The columns that a list names, how many names it has, and those that are no class's."""
    lines = [line.strip('"') for line in read_lines(path, "the species list") if not line.startswith("#")]
    if lines and HEADERS.fullmatch(lines[0]) and folded(lines[0]) not in by_name:
        del lines[0]
    names, columns, unmatched = list(dict.fromkeys(lines)), list[int](), list[str]()
    for line in names:
        match = next((by_name[name] for name in map(folded, names_in(line)) if name in by_name), None)
        columns += match or ()
        unmatched += [line] if match is None else []
    return columns, len(names), unmatched
