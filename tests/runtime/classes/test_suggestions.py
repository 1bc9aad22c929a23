from runtime.classes.suggestions import similar_names, suggestions
from runtime.classes.taxonomy import Taxon, Taxonomy
from runtime.model.heads import NO_CLASS, Head

CODES = ("aakspa1", "houspa", "comrav", NO_CLASS)
HEAD = Head("label", (4,), CODES, "ebird2021", ("eurbla",))


def test_case_spaces_and_slips_are_seen_through() -> None:
    known = ["aakspa1", "Corvus corax", "Passer domesticus", "Speech", "Acoustic_guitar"]
    unknown = [
        " Aakspa1",
        "corvus_corax",
        "Pasesr domesticus",
        "Passer domestica",
        "acoustic guitar",
        "aakspa",
        "Spech",
    ]
    assert similar_names(unknown, known) == {
        " Aakspa1": ["aakspa1"],
        "corvus_corax": ["Corvus corax"],
        "Pasesr domesticus": ["Passer domesticus"],
        "acoustic guitar": ["Acoustic_guitar"],
        "aakspa": ["aakspa1"],
        "Spech": ["Speech"],
    }


def test_what_only_looks_alike_is_not_suggested() -> None:
    assert similar_names(["rufant7", "gull", "1139490"], ["rufant1", "bull", "1139491", "seagull"]) == {}
    assert similar_names(["Bark"], ["bark", "Bark ", "BARK", "b_ark", "park"]) == {"Bark": ["bark", "Bark ", "BARK"]}


def test_suggestions_are_names_that_would_be_found() -> None:
    own = Taxonomy({"7": Taxon("Turdus  merula")})
    names = ["Houspa", "Corvus_corax", "7", "houspq", "nothing", "comrave", NO_CLASS[:-1]]
    assert suggestions(names, HEAD, own) == {
        "Houspa": ["houspa"],
        "Corvus_corax": ["Corvus corax"],  # which stands for comrav
        "7": ["Turdus merula"],  # which was left out at conversion, as a run will say
        "houspq": ["houspa"],
        "comrave": ["comrav"],
    }


def test_another_bird_is_no_slip() -> None:
    """`barswa` and `banswa` are a letter apart, and both eBird's."""
    other = Head("label", (1,), ("barswa",), "ebird2021")
    assert similar_names(["banswa"], ["barswa"]) == {"banswa": ["barswa"]}
    assert suggestions(["banswa", "batswa"], other, Taxonomy()) == {"batswa": ["barswa"]}
