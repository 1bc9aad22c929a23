"""The names of species that the page offers, and which names a label file can hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from runtime.classes.taxonomy import Taxonomy
from runtime.console.terminal import STEERS_OR_BREAKS
from runtime.errors import InputError
from runtime.explore.label_files import MISSING, NOTHING, species_in
from runtime.explore.rows import RowFile
from runtime.files import composed
from runtime.model.heads import NO_CLASS

LONGEST, MOST = 100, 50
"""Most characters of a name, and most species of a window."""
NOT_TEXT = re.compile("[\ud800-\udfff]")


class Vocabulary:
    """The classes of the rows, and what they stand for."""

    def __init__(self, files: Sequence[RowFile], taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy
        self.classes = tuple(
            dict.fromkeys(name for file in files for name in file.classes.get("label", ()) if name != NO_CLASS)
        )

    @cached_property
    def described(self) -> list[dict[str, str]]:
        """Every class with what it stands for."""
        return [{"name": name, "about": self.about(name)} for name in self.classes]

    def about(self, name: str) -> str:
        """The common and the scientific name of a class; empty if neither is known or says more than the class."""
        taxon = self.taxonomy[name]
        return ", ".join(other for other in (taxon.common_name, taxon.scientific_name) if other and other != name)

    def checked(self, species: object, spellings: Mapping[str, str]) -> tuple[str, ...]:
        """Names from the page as the label file will hold them, in the spelling that it has already.

        Raises:
            InputError: they are no names that it can hold.
        """
        if not isinstance(species, list) or not all(isinstance(name, str) for name in species):
            raise InputError("the species are not a list of names")
        if len(species) > MOST:
            raise InputError(f"a window has at most {MOST} species, not {len(species)}")
        names = dict.fromkeys(spellings.get(name.casefold(), name) for name in map(checked_name, species))
        by_form = {name.casefold(): name for name in names}
        return tuple(sorted(by_form.values()))


def checked_name(name: str) -> str:
    """A species' name in the form in which a label file gives it back.

    Raises:
        InputError: no label file can hold it.
    """
    own = " ".join(composed(name).split())
    shown = f"{own[:LONGEST]!r} cannot be the name of a species"
    if not own or len(own) > LONGEST:
        raise InputError(f"{shown}: it has {len(own)} characters, not 1 to {LONGEST}")
    if STEERS_OR_BREAKS.search(own) or NOT_TEXT.search(own):
        raise InputError(f"{shown}: it holds control characters")
    if ";" in own:
        raise InputError(f"{shown}: semicolons separate species")
    try:
        read = species_in(own, "")
    except InputError:
        read = frozenset()
    if own.casefold() in (NOTHING, *MISSING):
        raise InputError(f"{shown}; press x for none of these, where nothing is heard")
    if read != {own}:
        raise InputError(f"{shown}: a label file would read it as {' and '.join(sorted(read)) or 'something else'}")
    return own
