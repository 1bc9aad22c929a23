"""Every codec reads the same in parts as in one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import runtime.audio.recording
from convert.proof.synthetic import soundscape
from runtime.audio.recording import Recording
from tests.support.recordings import RATE, WINDOW, write
from tests.support.tones import read


def codecs() -> list[tuple[str, str]]:
    return [(form, sub) for form in ("WAV", "AIFF", "AU", "CAF", "W64") for sub in soundfile.available_subtypes(form)]


@pytest.mark.parametrize(("form", "subtype"), codecs())
def test_codecs_read_the_same_in_parts_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, subtype: str
) -> None:
    if subtype.startswith(("DWVW", "MPEG")):
        pytest.skip("soundfile cannot read one, nor libsndfile write the other")
    monkeypatch.setattr(runtime.audio.recording, "PART_S", 5.0)
    rate = 8_000 if subtype in ("GSM610", "G721_32", "G723_24", "G723_40") else RATE
    path = tmp_path / f"a.{form.lower()}"
    try:
        write(path, soxr.resample(soundscape(0, 12), RATE, rate), rate, format=form, subtype=subtype)
    except soundfile.LibsndfileError as error:
        pytest.skip(str(error))
    whole, recording = read(path)
    assert recording.failure is None
    parts, _ = Recording(path, RATE, WINDOW).count_parts()
    seen = []
    for number in range(parts):
        recording = Recording(path, RATE, WINDOW)
        for window in recording.windows(recording.part(number, parts)):
            assert window.samples is not None
            seen.append(window.index)
            np.testing.assert_allclose(window.samples, whole[window.index], atol=1e-6)  # type: ignore[arg-type]
        assert recording.failure is None
    assert seen == list(range(len(whole)))
