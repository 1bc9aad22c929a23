"""Linear classifiers of Perch's embeddings that were trained elsewhere, read from files.

An `.npz` holds `weights [embedding, classes]`, `bias`, `classes` and, if it has some, `thresholds` (probabilities). A
`.json` is what perch-hoplite's `LinearClassifier.save` writes: `classes`, and as base64 of little-endian float32 `beta`
`[embedding, classes]` and `beta_bias`. perch-runner's recognizers (QutEcoacoustics/embeddings-classifier) are the same,
also inside of `classifier`, or as the only one of a list or of `recognizers`.

All of them give logits: a head's probabilities are their sigmoids, and are not calibrated.
"""

from __future__ import annotations

import base64
import hashlib
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import InputError, reason
from runtime.explore.own_head import TrainedHead
from runtime.model.own_heads import OwnHead

MOST_BYTES = 2**29
"""Of a file, and of what it unpacks to: far above any such classifier's."""
ARRAYS = ("weights", "bias", "classes", "thresholds", "normalize")
FORMS = (
    "name an .npz with weights [embedding, classes], bias and classes, or the .json of a LinearClassifier of "
    "perch-hoplite"
)


class _FormError(Exception):
    """Why a file holds no such classifier."""


def read_weights(path: Path, normalize: str | None = None) -> TrainedHead:
    """Reads a classifier. `normalize` is how windows were normalised on whose embeddings it was trained.

    Where that is not given, it is what the file says; a classifier of perch-hoplite has seen windows with "peak".

    Raises:
        InputError: the file cannot be read, or holds no such classifier.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _FormError("it is larger than any such classifier")
        held, said = _read_npz(path) if path.suffix.lower() == ".npz" else _read_json(path)
        names = _names(held["classes"])
        thresholds = _thresholds(held.get("thresholds"), len(names))
        taught = {"weights": path.name, "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **said}
        own = OwnHead(thresholds, normalize or held.get("normalize"), taught)
        return TrainedHead(names, _numbers(held, "weights"), _numbers(held, "bias"), own)
    except InputError as error:
        raise InputError(f"{path} holds no classifier that can be used: {error}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None
    except KeyError as error:
        raise InputError(f"{path} holds no {error.args[0]}; {FORMS}") from None
    except (_FormError, ValueError, TypeError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        why = f" ({error})" if isinstance(error, _FormError) else ""
        raise InputError(f"{path} holds no linear classifier, or is damaged{why}; {FORMS}") from None


def _read_npz(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a file, and what is to be said of it."""
    with zipfile.ZipFile(path) as packed:
        if sum(member.file_size for member in packed.infolist()) > MOST_BYTES:
            raise _FormError("it unpacks to more than any such classifier")
    try:
        with warnings.catch_warnings(), np.load(path, allow_pickle=False) as saved:
            warnings.simplefilter("ignore")
            held = {name: saved[name] for name in ARRAYS if name in saved.files}
    except OSError:
        raise
    except Exception as error:  # NumPy and zipfile raise anything on bytes that NumPy did not write
        raise _FormError(reason(error)) from None
    if wrong := [name for name, values in held.items() if not isinstance(values, np.ndarray)]:
        raise _FormError(f"its {wrong[0]} is no array")
    if "normalize" in held:
        held["normalize"] = str(held["normalize"])
    if held.get("normalize", "raw") not in ("raw", "peak"):
        raise _FormError("its normalize is neither raw nor peak")
    return held, {}


def _read_json(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a classifier, and what is to be said of it."""
    found = _only(json.loads(path.read_bytes()))
    classes = _names(found["classes"])
    weights, bias = (_decoded(found, key) for key in ("beta", "beta_bias"))
    if not classes or len(weights) % len(classes):
        raise _FormError(f"its beta has {len(weights):,} numbers for {len(classes)} classes")
    weights = weights.reshape(-1, len(classes))
    model = found.get("model_config") or {}
    if not isinstance(model, dict) or model.get("embedding_dim", len(weights)) != len(weights):
        raise _FormError("its model_config names another size of the embedding than beta has")
    config = model.get("model_config")
    peak = config.get("target_peak", 0.25) if isinstance(config, dict) else 0.25
    held = {"classes": classes, "weights": weights, "bias": bias}
    held["normalize"] = "peak" if peak == 0.25 else "raw" if peak is None else None
    return held, {"trained_with": "perch-hoplite", "model_key": str(model.get("model_key", "unknown"))[:100]}


def _only(found: Any) -> Mapping[str, Any]:
    """The only classifier that a JSON file holds."""
    if isinstance(found, dict) and "recognizers" in found:
        found = found["recognizers"]
    if isinstance(found, list) and len(found) != 1:
        raise _FormError(f"it has {len(found)} classifiers; put each into a file of its own")
    found = found[0] if isinstance(found, list) else found
    if isinstance(found, dict) and isinstance(found.get("classifier"), dict):
        found = found["classifier"]
    if not isinstance(found, dict):
        raise _FormError("it is no JSON object")
    return found


def _decoded(found: Mapping[str, Any], key: str) -> Any:
    """Numbers that are written as base64."""
    if not isinstance(found[key], str):
        raise _FormError(f"its {key} is not base64")
    return np.frombuffer(base64.b64decode(found[key].strip(), validate=True), "<f4")


def _names(classes: Any) -> tuple[str, ...]:
    if isinstance(classes, np.ndarray):
        classes = classes.tolist() if classes.dtype.kind == "U" and classes.ndim == 1 else None
    if not isinstance(classes, (list, tuple)) or not all(isinstance(name, str) for name in classes):
        raise _FormError("its classes are no list of texts")
    return tuple(classes)


def _numbers(held: Mapping[str, Any], name: str) -> Any:
    if held[name].dtype.kind not in "fiu":
        raise _FormError(f"its {name} are not numbers")
    return held[name]


def _thresholds(values: Any, count: int) -> tuple[float | None, ...]:
    """Thresholds, None for classes that have none: NaN or infinity, or where the file has no thresholds."""
    if values is None:
        return (None,) * count
    if values.dtype.kind not in "fiu" or values.shape != (count,):
        raise _FormError(f"its thresholds are not {count} numbers")
    found = values.astype(np.float64)
    there = np.isfinite(found)
    if not ((found[there] >= 0) & (found[there] <= 1)).all():
        raise _FormError("its thresholds are not probabilities from 0 to 1")
    return tuple(value if is_there else None for value, is_there in zip(found.tolist(), there.tolist(), strict=True))
