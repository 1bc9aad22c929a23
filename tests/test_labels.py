from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.errors import InputError
from runtime.explore.labels import Labels, choose_list, read_labels
from runtime.heads import NO_CLASS, ClassList, Head

NAMES = ("Anaxyrus americanus", "Corvus corax", "Turdus merula")
HEAD = Head("label", (3,), NAMES, "inat2024_fsd50k", (), (ClassList("ebird2021", (NO_CLASS, "comrav", "eurbla")),))


def labels(folder: Path, text: str | bytes) -> Labels:
    path = folder / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(path)


@pytest.mark.parametrize(
    "text",
    [
        "row_id,species\na_5,comrav\na_5,eurbla\na_10,\n",
        "row_id,species\na_5,comrav;eurbla\na_10,nocall\n",
        "row_id,species\na_5,comrav eurbla\na_5,comrav eurbla\na_10,nocall\n",
        "\ufeffspecies , row_id\r\n eurbla ; comrav;, a_5 \r\n\r\nnocall,a_10\r\n",
        "row_id,site,birds\na_5,X,comrav eurbla\na_10,X,nocall\n",
        "filename,start,end,primary_label\na.ogg,00:00:00,00:00:05,eurbla;comrav\na.ogg,00:00:05,00:00:10,\n",
        "filename,start,end,primary_label\na.ogg,0,5,comrav\na.ogg,0.0,5.0,eurbla\na.ogg,5,10,nocall\n",
    ],
)
def test_forms_of_a_label_file(tmp_path: Path, text: str) -> None:
    found = labels(tmp_path, text)
    assert found.of("a_5") == {"comrav", "eurbla"}
    assert found.of("a_10") == frozenset()
    assert found.of("a_15") is None


def test_scientific_names_keep_their_spaces(tmp_path: Path) -> None:
    found = labels(tmp_path, "row_id,label\na_5,Turdus merula;Corvus corax\na_10,Turdus merula\n")
    assert found.of("a_5") == {"Turdus merula", "Corvus corax"}
    assert found.of("a_10") == {"Turdus merula"}


def test_a_window_past_an_hour_and_between_seconds(tmp_path: Path) -> None:
    found = labels(tmp_path, "filename,start,end,primary_label\nnight/a.b.flac,1:00:02.5,01:00:07.5,comrav\n")
    assert found.of("night/a.b_3607.5") == {"comrav"}


def test_birdclef_2021_leaves_the_date_out(tmp_path: Path) -> None:
    text = "row_id,site,audio_id,seconds,birds\n7019_COR_5,COR,7019,5,comrav\n7019_COR_10,COR,7019,10,nocall\n"
    found = labels(tmp_path, text)
    assert found.of("7019_COR_20190904_5") == found.of("7019_COR_5") == {"comrav"}
    assert found.of("7019_COR_20190904_10") == frozenset()
    assert found.of("7019_SSW_20190904_5") is None


def test_truth_of_the_labelled_rows(tmp_path: Path) -> None:
    found = labels(tmp_path, "row_id,species\na_5,eurbla\na_15,unicorn\na_15,comrav\nb_5,yeti\na_20,no_ebird_code\n")
    classes = ("eurbla", NO_CLASS, "comrav", "eurbla")
    truth, rows, unknown = found.truth(["a_5", "a_10", "a_15", "a_20"], classes)
    assert rows.tolist() == [0, 2, 3]
    assert truth.tolist() == [[True, False, False, False], [False, False, True, False], [False] * 4]
    assert unknown == ("no_ebird_code", "unicorn")
    truth, rows, unknown = found.truth(["c_5"], classes)
    assert (truth.shape, rows.dtype, len(rows), unknown) == ((0, 4), np.int64, 0, ())


def test_the_class_list_that_knows_most_is_chosen(tmp_path: Path) -> None:
    codes = labels(tmp_path, "row_id,species\na_5,comrav\na_10,eurbla;Corvus corax\n")
    assert choose_list(codes, HEAD).namespace == "ebird2021"
    names = labels(tmp_path, "row_id,species\na_5,Turdus merula\n")
    assert choose_list(names, HEAD).namespace == "inat2024_fsd50k"
    with pytest.raises(InputError, match=r"no species of .*labels.csv \(unicorn\).*Corvus corax.*comrav"):
        choose_list(labels(tmp_path, "row_id,species\na_5,unicorn\n"), HEAD)
    with pytest.raises(InputError, match="'embedding' has no class list"):
        choose_list(names, Head("embedding", (8,)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no label file: its columns are none"),
        ("row_id,species\n", "labels no windows"),
        ("window,species\na_5,comrav\n", "its columns are window, species; write the columns row_id and species"),
        ("row_id,a,b\nx_5,1,0\n", "its columns are row_id, a, b"),
        ("filename,primary_label\na.ogg,comrav\n", "no label file"),
        ("row_id,species\n\n,comrav\n", "line 3 of .*labels.csv has no row_id"),
        ("row_id,species\na_5\n", "line 2 .* has 1 cells where the first line has 2"),
        ("filename,start,end,primary_label\na.ogg,0,60,comrav\n", "line 2 .* labels 0 to 60 s, which is no window"),
        ("filename,start,end,primary_label\na.ogg,0,five,comrav\n", "line 2 .* has the time 'five'; write seconds"),
        ("filename,start,end,primary_label\na.ogg,nan,nan,comrav\n", "line 2 .* has the time 'nan'"),
        ("filename,start,end,primary_label\n,0,5,comrav\n", "line 2 .* has no row_id"),
        (b"row_id,species\na_5,\xff\n", "cannot read the labels from .*labels.csv"),
    ],
)
def test_what_is_no_label_file_is_refused_in_a_line(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        labels(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "labels.csv") in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the labels from .*none\.csv: no such file"):
        read_labels(tmp_path / "none.csv")
