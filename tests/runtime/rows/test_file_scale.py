"""A recording's confidence, against its formula written out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from runtime import InputError
from runtime.request.request import Request
from runtime.rows.block import Block, Columns
from runtime.rows.postprocessing import Postprocessing
from runtime.rows.smoothing import smoothed

COLUMNS = Columns(
    shapes={"label": (4,), "embedding": (2,)},
    classes={"label": ("robin", "wren", "frog", "bat"), "embedding": ()},
    about={"options": json.dumps({"activation": "sigmoid"})},
    constants={"label": frozenset({3})},
)
COUNTS = {"x.wav": 9, "y.wav": 1, "z.wav": 2, "silent.wav": 3}


def recordings() -> dict[str, Block]:
    """Of the first the rows 2 and 4 have no score, of the last none has one; no model has the last class."""
    rng, found = np.random.default_rng(0), {}
    for path, count in COUNTS.items():
        values = {name: rng.uniform(0, 1, (count, *shape)).astype(np.float32) for name, shape in COLUMNS.shapes.items()}
        values["label"][:, 3] = 0.1
        status = np.full(count, "scored", "<U12")
        status[[2, 4] if count > 4 else slice(0)] = "failed"
        status[:] = "failed" if path == "silent.wav" else status
        for each in values.values():
            each[status == "failed"] = np.nan
        times = np.arange(count) * 5.0
        found[path] = Block(path, [f"{path[0]}_{i}" for i in range(count)], times, times + 5, status, values)
    return found


def in_parts() -> list[Block]:
    """The same rows; the first recording comes in three parts with rows, and one without between them."""
    first, *others = recordings().values()
    parts = [first.rows(np.array(part)) for part in ([0, 1, 2], [3], [4, 5, 6, 7, 8])]
    return [parts[0], without_rows(first), *parts[1:], *others, without_rows(others[-1])]


def without_rows(block: Block) -> Block:
    """A part of the recording none of whose windows has a row, as with `between`."""
    none = {name: values[:0] for name, values in block.outputs.items()}
    return replace(
        block, row_ids=[], start_s=block.start_s[:0], end_s=block.end_s[:0], status=block.status[:0], outputs=none
    )


def formula(scores: np.ndarray, highest: int) -> np.ndarray:
    scored = scores[~np.isnan(scores[:, 0])]
    if not len(scored):
        return scores
    factors = np.array([sorted(column)[-highest:] for column in scored.T]).mean(axis=1)
    return scores * [*factors[:3], 1]


@pytest.mark.parametrize("highest", [1, 2, 100])
def test_scores_are_multiplied_by_the_mean_of_the_highest_in_their_recording(highest: int) -> None:
    postprocessing = Postprocessing.of(COLUMNS, Request(file_scale=highest, activation="sigmoid"))
    blocks = list(postprocessing.rows(in_parts)())
    assert [len(block) for block in blocks] == [3, 1, 5, 1, 2, 3]
    label, embedding = (np.concatenate([block.outputs[name] for block in blocks]) for name in ("label", "embedding"))
    expected = [formula(block.outputs["label"].astype(float), highest) for block in recordings().values()]
    np.testing.assert_allclose(label, np.concatenate(expected), rtol=1e-6)
    np.testing.assert_array_equal(embedding, np.concatenate([b.outputs["embedding"] for b in recordings().values()]))
    assert json.loads(postprocessing.written.about["options"]) == {"activation": "sigmoid", "file_scale": highest}


def test_scores_are_scaled_before_they_are_smoothed() -> None:
    request = Request(file_scale=2, smooth=(1, 2, 1), activation="sigmoid")
    blocks = list(Postprocessing.of(COLUMNS, request).rows(in_parts)())
    scaled = [
        replace(block, outputs={**block.outputs, "label": formula(block.outputs["label"], 2).astype(np.float32)})
        for block in recordings().values()
    ]
    expected = smoothed(scaled, COLUMNS, request.weights)
    label, same = (np.concatenate([block.outputs["label"] for block in each]) for each in (blocks, expected))
    np.testing.assert_allclose(label, same, rtol=1e-5)


def test_what_are_no_probabilities_is_refused() -> None:
    logits = replace(COLUMNS, about={"options": json.dumps({"activation": "none"})})
    with pytest.raises(InputError, match="those of label are logits; ask for the activation 'sigmoid', or 'softmax'"):
        Postprocessing.of(logits, Request(file_scale=2))
    own = replace(logits, about={**logits.about, "thresholds": json.dumps({"label": [None] * 4})})
    assert Postprocessing.of(own, Request(file_scale=2)).file_scale == 2
    with pytest.raises(InputError, match="scales the scores of classes, and embedding has none"):
        Postprocessing.of(COLUMNS.only("embedding"), Request(file_scale=2))
    with pytest.raises(InputError, match="file_scale is 0, but must be at least 1"):
        Request(file_scale=0)
