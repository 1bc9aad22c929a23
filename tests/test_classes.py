from pathlib import Path

import numpy as np
import pytest

from runtime.artifact import Head
from runtime.classes import map_classes, read_classes, unmapped_value
from runtime.errors import InputError

HEAD = Head("label", (4,), ("amecro", "blujay", "comrav", "houspa"), "ebird2021", ("norcar",))


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


def test_unmapped_values() -> None:
    assert [unmapped_value(value) for value in ("zero", "-3.5", 2)] == [0.0, -3.5, 2.0]
    for wrong in ("mean", "nan"):
        with pytest.raises(InputError, match="must be 'zero' or a number"):
            unmapped_value(wrong)
