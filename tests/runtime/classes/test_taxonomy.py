from pathlib import Path

import pytest

from runtime.classes.taxonomy import Taxonomy, code_of, read_taxonomy
from runtime.errors import InputError


def test_codes_and_scientific_names_are_known() -> None:
    known = Taxonomy()
    assert known["abbbab1"].scientific_name == "Malacocincla abbotti"
    assert known["aakspa1"].genus == "passer"
    assert known["rufant7"].genus == "grallaria"  # a code of a later year
    assert known["Alouatta caraya"].genus == "alouatta"
    assert code_of("Malacocincla abbotti") == "abbbab1"
    assert code_of("Alouatta caraya") is None
    for name in ("Acoustic_guitar", "Speech", "1139490", "", "no_ebird_code"):
        assert known[name].genus == known[name].scientific_name == ""


def test_own_taxonomy_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "taxonomy.csv"
    path.write_bytes(
        "\ufeffprimary_label,inat_taxon_id,scientific_name,common_name,class_name\r\n"
        '1139490,1139490,Ragoniella pulchella,"Katydid, Pretty",Insecta\r\n'
        "abbbab1, 7,Other abbotti,Babbler,Aves\r\n"
        "aakspa1,8,,,\r\n".encode()
    )
    own = read_taxonomy(path)
    assert own["1139490"].genus == "ragoniella"
    assert own["1139490"].common_name == "Katydid, Pretty"
    assert own["1139490"].class_name == "Insecta"
    assert own["abbbab1"].genus == "other"
    assert own["abbbab1"].scientific_name == "Other abbotti"
    assert own["aakspa1"].genus == "passer"
    assert own["Alouatta caraya"].genus == "alouatta"
    assert own["Ragoniella pulchella"].common_name == "Katydid, Pretty"


def test_genus_of_a_name_that_is_no_binomial(tmp_path: Path) -> None:
    path = tmp_path / "taxonomy.csv"
    path.write_text("primary_label,scientific_name,genus\n1,Hyla,\n2,Hyla sp.,\n3,,Rana\n4,Hyla alia,Rana\n")
    own = read_taxonomy(path)
    assert [own[name].genus for name in "1234"] == ["hyla", "hyla", "rana", "rana"]
    assert own.source == str(path)


def test_other_names_are_certain_ones(tmp_path: Path) -> None:
    path = tmp_path / "taxonomy.csv"
    path.write_text("primary_label,scientific_name\n7,Corvus corax\nabbbab1,Other abbotti\n")
    own = read_taxonomy(path)
    assert own.other_names("7") == [("scientific_name", "Corvus corax"), ("code", "comrav")]
    assert own.other_names("comrav") == [("scientific_name", "Corvus corax")]
    assert own.other_names("Corvus corax") == [("code", "comrav")]
    both = [("scientific_name", "Other abbotti"), ("scientific_name", "Malacocincla abbotti")]
    assert own.other_names("abbbab1") == both  # the file's comes first
    assert own.other_names("Speech") == own.other_names("Alouatta caraya") == []


def test_birds_of_the_table_are_known_as_such() -> None:
    known = Taxonomy()
    assert [known[name].class_name for name in ("comrav", "Corvus corax", "Alouatta caraya")] == ["Aves", "Aves", ""]
    assert known.knows("comrav")
    assert known.knows("Corvus corax")
    assert not known.knows("Corvus_corax")


def test_repeated_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "taxonomy.csv"
    path.write_text("primary_label,class_name\ncomrav,Aves\nhouspa,Aves\ncomrav,Aves\n")
    with pytest.raises(InputError, match=r"taxonomy\.csv repeats classes: comrav"):
        read_taxonomy(path)


@pytest.mark.parametrize("text", ["label,scientific_name\nx,y\n", ""])
def test_what_is_no_taxonomy_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"list\.csv is no taxonomy"):
        read_taxonomy(path)
