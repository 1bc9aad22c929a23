from __future__ import annotations

import pytest

from runtime import InputError
from runtime.audio.sites import site_of
from runtime.request.request import Request


@pytest.mark.parametrize(
    ("pattern", "below", "site"),
    [
        ("{site}/*", "2024/NORTH/20240512_053000.WAV", "NORTH"),
        ("{site}/*", "20240512_053000.WAV", None),
        ("/{site}/**", "NORTH/2024/05/20240512_053000.WAV", "NORTH"),
        ("/{site}/*", "2024/NORTH/20240512_053000.WAV", None),
        ("{site}/{date}_{time}", "2024/NORTH/20240512_053000.WAV", "NORTH"),
        ("{site}/{date}_{time}", "2024/NORTH/20240512_053000T.WAV", None),
        ("{site}/{date}_{time}*.WAV", "2024/NORTH/2024-05-12_05-30-00T.WAV", "NORTH"),
        ("{site}_{date}_{time}", "a/b/S4A_1_20240512_053000.wav", "S4A_1"),
        ("plot {site} (*)/*", "plot 7.b (old)/x.y.flac", "7.b"),
        (None, "NORTH/x.wav", None),
    ],
)
def test_a_pattern_finds_the_site(pattern: str | None, below: str, site: str | None) -> None:
    assert site_of(pattern, below) == site


@pytest.mark.parametrize("pattern", ["", "*/*", "{site}/{site}", "{place}/{site}", "{site", 3])
def test_other_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(InputError, match=r"site_from is .*, but must be a pattern with one \{site\}"):
        Request(site_from=pattern)


@pytest.mark.parametrize("zone", ["Nowhere/Else", "+25:00", "", "/etc/passwd", 3])
def test_a_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(InputError, match=r"timezone is .*, but must be an offset from UTC such as"):
        Request(timezone=zone)
