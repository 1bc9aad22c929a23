"""The columns of a class head for given species, whichever names they go by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.classes.taxonomy import Taxonomy, code_of
from runtime.model.heads import first_columns


def find_columns(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """The column of each name, int64 `[names]`; -1 where it has none.

    A name is looked up as it stands, then as the eBird code of a scientific name, then as the scientific name of a
    code, and then with only its first letter in upper case. If several classes have the same name, the first counts;
    `no_ebird_code` is not a class.
    """
    places = first_columns(classes)
    taxonomy = Taxonomy()

    def column(name: str) -> int:
        capitalized = name.capitalize()
        others = (name, code_of(name), taxonomy[name].scientific_name, capitalized, code_of(capitalized))
        return next((places[other] for other in others if other in places), -1)

    return np.array([column(name) for name in names], np.int64)
