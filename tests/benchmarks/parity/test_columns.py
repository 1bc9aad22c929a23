"""The columns of a file are found by its class lists, if these are right."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.parity.columns import match_columns
from runtime.model.heads import NO_CLASS, ClassList, Head

CODES = ClassList("ebird2021", ("amecro", NO_CLASS, "blujay", NO_CLASS, "norcar"))
NAMES = ClassList("inat2024", ("Corvus brachyrhynchos", "Rana", "Cyanocitta cristata", "Wind", "Cardinalis cardinalis"))
LISTS = (NAMES, CODES)
WHOLE = Head("label", (5,), NAMES.names, NAMES.namespace, (), (CODES,))


def renamed(head: Head, namespace: str, names: tuple[str, ...]) -> Head:
    lists = {**head.class_lists, namespace: ClassList(namespace, names)}
    first, *others = lists.values()
    return Head(head.name, head.shape, first.names, first.namespace, (), tuple(others))


def test_a_whole_file_has_all_columns() -> None:
    found = match_columns(WHOLE, (5,), LISTS)
    assert found.index is not None
    assert (found.index.tolist(), found.findings) == ([0, 1, 2, 3, 4], ())


@pytest.mark.parametrize("kept", [[1, 3], [0, 2, 4], [4]])
def test_a_sliced_file_is_found_by_names_of_which_each_has_one_meaning(kept: list[int]) -> None:
    found = match_columns(WHOLE.keeping(kept), (5,), LISTS)
    assert found.index is not None
    assert (found.index.tolist(), found.findings) == (kept, ())


def test_an_output_without_classes() -> None:
    found = match_columns(Head("spatial_embedding", (16, 4, 8)), (16, 4, 8), ())
    assert found.index is not None
    np.testing.assert_array_equal(found.index, np.arange(8))
    other = match_columns(Head("embedding", (8,)), (9,), ())
    assert other.index is None
    assert "it has 8 values a window, the SavedModel 9" in other.findings[0]


@pytest.mark.parametrize("sliced", [False, True])
def test_a_moved_line_is_named(sliced: bool) -> None:
    head = WHOLE.keeping([0, 2, 4]) if sliced else WHOLE
    first, *rest = head.class_lists["inat2024"].names
    found = match_columns(renamed(head, "inat2024", (*rest, first)), (5,), LISTS)
    assert found.index is not None
    assert found.index.tolist() == ([0, 2, 4] if sliced else [0, 1, 2, 3, 4])
    (finding,) = found.findings
    second = "Cyanocitta cristata" if sliced else "Rana"
    assert f"line 2 of its class list 'inat2024' is '{second}', the SavedModel has 'Corvus brachyrhynchos'" in finding
    assert f"({len(head.classes)} lines differ, up to line {len(head.classes) + 1})" in finding


def test_a_line_moved_in_another_namespace_is_named() -> None:
    changed = renamed(WHOLE, "ebird2021", ("amecro", NO_CLASS, "norcar", NO_CLASS, "blujay"))
    found = match_columns(changed, (5,), LISTS)
    (finding,) = found.findings
    assert "line 4 of its class list 'ebird2021' is 'norcar', the SavedModel has 'blujay' (2 lines differ" in finding


def test_lists_that_only_one_has() -> None:
    found = match_columns(Head("label", (5,), NAMES.names, "other"), (5,), LISTS)
    said = " ".join(found.findings)
    assert "it lacks the SavedModel's class list 'inat2024'" in said
    assert "it lacks the SavedModel's class list 'ebird2021'" in said
    assert "the SavedModel has no class list 'other', it has" in said


def test_a_sliced_file_with_a_name_of_its_own_cannot_be_placed() -> None:
    changed = renamed(WHOLE.keeping([0, 2]), "inat2024", ("Corvus brachyrhynchos", "Passer"))
    changed = Head("label", (2,), changed.classes, changed.namespace)
    found = match_columns(changed, (5,), LISTS)
    assert found.index is None
    assert "do not say which" in found.findings[0]
