"""Self-contained pages from templates; everything from files is escaped."""

from __future__ import annotations

from typing import Any

import jinja2


def render(name: str, **values: Any) -> str:
    """A template of this folder, filled in."""
    loader = jinja2.PackageLoader("runtime.explore.pictures", "")
    templates = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template(name).render(**values)
