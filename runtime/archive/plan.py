"""What the rows of a dataset depend on and what they hold: the same for all machines that work on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from runtime.classes.taxonomy import Taxon, Taxonomy
from runtime.errors import InputError
from runtime.model.heads import LABEL
from runtime.rows.block import Columns
from runtime.rows.changes import changes
from runtime.rows.grid import Grid

FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What the rows of a dataset depend on (`model`, an artifact's SHA-256, and `options`), and what they hold."""

    model: str
    options: Mapping[str, Any]
    columns: Columns
    grid: Grid

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of all that rows depend on besides the recordings."""
        return hashlib.sha256(json.dumps(self._depends_on, sort_keys=True).encode()).hexdigest()

    @property
    def _depends_on(self) -> dict[str, Any]:
        return {"model": self.model, **json.loads(json.dumps(self.options))}

    def check_same(self, other: Plan, where: str) -> None:
        """Checks that a run, this plan, makes the same rows as the dataset at `where`, whose plan is `other`.

        Raises:
            InputError: it does not.
        """
        rate = self.grid.sample_rate
        found = changes(other._depends_on, self._depends_on, rate) or changes(
            asdict(other.grid), asdict(self.grid), rate
        )
        if found:
            raise InputError(
                f"{where} holds the rows of another run: {'; '.join(found)}; use what was used before, or name another "
                "folder"
            )

    def to_json(self) -> str:
        columns = asdict(self.columns)
        columns["constants"] = {name: sorted(numbers) for name, numbers in self.columns.constants.items()}
        columns["taxonomy"] = {"own": {name: asdict(taxon) for name, taxon in self.columns.taxonomy.own.items()}}
        described = {"model": self.model, "options": self.options, "columns": columns, "grid": asdict(self.grid)}
        return json.dumps({"format": FORMAT, **described})

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Raises ValueError, TypeError, LookupError or AttributeError if the text is no plan of this version."""
        fields = json.loads(text)
        if fields["format"] != FORMAT:
            raise ValueError(f"its format is {fields['format']}, this version's is {FORMAT}")
        held = fields["columns"]
        columns = Columns(
            shapes={name: tuple(shape) for name, shape in held["shapes"].items()},
            classes={name: tuple(classes) for name, classes in held["classes"].items()},
            about=dict(held["about"]),
            dtypes=dict(held["dtypes"]),
            taxonomy=Taxonomy({name: Taxon(**taxon) for name, taxon in held["taxonomy"]["own"].items()}),
            constants=_constants(held["constants"]),
            more=tuple(held.get("more", ())),
        )
        return cls(fields["model"], fields["options"], columns, Grid(**fields["grid"]))


def _constants(held: Any) -> dict[str, frozenset[int]]:
    """The constant columns by output; a manifest from before there were several models has those of `label` alone."""
    by_output = {LABEL: held} if isinstance(held, list) else held
    return {name: frozenset(numbers) for name, numbers in by_output.items() if numbers}
