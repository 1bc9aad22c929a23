"""What class names stand for, by eBird's taxonomy and a competition's `taxonomy.csv`.

`ebird.csv` beside this file holds the code, genus and scientific name of 11,053 birds. Genera are those of eBird's
taxonomy of 2021, from google-research/perch (Apache-2.0), and for 121 codes of later years the first word of their
name. Scientific names are from Perch v2's class lists (Apache-2.0), for the codes that these name.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InputError, reason, repeated, some

BINOMIAL = re.compile(r"[A-Z][a-z-]+ [a-z][a-z-]+")
"""The start of a scientific name; names of sounds have underscores instead of spaces."""
BIRDS = "Aves"
"""The class of all animals in the package's table."""


@dataclass(frozen=True)
class Taxon:
    """What a class name stands for; fields are empty where unknown. `class_name` is such as Aves or Insecta."""

    scientific_name: str = ""
    common_name: str = ""
    class_name: str = ""
    genus: str = ""
    """In lower case."""


@dataclass(frozen=True)
class Taxonomy:
    """Finds the taxon of a class name: in `own`, by name, before the package's table.

    `source` is the file that `own` was read from.
    """

    own: Mapping[str, Taxon] = field(default_factory=dict)
    source: str = ""

    def __getitem__(self, name: str) -> Taxon:
        """The taxon of an eBird code, a scientific name, or a class or scientific name in `own`."""
        fallback = _named(name)
        own = self.own.get(name) or self._by_scientific_name.get(name)
        if own is None:
            return fallback
        first, *_ = own.scientific_name.lower().split() or [""]
        return Taxon(
            own.scientific_name or fallback.scientific_name,
            own.common_name,
            own.class_name or fallback.class_name,
            own.genus or first or fallback.genus,
        )

    @functools.cached_property
    def _by_scientific_name(self) -> Mapping[str, Taxon]:
        return {taxon.scientific_name: taxon for taxon in self.own.values() if taxon.scientific_name}

    def other_names(self, name: str) -> list[tuple[str, str]]:
        """Other names of a class, as pairs: `scientific_name` or `code`, and the name."""
        scientific = [self[name].scientific_name, _named(name).scientific_name]
        names = [("scientific_name", other) for other in scientific]
        names += [("code", code_of(other) or "") for other in scientific]
        return [(kind, other) for kind, other in dict.fromkeys(names) if other not in ("", name)]

    def knows(self, name: str) -> bool:
        """Whether a name is an eBird code or scientific name in the package's table."""
        return name in birds() or name in _codes()


def read_taxonomy(path: str | Path) -> Taxonomy:
    """Reads a `taxonomy.csv`: its column `primary_label`, and where it has them `scientific_name`, `common_name`,
    `class_name` and `genus`.

    Raises:
        InputError: the file cannot be read, has no column `primary_label`, or names a class twice.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [
                {(name or "").strip(): cell.strip() for name, cell in row.items() if isinstance(cell, str)}
                for row in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the taxonomy from {path}: {reason(error)}") from None
    if not rows or "primary_label" not in rows[0]:
        raise InputError(f"{path} is no taxonomy, as it has no column 'primary_label'")
    named = [row for row in rows if row.get("primary_label")]
    if twice := repeated([row["primary_label"] for row in named]):
        raise InputError(f"{path} repeats classes: {some(twice)}")
    taxa = {
        row["primary_label"]: Taxon(
            row.get("scientific_name", ""),
            row.get("common_name", ""),
            row.get("class_name", ""),
            row.get("genus", "").lower(),
        )
        for row in named
    }
    return Taxonomy(taxa, str(path))


def code_of(scientific_name: str) -> str | None:
    """The eBird code of a scientific name; None where the package's table has none."""
    return _codes().get(scientific_name)


def _named(name: str) -> Taxon:
    if bird := birds().get(name):
        return bird
    if BINOMIAL.match(name):
        return Taxon(name, class_name=BIRDS if name in _codes() else "", genus=name.split()[0].lower())
    return Taxon()


@functools.cache
def birds() -> Mapping[str, Taxon]:
    """The package's table: all birds by their eBird codes, in alphabetical order."""
    with Path(__file__).with_name("ebird.csv").open(newline="", encoding="utf-8") as file:
        return {
            row["code"]: Taxon(row["scientific_name"], class_name=BIRDS, genus=row["genus"])
            for row in csv.DictReader(file)
        }


@functools.cache
def _codes() -> Mapping[str, str]:
    return {taxon.scientific_name: code for code, taxon in birds().items() if taxon.scientific_name}
