"""Self-contained pages from templates; everything from files is escaped."""

from __future__ import annotations

from typing import Any

import jinja2


def render(package: str, name: str, **values: Any) -> str:
    """A template in the folder of a package, filled in."""
    loader = jinja2.PackageLoader(package, "")
    templates = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template(name).render(**values)
