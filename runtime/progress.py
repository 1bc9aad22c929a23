"""Progress bars where somebody looks: on a terminal or in a notebook."""

from __future__ import annotations

import sys
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a notebook without ipywidgets gets a plain bar, which is well
    from tqdm.auto import tqdm


def progress_bar(total: int, shown: bool = True, **options: Any) -> tqdm[Any]:
    """A bar of `total` steps; it stays invisible where neither a terminal nor a notebook shows it."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    bare = getattr(sys.stderr, "bare", sys.stderr)  # a bar steers the terminal
    return tqdm(total=total, disable=not (shown and (terminal or "ipykernel" in sys.modules)), file=bare, **options)
