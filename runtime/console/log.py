"""Where a run says what its user should know and its result does not hold: `logging.getLogger("perch_onnx")`."""

from __future__ import annotations

import logging

log = logging.getLogger("perch_onnx")
