from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import InputError
from runtime.explore.label_files import Labels, choose_list, read_labels
from runtime.model.heads import NO_CLASS, ClassList, Head

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
    with pytest.raises(InputError, match=r"no class for any species of .*labels.csv \(unicorn\).*Corvus corax.*comrav"):
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
        ("row_id,species\na_5\n", "line 2 .* has 1 cells, but the first line has 2"),
        ("filename,start,end,primary_label\na.ogg,0,60,comrav\n", "line 2 .* labels 0 to 60 s, which is not a window"),
        ("filename,start,end,primary_label\na.ogg,0,five,comrav\n", "line 2 .* has the time 'five'; write seconds"),
        ("filename,start,end,primary_label\na.ogg,nan,nan,comrav\n", "line 2 .* has the time 'nan'"),
        ("filename,start,end,primary_label\n,0,5,comrav\n", "line 2 .* has no row_id"),
        (b"row_id,species\na_5,\xff\n", "cannot read the labels from .*labels.csv: line 2 is not UTF-8; save it"),
        ("row_id,species\na_5,Mésange\n".encode("cp1252"), "line 2 is not UTF-8"),
        ("row_id,species\na_5,Mésange\n".encode("mac-roman"), "line 2 is not UTF-8"),
        (b"PK\x03\x04\xff\xfe\x00", "is not UTF-8"),
        ("row_id,species\na_5,x\0y\n", "it is not text"),
        ('row_id,species\na_5,"x\na_10,y\n', "a quotation mark is not closed"),
        ("row_id,species\na_5,great tit,blue tit\n", "line 2 .* has 3 cells, but the first line has 2"),
        ("row_id,species,Species\na_5,x,y\n", "has two columns called Species"),
        ("row_id,species\na_5,yeti\na_5,\n", "line 3 .* contradicts another line of a_5: one names yeti, by the other"),
        ("row_id,species\na_5,nocall\na_5,yeti\n", "line 3 .* contradicts another line of a_5: one names yeti"),
        ("row_id,species\na_5,NA\n", "line 2 .* has the species NA; leave the cell empty where nothing is heard"),
        ("row_id,species\na_5,comrav unicr1\n", "line 2 .* has the species comrav unicr1; separate several"),
    ],
)
def test_what_is_no_label_file_is_refused_in_a_line(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        labels(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "labels.csv") in str(caught.value)


def test_two_spellings_of_a_window_may_not_contradict_each_other(tmp_path: Path) -> None:
    found = labels(tmp_path, "row_id,species\na_5,comrav\na_5.0,\na_10,\na_10.0,\n")
    with pytest.raises(InputError, match=r"a line of .*labels\.csv contradicts another line of a_5: one names comrav"):
        found.among(["a_5", "a_10"], ["a.wav", "a.wav"])
    assert found.among(["a_10"], ["a.wav"]).rows["a_10"] == frozenset()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the labels from .*none\.csv: no such file or directory$"):
        read_labels(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"`perch-explore label 'my out.parquet' --labels \S*none\.csv` makes one$"):
        read_labels(tmp_path / "none.csv", [Path("my out.parquet")])


CARD = "row_id,species\nHöhe_5,great tit\nHöhe_10,\n"


@pytest.mark.parametrize(
    "data",
    [
        CARD.encode(),
        unicodedata.normalize("NFD", CARD).encode(),
        CARD.encode("utf-8-sig"),
        CARD.replace(",", "\t").encode("utf-16"),
        CARD.replace(",", "\t").encode("utf-16-le"),
        CARD.replace(",", ";").encode("utf-16-be"),
        CARD.encode("utf-32"),
        CARD.replace(",", ";").encode(),
        CARD.replace(",", "\t").replace("\n", "\r\n").encode(),
        CARD.replace("\n", "\r").encode(),
        ("sep=;\r\n" + CARD.replace(",", ";")).encode(),
        b'Row_ID , Species\n"H\xc3\xb6he_5", "great\xc2\xa0tit"\n"H\xc3\xb6he_10", ""\n',
        ',row_id,observer,species,comment\n0,Höhe_5,me,great tit,"a, b"\n1,Höhe_10,me,,\n'.encode(),
        "Unnamed: 0;row id;bird\n0;Höhe_5.0;great tit\n1;Höhe_10,0;\n".encode(),
        "Filename;Start;End;Species\nHöhe.wav;0,0;5,0;great tit\nHöhe.wav;5,0;10,0;\n".encode(),
        "row_id,species\nHÖHE_5,great tit\nrec\\Höhe_10,\n".encode(),
        "row_id,species\nD:\\rec\\Höhe_5,great tit\nD:/rec/Höhe_10,\n".encode(),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_files_as_people_save_them(tmp_path: Path, data: bytes, form: str) -> None:
    row_ids = [unicodedata.normalize(form, row_id) for row_id in ("Höhe_5", "Höhe_10", "Höhe_15")]
    paths = [unicodedata.normalize(form, r"D:\rec\Höhe.wav")] * 3
    found = labels(tmp_path, data).among(row_ids, paths)
    assert [found.of(row_id) for row_id in row_ids] == [{"great tit"}, frozenset(), None]


def test_a_label_of_several_rows_is_of_none(tmp_path: Path) -> None:
    found = labels(tmp_path, "row_id,species\nA_5,comrav\nx/a_10,comrav\n")
    assert found.among(["a_5", "Ä_5"], ["a.wav", "Ä.wav"]).of("a_5") == {"comrav"}
    for row_ids, path in ((["a_5.0", "a_5,0"], "b.wav"), (["a_10.0", "a_10,0"], "1/x/a.wav")):
        assert found.among(row_ids, [path, path]).rows == found.rows


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["great tit", "great tit"], {"great tit"}),
        (["great tit", "Great Tit", "GREAT  TIT"], {"great tit"}),
        (["turdus merula; corvus corax"], {"turdus merula", "corvus corax"}),
        (["comrav eurbla", "nocall comrav", "NoCall"], {"comrav", "eurbla"}),
        (["osprey", "western osprey"], {"osprey", "western osprey"}),
        ([unicodedata.normalize(form, "mésange bleue") for form in ("NFC", "NFD")], {"mésange bleue"}),
    ],
)
def test_names_are_told_from_codes(tmp_path: Path, cells: Sequence[str], names: set[str]) -> None:
    body = "".join(f"a_{5 * (i + 1)},{cell}\n" for i, cell in enumerate(cells))
    assert labels(tmp_path, f"row_id,species\n{body}").names == names


def test_spaces_of_birdclef_2021_stand_between_codes_of_any_kind(tmp_path: Path) -> None:
    found = labels(tmp_path, "row_id,site,audio_id,seconds,birds\n1_COR_5,COR,1,5,newbird1 oldbird2\n")
    assert found.names == {"newbird1", "oldbird2"}
