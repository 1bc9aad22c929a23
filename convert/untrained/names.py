"""Made-up class lists that look like Perch's, and the files in `assets/` that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from convert.untrained.recipe import Recipe

NO_CODE = "no_ebird_code"


def class_names(head_name: str, count: int) -> list[str]:
    """`count` distinct lower-case codes in alphabetical order."""
    letters = "abcdefghijklmnopqrstuvwxyz"

    def code(number: int) -> str:
        word = ""
        for _ in range(5):
            number, letter = divmod(number, 26)
            word = letters[letter] + word
        return f"{word}{head_name[0]}1"

    step = 26**5 // count
    return [code(i * step) for i in range(count)]


def scientific_names(count: int) -> list[str]:
    """`count` distinct names, each a genus and a species, in alphabetical order; at most 49,000."""
    syllables = [consonant + vowel for consonant, vowel in product("bcdfglmnprstvz", "aeiou")]
    genera = ["".join(parts).capitalize() for parts in product(syllables, syllables, ("rus", "tia"))]
    species = ("alba", "borealis", "cinerea", "minor", "rufa")
    names = [" ".join(parts) for parts in product(genera, species)]
    step = len(names) // count
    return names[: count * step : step]


def ebird_codes(count: int) -> list[str]:
    """A made-up code a class, but every third has none, as what is no bird."""
    return [NO_CODE if i % 3 == 0 else code for i, code in enumerate(class_names("label", count))]


def write_class_lists(folder: Path, recipe: Recipe) -> None:
    """Writes what the published models have in `assets/`: CSV files of a header and a class a line.

    Those of a model that was there before go.
    """
    assets = folder / "assets"
    assets.mkdir(exist_ok=True)
    for old in assets.glob("*.csv"):
        old.unlink()
    for name, namespace, count in recipe.classes[:1] if recipe.gives_pair else recipe.classes:
        if recipe.is_v2:
            _write(assets / "labels.csv", namespace, scientific_names(count), end="\r\n")
            _write(assets / "perch_v2_ebird_classes.csv", "ebird2021", ebird_codes(count))
        else:
            _write(assets / f"{name}.csv", namespace, class_names(name, count))


def _write(path: Path, header: str, names: Sequence[str], end: str = "\n") -> None:
    path.write_text("".join(line + end for line in [header, *names]), newline="")
