from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime.classes.class_map import ClassMap, check_unmapped, map_classes
from runtime.classes.wanted import read_classes
from runtime.errors import InputError
from runtime.model.heads import NO_CLASS, ClassList, Head

HEAD = Head("label", (4,), ("amecro", "blujay", "comrav", "houspa"), "ebird2021", ("norcar",))
NAMES = ("Anaxyrus americanus", "Corvus corax", "Passer domesticus", "Speech")
CODES = (NO_CLASS, "comrav", "houspa", NO_CLASS)
V2 = Head("label", (4,), NAMES, "inat2024_fsd50k", ("Rana",), (ClassList("ebird2021", CODES, ("norcar",)),))


def file(folder: Path, text: str) -> Path:
    path = folder / "classes.csv"
    path.write_bytes(text.encode())
    return path


def test_sample_submission(tmp_path: Path) -> None:
    wanted = read_classes(
        file(tmp_path, '\ufeffrow_id, houspa ,1139490,"amecro",\r\nx_5,0.1,0.1,0.1\r\n\r\nx_10,0,0,0\r\n , \r\n')
    )
    assert wanted.names == ("houspa", "1139490", "amecro")
    assert wanted.row_ids == ("x_5", "x_10")


def test_taxonomy_and_class_list(tmp_path: Path) -> None:
    taxonomy = read_classes(file(tmp_path, 'primary_label,common_name\nhouspa,"Sparrow, House"\namecro,Crow\n'))
    assert taxonomy.names == ("houspa", "amecro")
    assert taxonomy.row_ids is None
    assert read_classes(file(tmp_path, "ebird2021\nhouspa\namecro\n")).names == ("houspa", "amecro")
    assert read_classes(["amecro"]).names == ("amecro",)
    with pytest.raises(InputError, match="a set, whose order changes"):
        read_classes({"amecro", "houspa"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,houspa\nx_5,0\n", "not 'row_id'"),
        ("row_id\nx_5\n", "names no classes"),
        ("", "first column is ''"),
        ("row_id,houspa,houspa\n", "repeats classes: houspa"),
        ("a,primary_label\nx\n", "too short"),
        ("row_id,houspa\nx_5,0\nx_5,0\n", "repeats rows: x_5"),
        ("row_id,,houspa\n", "class without a name"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_classes(file(tmp_path, text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        read_classes(tmp_path / "nowhere.csv")


def test_map_takes_columns_in_the_wanted_order() -> None:
    class_map = map_classes(read_classes(["houspa", "1139490", "amecro"]), HEAD, 7.0)
    logits = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(class_map.apply({"label": logits}), [[3, 7, 0], [7, 7, 4]])
    assert class_map.unmapped == ["1139490"]
    assert class_map.constant.tolist() == [False, True, False]


def test_class_that_slicing_took_away_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"converted without norcar .* convert it again with `--classes"):
        map_classes(read_classes(["houspa", "norcar"]), HEAD)


def test_classes_of_another_world_are_refused() -> None:
    with pytest.raises(InputError, match="none of the names in"):
        map_classes(read_classes(["Passer montanus", "Alouatta caraya"]), HEAD)
    with pytest.raises(InputError, match="no class list"):
        map_classes(read_classes(["houspa"]), Head("embedding", (3,)))


def test_class_list_without_a_header_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no header: its first line, 'houspa', is a class"):
        map_classes(read_classes(file(tmp_path, "houspa\namecro\n")), HEAD)
    for first in ("Corvus corax", "rufant7"):  # a name of a column, and a class that the model does not know
        with pytest.raises(InputError, match=f"has no header: its first line, '{first}', is a class"):
            map_classes(read_classes(file(tmp_path, f"{first}\namecro\n")), HEAD)


def positions(wanted: Sequence[str], namespace: str | None = None) -> tuple[list[int], str]:
    class_map = map_classes(read_classes(wanted), V2, "zero", namespace)
    return class_map.positions.tolist(), class_map.namespace


def test_classes_are_looked_up_where_most_of_them_are() -> None:
    assert positions(["houspa", "Speech", "comrav"]) == ([2, 3, 1], "ebird2021")
    assert positions(["Passer domesticus", "Speech", "comrav"]) == ([2, 3, 1], "inat2024_fsd50k")
    assert positions(["houspa", "Speech"]) == ([2, 3], "inat2024_fsd50k")  # the first list wins ties
    assert positions(["houspa", "Speech"], "ebird2021") == ([2, -1], "ebird2021")


def test_namespace_that_a_model_has_not_is_refused_with_those_it_has() -> None:
    with pytest.raises(InputError, match="no class list 'ebird2022'; it has inat2024_fsd50k, ebird2021"):
        map_classes(read_classes(["houspa"]), V2, "zero", "ebird2022")
    with pytest.raises(InputError, match=r"like Anaxyrus .*Passer domesticus \(inat2024_fsd50k\) or comrav, houspa \("):
        map_classes(read_classes(["amecro"]), V2)
    with pytest.raises(InputError, match=r"names like comrav, houspa \(ebird2021\)"):
        map_classes(read_classes(["Speech"]), V2, "zero", "ebird2021")


def test_class_sliced_away_is_known_in_every_namespace() -> None:
    with pytest.raises(InputError, match="converted without norcar of"):
        map_classes(read_classes(["houspa", "norcar"]), V2)
    with pytest.raises(InputError, match=r"converted without norcar .*--namespace ebird2021`"):
        map_classes(read_classes(["houspa", "norcar"]), V2, "zero", "ebird2021")
    with pytest.raises(InputError, match="converted without Rana of"):
        map_classes(read_classes(["Speech", "Rana"]), V2)


def test_placeholder_is_no_class(tmp_path: Path) -> None:
    assert positions([NO_CLASS, "houspa"]) == ([-1, 2], "ebird2021")
    own = read_classes(file(tmp_path, "\r\n".join(["ebird2021", *CODES, ""])))
    assert own.names == ("comrav", "houspa")
    submission = read_classes(file(tmp_path, f"row_id,{NO_CLASS},houspa\nx_5,0,0\n"))
    assert map_classes(submission, V2).unmapped == [NO_CLASS]


def test_first_of_columns_with_one_name_is_taken() -> None:
    twice = Head("label", (3,), ("Speech", "Bark", "Bark"), "fsd50k")
    assert map_classes(read_classes(["Bark"]), twice).positions.tolist() == [1]


def test_unmapped_values() -> None:
    found = [check_unmapped(value) for value in ("zero", "-3.5", 2, "genus-max")]
    assert found == [(None, 0.0), (None, -3.5), (None, 2.0), ("genus-max", 0.0)]
    for wrong in ("mean", "nan"):
        with pytest.raises(InputError, match="must be 'zero' or a number, or one of 'genus-max', 'genus-mean'"):
            check_unmapped(wrong)


def by(class_map: ClassMap) -> list[tuple[str, str, tuple[int, ...]]]:
    """How each class is met, by which of its names, and by which columns."""
    return [
        (met, match.by, columns)
        for match, met, columns in zip(class_map.matches, class_map.met, class_map.columns, strict=True)
    ]


def test_other_names_of_a_class_are_found() -> None:
    """Scientific names meet v1's codes, and a code that v2 lacks meets its scientific name."""
    class_map = map_classes(read_classes(["Passer domesticus", "blujay", "Corvus corax"]), HEAD)
    assert by(class_map) == [("exact", "code", (3,)), ("exact", "name", (1,)), ("exact", "code", (2,))]
    v2 = Head("label", (2,), ("Corvus corax", "Speech"), "inat2024_fsd50k")
    assert by(map_classes(read_classes(["comrav", "Speech"]), v2)) == [
        ("exact", "scientific_name", (0,)),
        ("exact", "name", (1,)),
    ]
    with pytest.raises(InputError, match=r"converted without Passer domesticus .*--classes"):
        map_classes(read_classes(["Passer domesticus", "comrav"]), Head("label", (1,), ("comrav",), "x", ("houspa",)))


def test_taxonomy_names_what_a_class_stands_for(tmp_path: Path) -> None:
    taxonomy = tmp_path / "taxonomy.csv"
    taxonomy.write_bytes(
        b"primary_label,scientific_name,common_name,class_name\r\n1139490,Passer domesticus,Sparrow,Aves\r\n"
        b"7,Corvus ultor,Crow,Aves\r\nblujay,Rana temporaria,Frog,Amphibia\r\n8,Hyla,,\r\n"
    )
    wanted = read_classes(taxonomy)
    assert by(map_classes(wanted, HEAD, "genus-max")) == [
        ("exact", "code", (3,)),
        ("genus", "", (0, 2)),
        ("exact", "name", (1,)),
        ("absent", "", ()),
    ]
    submission = read_classes(file(tmp_path, "row_id,1139490,amecro\nx_5,0,0\n"), taxonomy)
    assert by(map_classes(submission, HEAD)) == [("exact", "code", (3,)), ("exact", "name", (0,))]
    assert submission.options("ebird2021") == (
        f"--classes {tmp_path / 'classes.csv'} --taxonomy {taxonomy} --namespace ebird2021"
    )
    assert wanted.options(None) == f"--classes {taxonomy}"


LOGITS = np.array([[0, 1, 2, 3], [-4, 5, -7, 6]], np.float32)
GENUS = Head("genus", (2,), ("cyanocitta", "corvus"), "ebird2021_genera")


def test_genus_stands_in_for_a_class_that_the_model_does_not_know() -> None:
    """Corvus are columns 0 and 2, by their codes; a number, and a genus that is not there, get a constant."""
    wanted = read_classes(["houspa", "Corvus ultor", "1139490", "Alouatta caraya", "fiscro", "amecro"])
    outputs = {"label": LOGITS, "genus": np.array([[10, 20], [30, 40]], np.float32)}
    for unmapped, first, second in (("genus-max", 2, -4), ("genus-mean", 1, -5.5), ("genus-head", 20, 40)):
        class_map = map_classes(wanted, HEAD, unmapped, None, GENUS)
        assert class_map.met == ("exact", "genus", "absent", "absent", "genus", "exact")
        assert class_map.outputs == (("label", "genus") if unmapped == "genus-head" else ("label",))
        mapped = class_map.apply(outputs)
        assert mapped.dtype == np.float32
        np.testing.assert_array_equal(mapped, [[3, first, 0, 0, first, 0], [6, second, 0, 0, second, -4]])
        assert np.isnan(class_map.apply({name: values * np.nan for name, values in outputs.items()})[0, 1])
        assert unmapped in class_map.summary()
        assert "2 absent, which are 0: 1139490, Alouatta caraya" in class_map.summary()
    constant = map_classes(wanted, HEAD, -3)
    np.testing.assert_array_equal(constant.apply(outputs)[0], [3, -3, -3, -3, -3, 0])
    assert constant.needed == class_map.needed == [0, 2, 3]
    alone = map_classes(read_classes(["fiscro"]), HEAD, "genus-max")
    np.testing.assert_array_equal(alone.apply(outputs), [[2], [-4]])


def test_genus_is_that_of_any_of_a_columns_names() -> None:
    v2 = Head("label", (3,), ("Astur cooperii", "Astur gentilis", "Speech"), "inat2024_fsd50k")
    v2 = Head("label", (3,), v2.classes, v2.namespace, (), (ClassList("ebird2021", ("coohaw", NO_CLASS, NO_CLASS)),))
    wanted = read_classes(["Accipiter nisus", "Astur ultor"])  # eBird's taxonomy of 2021 has coohaw in Accipiter
    assert map_classes(wanted, v2, "genus-max").columns == ((0,), (0, 1))


def test_genus_of_which_columns_were_left_out_is_refused() -> None:
    sliced = Head("label", (2,), ("amecro", "houspa"), "ebird2021", ("comrav", "1"))
    wanted = read_classes(["houspa", "Corvus ultor"])
    for unmapped in ("genus-max", "genus-mean"):
        with pytest.raises(InputError, match=r"converted without Corvus ultor .* same genus; convert it again with"):
            map_classes(wanted, sliced, unmapped)
    assert map_classes(wanted, sliced, "genus-head", None, GENUS).columns == ((1,), (1,))
    assert map_classes(read_classes(["houspa", "2"]), sliced, "genus-max").unmapped == ["2"]


def test_output_genus_that_is_not_there_is_refused() -> None:
    for missing in (None, Head("genus", (9,))):
        with pytest.raises(InputError, match=r"no output 'genus' .*; use 'genus-max'"):
            map_classes(read_classes(["houspa"]), HEAD, "genus-head", None, missing)


def test_class_list_keeps_a_repeated_class_once_and_says_so(tmp_path: Path) -> None:
    wanted = read_classes(file(tmp_path, "\ufeffebird2021\r\n houspa\r\nblujay \r\nhouspa\r\n"))
    assert wanted.names == ("houspa", "blujay")
    assert "1 listed more than once, given one column: houspa" in map_classes(wanted, HEAD).summary()


def test_nothing_known_suggests_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'houspa' for ' Houspa'"):
        map_classes(read_classes([" Houspa"]), HEAD)
    with pytest.raises(InputError, match=r"\(ebird2021\)$"):
        map_classes(read_classes(["Alouatta caraya"]), HEAD)


def test_summary_suggests_what_was_meant() -> None:
    """Of what is met by its genus, too; not where nothing nearly matches."""
    summary = map_classes(read_classes(["houspa", "Amecro", "1139490", "Corvus corx"]), HEAD, "genus-max").summary()
    assert "did you mean 'amecro' for 'Amecro', 'Corvus corax' for 'Corvus corx'?" in summary
    assert "did you mean" not in map_classes(read_classes(["houspa", "1139490"]), HEAD).summary()


def test_columns_of_text_are_classes_only_if_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "row_id,Usage,houspa,comrav,7,Rana rana,empty,mixed\n"
    rows = 'x_5,Public,-,a,text,b,,n/a\n"x,1_10",Private,-,0.5,c,d,,1\n'
    taxonomy = tmp_path / "taxonomy.csv"
    taxonomy.write_text("primary_label,scientific_name,common_name,class_name\n7,Hyla,,\n")
    wanted = read_classes(file(tmp_path, text + rows), taxonomy)
    assert wanted.row_ids == ("x_5", "x,1_10")
    assert wanted.texts == ("Usage", "houspa", "7", "Rana rana")
    class_map = map_classes(wanted, HEAD)
    (message,) = caplog.messages
    assert "classes.csv: the column 'Usage' is no class, and left out" in message
    assert class_map.names == ("houspa", "comrav", "7", "Rana rana", "empty", "mixed")


def test_row_ids_are_read_whatever_the_lines_are_like(tmp_path: Path) -> None:
    """Blank lines, lines of commas, quotes and line breaks in names, lines too short, other line ends."""
    body = 'a_5,0,0\n\n , ,\n"b ""c""_5",1,1\nd_5\n"e\nf_5",0,0\r\n g_5 ,0,0'
    wanted = read_classes(file(tmp_path, f"row_id,houspa,amecro\n{body}"))
    assert wanted.row_ids == ("a_5", 'b "c"_5', "d_5", "e\nf_5", " g_5 ")
    with pytest.raises(InputError, match="a row without a row_id"):
        read_classes(file(tmp_path, "row_id,houspa\nx_5,0\n,0.5\n"))


def test_namesakes_stay_together() -> None:
    """What shares a name with a column that is kept is kept, in whichever list, so that the first stays the first."""
    first, second = ("Bark", "Bark", "Growl", "Hum", "Hum"), ("a", "b", "b", NO_CLASS, NO_CLASS)
    head = Head("label", (5,), first, "fsd50k", (), (ClassList("other", second),))
    assert head.with_namesakes([2]) == [0, 1, 2]
    assert head.with_namesakes([3]) == [3, 4]
    assert head.keeping([0, 1, 2]).class_lists["fsd50k"].dropped == ("Hum", "Hum")
