from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime.classes import map_classes, read_classes, unmapped_value
from runtime.errors import InputError
from runtime.heads import NO_CLASS, ClassList, Head

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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,houspa\nx_5,0\n", "not 'row_id'"),
        ("row_id\nx_5\n", "names no classes"),
        ("", "first column is ''"),
        ("row_id,houspa,houspa\n", "classes more than once: houspa"),
        ("a,primary_label\nx\n", "too short"),
        ("row_id,houspa\nx_5,0\nx_5,0\n", "rows more than once: x_5"),
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
    np.testing.assert_array_equal(class_map.apply(logits), [[3, 7, 0], [7, 7, 4]])
    assert class_map.unmapped == ["1139490"]


def test_class_that_slicing_took_away_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"converted without norcar .* convert it again with `--classes"):
        map_classes(read_classes(["houspa", "norcar"]), HEAD, 0.0)


def test_classes_of_another_world_are_refused() -> None:
    with pytest.raises(InputError, match="none of the 2 classes"):
        map_classes(read_classes(["Passer domesticus", "Corvus corax"]), HEAD, 0.0)
    with pytest.raises(InputError, match="no class list"):
        map_classes(read_classes(["houspa"]), Head("embedding", (3,)), 0.0)


def test_class_list_without_a_header_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no header: its first line, 'houspa', is a class"):
        map_classes(read_classes(file(tmp_path, "houspa\namecro\n")), HEAD, 0.0)


def positions(wanted: Sequence[str], namespace: str | None = None) -> tuple[list[int], str]:
    class_map = map_classes(read_classes(wanted), V2, 0.0, namespace)
    return class_map.positions.tolist(), class_map.namespace


def test_classes_are_looked_up_where_most_of_them_are() -> None:
    assert positions(["houspa", "Corvus corax", "comrav"]) == ([2, -1, 1], "ebird2021")
    assert positions(["Passer domesticus", "Corvus corax", "comrav"]) == ([2, 1, -1], "inat2024_fsd50k")
    assert positions(["houspa", "Corvus corax"]) == ([-1, 1], "inat2024_fsd50k")  # the first list wins ties
    assert positions(["houspa", "Corvus corax"], "ebird2021") == ([2, -1], "ebird2021")


def test_namespace_that_a_model_has_not_is_refused_with_those_it_has() -> None:
    with pytest.raises(InputError, match="no class list 'ebird2022'; it has inat2024_fsd50k, ebird2021"):
        map_classes(read_classes(["houspa"]), V2, 0.0, "ebird2022")
    with pytest.raises(InputError, match=r"like Anaxyrus .*Passer domesticus \(inat2024_fsd50k\) or comrav, houspa \("):
        map_classes(read_classes(["amecro"]), V2, 0.0)
    with pytest.raises(InputError, match=r"names are like comrav, houspa \(ebird2021\)"):
        map_classes(read_classes(["Speech"]), V2, 0.0, "ebird2021")


def test_class_sliced_away_is_known_in_every_namespace() -> None:
    with pytest.raises(InputError, match="converted without norcar of"):
        map_classes(read_classes(["houspa", "norcar"]), V2, 0.0)
    with pytest.raises(InputError, match=r"converted without norcar .*--namespace ebird2021`"):
        map_classes(read_classes(["houspa", "norcar"]), V2, 0.0, "ebird2021")
    with pytest.raises(InputError, match="converted without Rana of"):
        map_classes(read_classes(["Speech", "Rana"]), V2, 0.0)


def test_placeholder_is_no_class(tmp_path: Path) -> None:
    assert positions([NO_CLASS, "houspa"]) == ([-1, 2], "ebird2021")
    own = read_classes(file(tmp_path, "\r\n".join(["ebird2021", *CODES, ""])))
    assert own.names == ("comrav", "houspa")
    submission = read_classes(file(tmp_path, f"row_id,{NO_CLASS},houspa\nx_5,0,0\n"))
    assert map_classes(submission, V2, 0.0).unmapped == [NO_CLASS]


def test_first_of_columns_with_one_name_is_taken() -> None:
    twice = Head("label", (3,), ("Speech", "Bark", "Bark"), "fsd50k")
    assert map_classes(read_classes(["Bark"]), twice, 0.0).positions.tolist() == [1]


def test_unmapped_values() -> None:
    assert [unmapped_value(value) for value in ("zero", "-3.5", 2)] == [0.0, -3.5, 2.0]
    for wrong in ("mean", "nan"):
        with pytest.raises(InputError, match="must be 'zero' or a number"):
            unmapped_value(wrong)
