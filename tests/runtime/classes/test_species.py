from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime import Detections, InputError
from runtime.classes.geomodel import occurrence
from runtime.classes.species import Place, chosen_species
from runtime.classes.taxonomy import Taxon, Taxonomy
from tests.support.geomodels import write_geomodel

CLASSES = ("eurbla", "Parus major", "sound", "winwre4", "no_ebird_code", "Wood")
TAXONOMY = Taxonomy(
    {
        "eurbla": Taxon("Turdus merula", "Eurasian Blackbird"),
        "Parus major": Taxon("Parus major", "Great Tit"),
    }
)
LABELS = ("eurbla\tTurdus merula\tEurasian Blackbird", "gretit1\tParus major\tGreat Tit", "xx\tAves ignota\tWood")


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8-sig")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Turdus merula\nParus major\n", [0, 1]),
        ("species\r\nEURASIAN  blackbird\r\n\r\n# a comment\r\nsound\r\n", [0, 2]),
        ("ebird2021\neurbla\n", [0]),
        ("Turdus merula_Amsel\nParus major_Kohlmeise", [0, 1]),
        ("sound_sound", [2]),
        ("gretit1", [1]),
        ("eurbla\tTurdus merula\tAmsel", [0]),
        ('"Parus major"', [1]),
    ],
)
def test_a_list_names_species_in_any_way(tmp_path: Path, text: str, expected: list[int]) -> None:
    species = chosen_species(CLASSES, TAXONOMY, listed(tmp_path, text), None)
    assert np.flatnonzero(species.allowed).tolist() == expected
    assert species.warning == ""
    assert np.isnan(species.occurrence).all()


def test_what_does_not_match_is_named_with_suggestions(tmp_path: Path) -> None:
    path = listed(tmp_path, "Turdus merulla\nParus major\nPica pica\nWood_vole\n")
    species = chosen_species(CLASSES, TAXONOMY, path, None)
    assert np.flatnonzero(species.allowed).tolist() == [1]
    assert species.warning == (
        f"{path} names what is no class: Turdus merulla, Pica pica, Wood_vole; "
        "did you mean 'turdus merula' for 'Turdus merulla'?"
    )
    assert species.remarks[0] == "species list: 1 of 4 names found, 1 class"


@pytest.mark.parametrize(
    ("text", "message"),
    [("Pica pica\n", "names none of the classes: Pica pica"), ("\n", "is empty, but should hold the species list")],
)
def test_a_list_without_any_class_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen_species(CLASSES, TAXONOMY, listed(tmp_path, text), None)
    with pytest.raises(InputError, match="cannot read the species list"):
        chosen_species(CLASSES, TAXONOMY, tmp_path / "absent.txt", None)


def test_a_geomodel_says_what_occurs(tmp_path: Path) -> None:
    """A blackbird that is there in spring, a tit that is there in autumn; the others are unknown and stay."""
    path = write_geomodel(tmp_path / "Geo_FP32.onnx", LABELS, [0.5, -0.1, 0.0], [-0.02, 0.01, 0.0])
    for week, expected in ((1, [0.48, 0.0]), (20, [0.1, 0.1]), (48, [0.0, 0.38]), (None, [0.48, 0.38])):
        place = Place(path, 10.0, 7.0, week, 0.05)
        species = chosen_species(CLASSES, TAXONOMY, None, place)
        np.testing.assert_allclose(species.occurrence, [*expected, *[np.nan] * 4], atol=1e-6)
        assert species.allowed.tolist() == [expected[0] >= 0.05, expected[1] >= 0.05, True, True, True, True]
    assert occurrence(path, 10.0, 7.0, 1)["aves ignota"] == 0
    assert "wood" not in occurrence(path, 10.0, 7.0, 1)
    both = chosen_species(CLASSES, TAXONOMY, listed(tmp_path, "Parus major\nsound"), Place(path, 10.0, 7.0, 1, 0.05))
    assert np.flatnonzero(both.allowed).tolist() == [2]
    assert both.remarks[1] == (
        "geomodel: of 2 classes 0 occur there, 1 do not; 1 are not filtered, since it does not know them"
    )


def test_labels_of_the_older_form(tmp_path: Path) -> None:
    path = write_geomodel(tmp_path / "old.onnx", ["Turdus merula_Amsel", "Parus major_Kohlmeise"], [0.2, 0.0], [0, 0])
    assert occurrence(path, 10, 0, None) == pytest.approx({"turdus merula": 0.2, "parus major": 0.0})


def test_what_is_no_geomodel_is_refused(tmp_path: Path) -> None:
    path = write_geomodel(tmp_path / "geo.onnx", LABELS, [0.5] * 3, [0] * 3)
    with pytest.raises(InputError, match="knows none of the classes"):
        chosen_species(("sound",), TAXONOMY, None, Place(path, 10, 0, None, 0.03))
    labels = tmp_path / "geo_Labels.txt"
    labels.write_text("one\n")
    with pytest.raises(InputError, match=r"gives \[1, 3\] for 1 week and the 1 label beside it; take the labels"):
        occurrence(path, 10, 0, 3)
    path.write_bytes(b"TFL3")
    with pytest.raises(InputError, match=r"cannot be run as a geomodel .*; it must be BirdNET's geomodel as \.onnx"):
        occurrence(path, 10, 0, 3)
    labels.unlink()
    with pytest.raises(InputError, match=r"has no labels beside it; put them there as geo_Labels\.txt"):
        occurrence(path, 10, 0, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"geomodel": "x.onnx"}, "a geomodel needs --lat and --lon"),
        ({"lat": 3.0}, "lat is for a geomodel"),
        ({"week": 3}, "week is for a geomodel"),
        ({"lat": 91.0}, "lat is 91.0, but must be degrees from -90 to 90"),
        ({"lon": float("nan")}, "lon is nan, but must be degrees from -180 to 180"),
        ({"week": 49}, "week is 49, but must be from 1 to 48"),
        ({"min_occurrence": 2}, "min_occurrence is 2, but must be a probability"),
    ],
)
def test_options_of_a_place(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Detections(top=1, **options)  # type: ignore[arg-type]
