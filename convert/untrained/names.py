"""Made-up class lists that look like Perch's, and the files in `assets/` that hold them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

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
    """`count` distinct names of a genus and a species in alphabetical order; at most 24,000."""
    syllables = [a + b for a, b in product("bcdfglmnprstvz", "aeiou")]
    genera = sorted({f"{a}{b}{end}".capitalize() for a, b in product(syllables, syllables) for end in ("rus", "tia")})
    species = ("alba", "borealis", "cinerea", "minor", "rufa")
    names = [f"{genus} {kind}" for genus, kind in product(genera, species)]
    step = len(names) // count
    return names[: count * step : step]


def ebird_codes(count: int) -> list[str]:
    """One code a class, made up, every third missing: what is no bird has none."""
    codes = class_names("label", count)
    return [NO_CODE if i % 3 == 0 else code for i, code in enumerate(codes)]


def write_class_list(path: Path, header: str, names: list[str], line_end: str = "\n") -> None:
    """Writes a header and a name a line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}{line_end}" for line in [header, *names]), newline="")
