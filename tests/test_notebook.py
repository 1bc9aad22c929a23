from pathlib import Path

import numpy as np
import soundfile
import tensorflow as tf

from benchmarks import notebook
from convert import synthetic
from convert.synthetic import write_soundscape
from convert.untrained.native.perch import write_saved_model as write_native
from convert.untrained.recipe import TINY_V2


def test_baseline_gives_what_the_notebook_gets(tmp_path: Path, saved_model: Path) -> None:
    paths = [tmp_path / f"{i}.ogg" for i in range(3)]
    for i, path in enumerate(paths):
        write_soundscape(path, i)
    scored = notebook.score(paths, notebook.as_published(saved_model))
    model = tf.saved_model.load(str(saved_model))
    for path, logits in zip(paths, scored, strict=True):
        audio, rate = soundfile.read(path, dtype="float32")
        assert rate == 32_000
        np.testing.assert_array_equal(logits, model.infer_tf(audio.reshape(12, 160_000))["label"].numpy())
    with notebook.stripped(saved_model) as infer:
        assert infer is not None
        for logits, again in zip(scored, notebook.score(paths, infer), strict=True):
            assert np.abs(logits - again).max() < 1e-3 * np.ptp(logits)


def test_v2_is_called_by_its_signature_and_never_without_xla(tmp_path: Path) -> None:
    saved_model = write_native(tmp_path / "v2", TINY_V2)
    windows = synthetic.windows(3, 1, 160_000)
    with notebook.ways(saved_model) as ways:
        assert list(ways) == ["published"]
        labels = ways["published"](windows)
    model = tf.saved_model.load(str(saved_model))
    expected = model.signatures["serving_default"](inputs=tf.constant(windows))["label"].numpy()
    np.testing.assert_array_equal(labels, expected)
