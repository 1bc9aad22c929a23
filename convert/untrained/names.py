"""Class lists like Perch's, and the files in `assets/` that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TypeVar

from convert.untrained.recipe import Recipe
from runtime.classes.taxonomy import birds

NO_CODE = "no_ebird_code"
T = TypeVar("T")


def class_names(head_name: str, count: int) -> list[str]:
    """`count` distinct names in alphabetical order: birds' real codes and genera, and made-up families and orders."""
    if head_name == "label":
        return _spread(list(birds()), count)
    if head_name == "genus":
        return _spread(sorted({bird.genus for bird in birds().values()}), count)
    letters = "abcdefghijklmnopqrstuvwxyz"

    def code(number: int) -> str:
        word = ""
        for _ in range(5):
            number, letter = divmod(number, 26)
            word = letters[letter] + word
        return f"{word}{head_name[0]}1"

    return [code(number) for number in _spread(range(26**5), count)]


def pairs(count: int) -> list[tuple[str, str]]:
    """`count` scientific names in alphabetical order, each with its eBird code.

    Two thirds are birds, or as many as have both; the others are made up and have no code.
    """
    real = {bird.scientific_name: code for code, bird in birds().items() if bird.scientific_name}
    chosen = _spread(list(real.items()), min(len(real), 2 * count // 3))
    syllables = [consonant + vowel for consonant, vowel in product("bcdfglmnprstvz", "aeiou")]
    genera = ["".join(parts).capitalize() for parts in product(syllables, syllables, ("rus", "tia"))]
    species = ("alba", "borealis", "cinerea", "minor", "rufa")
    invented = [name for parts in product(genera, species) if (name := " ".join(parts)) not in real]
    return sorted(chosen + [(name, NO_CODE) for name in _spread(invented, count - len(chosen))])


def _spread(names: Sequence[T], count: int) -> list[T]:
    """`count` of the names, evenly spread."""
    return [names[i * len(names) // count] for i in range(count)]


def write_class_lists(folder: Path, recipe: Recipe) -> None:
    """Writes the CSV files that published models have in `assets/`: a header, then one class per line.

    Class lists of a model that was there before are removed.
    """
    assets = folder / "assets"
    assets.mkdir(exist_ok=True)
    for old in assets.glob("*.csv"):
        old.unlink()
    for name, namespace, count in recipe.classes[:1] if recipe.gives_pair else recipe.classes:
        if recipe.is_v2:
            names, codes = zip(*pairs(count), strict=True)
            _write(assets / "labels.csv", namespace, names, end="\r\n")
            _write(assets / "perch_v2_ebird_classes.csv", "ebird2021", codes)
        else:
            _write(assets / f"{name}.csv", namespace, class_names(name, count))


def _write(path: Path, header: str, names: Sequence[str], end: str = "\n") -> None:
    path.write_text("".join(line + end for line in [header, *names]), newline="")
