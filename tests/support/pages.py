"""What the pages of `perch-explore plot` hold."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 32_000


def held(page: Path) -> dict[str, Any]:
    """What a page's script knows."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def bytes_of(uri: str, kind: str) -> bytes:
    head, _, data = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(data)


def as_heard(sound: bytes, expected: np.ndarray) -> float:  # type: ignore[type-arg]
    samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    assert rate == RATE
    assert len(samples) == len(expected)
    return float(np.corrcoef(samples, expected)[0, 1])
