"""Names of species, one or several of a species in a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from runtime.classes.taxonomy import BINOMIAL, Taxonomy, code_of
from runtime.errors import InputError, reason
from runtime.model.heads import NO_CLASS

HEADERS = re.compile(
    r"species|species[ _]?codes?|scientific[ _]?names?|common[ _]?names?|names?|codes?|e?bird[ _]?codes?|primary_label|"
    r"class|classes|labels?|[a-z]+\d{4}\w*",
    re.IGNORECASE,
)
"""First lines that name what follows, such as `ebird2021`."""


def read_lines(path: str | Path, what: str) -> list[str]:
    """The lines of a text file that are not empty.

    Raises:
        InputError: it cannot be read, or has none.
    """
    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {what} from {path}: {reason(error)}") from None
    if not any(lines):
        raise InputError(f"{path} is empty, but should hold {what}")
    return [line for line in lines if line]


def folded(name: str) -> str:
    """The same for names that differ in case and spaces alone."""
    return " ".join(name.split()).casefold()


def names_in(line: str) -> Iterator[str]:
    """The names that a line may hold: all of it, what tabs separate, and the two of BirdNET's form."""
    yield line
    if "\t" in line:
        yield from filter(None, map(str.strip, line.split("\t")))
    scientific, underscore, common = line.partition("_")
    if underscore and (BINOMIAL.match(scientific) or scientific == common):
        yield from filter(None, (scientific.strip(), common.strip()))


def columns_by_name(classes: Sequence[str], taxonomy: Taxonomy) -> Mapping[str, Sequence[int]]:
    """The columns of each name, folded: class names, and scientific names, common names and eBird codes of what they
    stand for.
    """
    found: dict[str, dict[int, None]] = {}
    for column, name in enumerate(classes):
        if name == NO_CLASS:
            continue
        taxon = taxonomy[name]
        for each in (name, taxon.scientific_name, taxon.common_name, code_of(taxon.scientific_name) or ""):
            if each:
                found.setdefault(folded(each), {})[column] = None
    return {name: list(columns) for name, columns in found.items()}
