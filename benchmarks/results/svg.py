"""SVG pictures that follow the reader's colour scheme: drawn once by matplotlib, coloured by CSS.

They are 600 px wide where there is room. A window of 390 px leaves them 358, or 343 beside a scroll bar; text of 18 px
has 10 px there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from runtime.files import replacing

WIDTH, TEXT = 600, 18
PX = 1 / 96
"""A CSS pixel in inches."""
INK, MUTED, FAINT = "#1f2328", "#59636e", "#d1d9e0"
TEAL, ORANGE, PURPLE, BLUE, PINK, GREY = "#00796b", "#bc4c00", "#5b2fb0", "#3390d6", "#bf3989", "#818b98"
HUES = (TEAL, ORANGE, PURPLE, BLUE, PINK, GREY)
"""The first four differ for those, too, who cannot tell red from green."""
MARKERS = "os^Dvp"
SHADES = ("#9cc4bf", "#4f968e", "#1d655e", "#0b3a36")
"""From quiet to loud."""
DARK = {
    INK: "#e6edf3",
    MUTED: "#9da7b1",
    FAINT: "#363d46",
    TEAL: "#4fc3b4",
    ORANGE: "#ff9f5a",
    PURPLE: "#a07cf5",
    BLUE: "#a5dcff",
    PINK: "#f778ba",
    GREY: "#7d8793",
    **dict(zip(SHADES, ("#1c4f4a", "#2f8a7e", "#6fd3c0", "#d9fff5"), strict=True)),
}
"""What each colour becomes on a dark page."""
STYLE: dict[Any, Any] = {
    "path.simplify": False,  # it would join what lies apart
    "svg.fonttype": "none",  # text stays text, in a font that the reader's system has
    "svg.hashsalt": "perch-onnx",  # ids are the same each time
    "font.family": "sans-serif",
    "font.sans-serif": "DejaVu Sans",  # a wide one: no other takes more room
    "font.size": TEXT * PX * 72,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "legend.frameon": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
}


@contextmanager
def picture(path: Path, height: float) -> Iterator[Figure]:
    """A figure of so many CSS pixels to draw on with the colours above. The same drawing gives the same bytes.

    Raises:
        OutputError: it cannot be written.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH * PX, height * PX), layout="constrained")
        yield figure
        file = io.StringIO()
        # Neither the date nor matplotlib's version, which would change the bytes.
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    with replacing(path) as temporary:
        temporary.write_text(_themed(file.getvalue()))


def _themed(svg: str) -> str:
    """The picture with a variable for each colour, which a dark page sets to another."""
    svg = re.sub(r'(?<= d=")[^"]+', lambda path: _shortened(path[0]), svg)
    svg = svg.replace("'DejaVu Sans', sans-serif", "system-ui, sans-serif")
    used = {color: f"--{color[1:]}" for color in DARK if color in svg}
    light = "".join(f"{name}: {color}; " for color, name in used.items())
    dark = "".join(f"{name}: {DARK[color]}; " for color, name in used.items())
    for color, name in used.items():
        svg = svg.replace(color, f"var({name})")
    style = f":root {{ {light}}} @media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}"
    return svg.replace("</style>", f" {style}</style>", 1)


def _shortened(path: str) -> str:
    """The same path to a tenth of a point, without spaces that mean nothing."""
    rounded = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), path)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", rounded)
