"""Classifiers that were trained elsewhere become heads."""

from __future__ import annotations

import base64
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.errors import InputError
from runtime.explore.own_head import TrainedHead
from runtime.explore.weights import read_weights

HOPLITE: dict[str, Any] = {
    "model_config": {
        "model_key": "taxonomy_model_tf",
        "embedding_dim": 4,
        "model_config": {
            "window_size_s": 5.0,
            "hop_size_s": 5.0,
            "sample_rate": 32000,
            "target_peak": 0.25,
            "tfhub_version": 8,
            "model_path": "",
        },
        "logits_key": None,
        "logits_idxes": None,
    },
    "classes": ["koala", "powerful owl"],
    "beta": "bL8APn9GB7698iM/39XWPaEhCb/9Irk+eemmP+Zzcj8=",
    "beta_bias": "AAAAPwAAgL8=",
}
"""What LinearClassifier.save of perch-hoplite 1.0.2 wrote."""
EMBEDDINGS = np.array([[1, 2, 3, 4], [-1, 0, 1, -2]], np.float32)
LOGITS = np.array([[5.515567302703857, 3.9508047103881836], [-2.769399642944336, -2.4004621505737305]])
"""What that classifier gave for these embeddings."""
GOOD: dict[str, Any] = {"weights": np.eye(3, 2), "bias": np.array([0.5, -1]), "classes": np.array(["rain", "frog"])}


def write_npz(path: Path, **changes: Any) -> Path:
    np.savez(path, **{name: values for name, values in {**GOOD, **changes}.items() if values is not None})
    return path


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def check_hoplite(head: TrainedHead) -> None:
    assert head.names == ("koala", "powerful owl")
    np.testing.assert_allclose(head(EMBEDDINGS), 1 / (1 + np.exp(-LOGITS)), rtol=0, atol=1e-7)
    assert head.own.thresholds == (None, None)


def test_a_classifier_of_perch_hoplite_gives_the_sigmoid_of_its_logits(tmp_path: Path) -> None:
    head = read_weights(write_json(tmp_path / "owls.json", HOPLITE))
    check_hoplite(head)
    assert head.own.normalize == "peak"
    taught = {key: head.own.taught[key] for key in ("weights", "trained_with", "model_key")}
    assert taught == {"weights": "owls.json", "trained_with": "perch-hoplite", "model_key": "taxonomy_model_tf"}


@pytest.mark.parametrize(
    "content",
    [
        [HOPLITE],
        {"recognizers": [{**HOPLITE, "name": "owls"}]},
        {"classifier": HOPLITE, "threshold": 0.5},
        {"recognizers": [{"classifier": {**HOPLITE, "classifier_name": "owls"}, "run_config": {"threshold": 1}}]},
    ],
)
def test_a_recognizer_of_perch_runner_is_read(content: Any, tmp_path: Path) -> None:
    check_hoplite(read_weights(write_json(tmp_path / "owls.json", content)))


def test_an_npz_holds_a_classifier_and_may_hold_thresholds(tmp_path: Path) -> None:
    head = read_weights(write_npz(tmp_path / "a.npz"))
    assert (head.names, head.own.thresholds, head.own.normalize) == (("rain", "frog"), (None, None), None)
    np.testing.assert_allclose(head(np.array([[2.0, 0, 0]])), [[1 / (1 + np.exp(-2.5)), 1 / (1 + np.e)]])
    more = {"thresholds": np.array([0.75, np.nan]), "normalize": "peak"}
    head = read_weights(write_npz(tmp_path / "b.npz", **more))
    assert (head.own.thresholds, head.own.normalize) == ((0.75, None), "peak")
    assert read_weights(write_npz(tmp_path / "c.npz", thresholds=np.array([1, np.inf]))).own.thresholds == (1, None)


def test_what_is_said_of_normalisation_goes_before_what_the_file_says(tmp_path: Path) -> None:
    assert read_weights(write_json(tmp_path / "owls.json", HOPLITE), "raw").own.normalize == "raw"
    assert read_weights(write_npz(tmp_path / "a.npz"), "peak").own.normalize == "peak"
    model = HOPLITE["model_config"]
    for peak, expected in ((None, "raw"), (0.5, None)):
        config = {**model, "model_config": {**model["model_config"], "target_peak": peak}}
        held = write_json(tmp_path / "owls.json", {**HOPLITE, "model_config": config})
        assert read_weights(held).own.normalize == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "holds no weights; name an .npz with weights"),
        ({"bias": None}, "holds no bias"),
        ({"classes": None}, "holds no classes"),
        ({"weights": np.eye(2, 3)}, r"has weights \[embedding, 2\] and bias \[2\], not \[2, 3\]"),
        ({"bias": np.zeros(3)}, r"not \[3, 2\] and \[3\]"),
        ({"weights": np.array([["a", "b"]])}, "its weights are not numbers"),
        ({"weights": np.full((3, 2), np.nan)}, "finite"),
        ({"classes": np.array([1, 2])}, "its classes are no list of texts"),
        ({"classes": np.array(["rain", None])}, "holds no linear classifier, or is damaged"),
        ({"classes": np.array(["rain", "rain"])}, "has rain twice"),
        ({"thresholds": np.array([0.5])}, "its thresholds are not 2 numbers"),
        ({"thresholds": np.array([0.5, 1.5])}, "probabilities from 0 to 1"),
        ({"normalize": "loud"}, "neither raw nor peak"),
    ],
)
def test_an_npz_that_holds_no_classifier_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_weights(write_npz(tmp_path / "a.npz", **changes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**HOPLITE, "beta": HOPLITE["beta_bias"] + "!"}, "or is damaged;"),
        ({**HOPLITE, "beta": base64.b64encode(bytes(12)).decode()}, "its beta has 3 numbers for 2 classes"),
        ({**HOPLITE, "beta": base64.b64encode(bytes(13)).decode()}, "or is damaged;"),
        ({**HOPLITE, "beta": [[1, 2]]}, "its beta is not base64"),
        ({**HOPLITE, "beta": ""}, "another size of the embedding"),
        ({**HOPLITE, "beta_bias": base64.b64encode(bytes(4)).decode()}, r"and \[1\]"),
        ({**HOPLITE, "classes": []}, "for 0 classes"),
        ({**HOPLITE, "classes": "ab"}, "no list of texts"),
        ({**HOPLITE, "model_config": {"embedding_dim": 1280}}, "another size of the embedding"),
        ({"classes": ["a"]}, "holds no beta"),
        ([HOPLITE, HOPLITE], "it has 2 classifiers; put each into a file of its own"),
        ({"recognizers": []}, "it has 0 classifiers"),
        (1, "no JSON object"),
    ],
)
def test_a_json_that_holds_no_classifier_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_weights(write_json(tmp_path / "a.json", content))


def test_damaged_and_hostile_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write_npz(tmp_path / "good.npz").read_bytes()
    for name, data in (("a.npz", good[:-30]), ("b.npz", b""), ("c.json", b"[" * 10**6), ("d.json", b"\xff\xfe")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match="holds no linear classifier, or is damaged"):
            read_weights(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("weights.npy", bytes(10**6))
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as packed:
        packed.writestr("weights", b"no array")
    with pytest.raises(InputError, match="its weights is no array"):
        read_weights(tmp_path / "raw.npz")
    for flag, value, why in ((6, 1, "encrypted"), (8, 99, "compression method")):
        data = bytearray(good)
        for header, at in ((b"PK\x03\x04", flag), (b"PK\x01\x02", flag + 2)):
            for found in re.finditer(re.escape(header), good):
                data[found.start() + at] |= value
        (tmp_path / "e.npz").write_bytes(data)
        with pytest.raises(InputError, match=rf"or is damaged \(.*{why}"):
            read_weights(tmp_path / "e.npz")
    monkeypatch.setattr("runtime.explore.weights.MOST_BYTES", 10**5)
    with pytest.raises(InputError, match="unpacks to more"):
        read_weights(tmp_path / "bomb.npz")
    (tmp_path / "large.json").write_bytes(bytes(10**5 + 1))
    with pytest.raises(InputError, match="larger than any"):
        read_weights(tmp_path / "large.json")
    with pytest.raises(InputError, match=r"cannot read .*nothing\.npz: no such file"):
        read_weights(tmp_path / "nothing.npz")
