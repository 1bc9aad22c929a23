from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from runtime.classes.class_map import match_classes
from runtime.classes.map_report import FIELDS, Line, report_lines, report_text, write_report
from runtime.classes.wanted import read_classes
from runtime.cli import main
from runtime.model.heads import NO_CLASS, ClassList, Head
from tests.support.recordings import RATE, write
from tests.support.small_v2 import write_small_v2

V1 = {
    "label": Head("label", (4,), ("amecro", "blujay", "comrav", "houspa"), "ebird2021"),
    "genus": Head("genus", (2,), ("corvus", "passer"), "ebird2021_genera"),
}
NAMES = ("Corvus corax", "Corvus ultor", "Speech")
V2 = {"label": Head("label", (3,), NAMES, "inat", (), (ClassList("ebird2021", ("comrav", NO_CLASS, NO_CLASS)),))}
TAXONOMY = """primary_label,scientific_name,common_name,class_name
comrav,Corvus corax,"Raven, Common",Aves
Blujay,,Jay,Aves
fiscro,,,
1139490,Passer domesticus,,Aves
7,Hyla alia,Frog,Amphibia
x,,,
"""


@pytest.fixture
def taxonomy(tmp_path: Path) -> Path:
    path = tmp_path / "taxonomy.csv"
    path.write_text(TAXONOMY)
    return path


def reported(heads: dict[str, Head], classes: Path, unmapped: float | str) -> tuple[list[Line], str]:
    wanted = read_classes(classes)
    class_map = match_classes(wanted, heads["label"], unmapped, None, heads.get("genus"))
    lines = report_lines(class_map, heads, wanted.taxonomy)
    return lines, report_text(lines, class_map)


def test_report_names_how_each_class_is_met(taxonomy: Path) -> None:
    lines, text = reported(V1, taxonomy, "genus-mean")
    shown = [
        tuple(line[field] for field in ("class", "met", "by", "namespace", "columns", "suggestions")) for line in lines
    ]
    assert shown == [
        ("comrav", "exact", "name", "ebird2021", "comrav", ""),
        ("Blujay", "absent", "", "", "", "blujay"),
        ("fiscro", "genus", "genus-mean", "", "amecro; comrav", ""),
        ("1139490", "exact", "code", "ebird2021", "houspa", ""),
        ("7", "absent", "", "", "", ""),
        ("x", "absent", "", "", "", ""),
    ]
    about = ("genus", "scientific_name", "common_name", "class_name")
    assert [lines[0][field] for field in about] == ["corvus", "Corvus corax", "Raven, Common", "Aves"]
    assert [lines[2][field] for field in about] == ["corvus", "Corvus ossifragus", "", "Aves"]
    assert text.splitlines() == [
        "6 classes: 2 exact, 1 by genus, 3 absent",
        "  Amphibia: 0 exact, 0 by genus, 1 absent",
        "  Aves: 2 exact, 1 by genus, 1 absent",
        "  others: 0 exact, 0 by genus, 1 absent",
        "not found by their own names:",
        "  Blujay: absent, 0; did you mean blujay?",
        "  7: absent, 0",
        "  x: absent, 0",
        "  fiscro: genus-mean of corvus, 2 columns (amecro, comrav)",
        "  1139490: exact by its code, houspa (ebird2021)",
    ]


def test_report_names_columns_of_the_output_they_are_of(taxonomy: Path) -> None:
    lines, text = reported(V1, taxonomy, "genus-head")
    assert (lines[2]["by"], lines[2]["columns"]) == ("genus-head", "corvus")
    assert "fiscro: genus-head of corvus, 1 column (corvus)" in text
    lines, text = reported(V2, taxonomy, "genus-max")  # a column without a code is told by its first name
    assert (lines[2]["by"], lines[2]["columns"]) == ("genus-max", "comrav; Corvus ultor")
    lines, text = reported(V2, taxonomy, -4)
    assert "fiscro: absent, -4; the model has 2 of its genus corvus; see --unmapped" in text


def test_report_is_a_table(tmp_path: Path, taxonomy: Path) -> None:
    lines, _ = reported(V1, taxonomy, "zero")
    write_report(lines, tmp_path / "map.csv")
    with (tmp_path / "map.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == FIELDS
        assert list(reader) == lines


def test_long_lists_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("names\nhouspa\nhouspa\n" + "".join(f"{i}\n" for i in range(60)))
    _, text = reported(V1, path, "zero")
    assert "listed more than once, given one column: houspa" in text
    assert text.splitlines()[-1] == "  and 10 more"


def test_command_reports_without_scoring(tmp_path: Path, taxonomy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_small_v2(tmp_path / "perch.onnx")
    arguments = ["--map-report", str(tmp_path / "map.csv"), "--model", str(model), "--classes", str(taxonomy)]
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{tmp_path / 'map.csv'}: 6 classes: 2 exact, 0 by genus, 4 absent\n")
    assert told.err == ""
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.csv", "perch.onnx", "taxonomy.csv"]
    submission = tmp_path / "sample_submission.csv"
    submission.write_text("row_id,1139490,8\nx_5,0,0\n")
    assert main([*arguments[:-1], str(submission), "--taxonomy", str(taxonomy)]) == 0
    assert "1139490: exact by its scientific_name, Passer domesticus (inat2024_fsd50k)" in capsys.readouterr().out


def test_list_of_which_nothing_is_known_is_reported_and_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_small_v2(tmp_path / "perch.onnx")
    (tmp_path / "list.csv").write_text('names\n" Comrav"\n')
    recording = write(tmp_path / "a.wav", np.zeros(RATE, np.float32))
    arguments = ["--model", str(model), "--classes", str(tmp_path / "list.csv")]
    assert main(["--map-report", str(tmp_path / "map.csv"), *arguments]) == 0
    assert "Comrav: absent, 0; did you mean comrav?" in capsys.readouterr().out
    assert main([str(recording), *arguments, "-o", str(tmp_path / "rows.csv")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "none of the names in" in line
    assert line.endswith("did you mean 'comrav' for 'Comrav'?")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "nowhere.csv"], "cannot read the classes from nowhere.csv: no such file"),
        ([], "--map-report needs --classes"),
        (["--classes", "list.csv", "--taxonomy", "list.csv"], "list.csv is no taxonomy, as it has no column"),
        (["--classes", "list.csv", "--unmapped", "genus"], "unmapped is 'genus', but must be 'zero' or a number, or"),
        (["--classes", "list.csv", "--unmapped", "genus-head"], "no output 'genus'"),
        (["--classes", "list.csv", "--namespace", "x"], "no class list 'x'; it has inat2024_fsd50k, ebird2021"),
        (["--classes", "twice.csv"], "twice.csv repeats classes: comrav"),
    ],
)
def test_what_cannot_be_reported_is_refused_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("names\ncomrav\n")
    (tmp_path / "twice.csv").write_text("primary_label,class_name\ncomrav,Aves\ncomrav,Aves\n")
    model = write_small_v2(tmp_path / "perch.onnx")
    assert main(["--map-report", "map.csv", "--model", str(model), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "map.csv").exists()


@pytest.mark.parametrize("arguments", [["-o", "x.csv"], ["folder"], ["folder", "--map-report", "map.csv"], []])
def test_a_run_needs_recordings_and_an_output(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--model", "perch.onnx"])
    assert left.value.code == 2
    assert "the following arguments are required: " in capsys.readouterr().err
