from __future__ import annotations

import numpy as np
import pytest

from runtime.explore.calibration import calibrate, thresholds
from runtime.explore.metrics import calibration_error, class_roc_auc, macro_roc_auc
from runtime.explore.probe import cross_validate, deal_folds, learnable
from runtime.explore.species import find_columns


def test_a_recording_that_gives_itself_away_is_no_help() -> None:
    """Embeddings tell the recording and nothing else, and species go by recording: who has heard a recording knows its
    species, who has not can only guess.
    """
    rng = np.random.default_rng(1)
    recordings = np.repeat(np.arange(40), 15)
    truth = (rng.random((40, 8)) < 0.4)[recordings]
    signature = 3 * rng.standard_normal((40, 32))[recordings]
    embeddings = (signature + 0.3 * rng.standard_normal((600, 32))).astype(np.float32)
    folds = deal_folds(recordings, truth)
    assert all(len(set(folds[recordings == recording])) == 1 for recording in range(40))
    honest = macro_roc_auc(cross_validate(embeddings, truth, folds).scores, truth)
    leaky = macro_roc_auc(cross_validate(embeddings, truth, np.arange(600) % 5).scores, truth)
    assert leaky > 0.98
    assert honest < 0.6


def test_folds_have_some_of_every_species() -> None:
    rng = np.random.default_rng(2)
    recordings = rng.permutation(np.repeat(np.arange(30), 10))
    truth = np.zeros((300, 6), np.bool_)
    for species, heard in enumerate(([3, 17], [4, 5, 6], range(5), range(10), range(0, 30, 2), range(29))):
        truth[np.isin(recordings, heard), species] = rng.random(10 * len(heard)) < 0.8
    folds = deal_folds(recordings, truth)
    assert sorted(set(folds)) == [0, 1, 2, 3, 4]
    assert [len(set(folds[column])) for column in truth.T] == [2, 3, 5, 5, 5, 5]
    assert np.bincount(folds).max() <= 80
    assert learnable(truth, folds).all()
    everywhere, once = np.ones((300, 1), np.bool_), (recordings == 3)[:, None]
    assert learnable(np.concatenate([everywhere, once, truth], axis=1), folds).tolist() == [False, False] + 6 * [True]
    assert len(set(deal_folds(recordings % 2, truth))) == 2


def test_classifiers_are_the_mean_of_the_folds() -> None:
    rng = np.random.default_rng(3)
    embeddings = rng.standard_normal((200, 6)).astype(np.float32) * 5 + 100  # neither centred nor scaled
    embeddings[:, 5] = 7.0
    truth = embeddings[:, :2] > 101
    folds = np.arange(200) // 2 % 4
    probe = cross_validate(embeddings, truth, folds)
    assert class_roc_auc(probe.scores, truth).min() > 0.97
    assert class_roc_auc(embeddings @ probe.weights + probe.bias, truth).min() > 0.97
    assert np.abs(probe.weights[5]).max() < 1e-6


def test_many_windows_are_thinned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.explore.probe.MOST", 60)
    rng = np.random.default_rng(4)
    embeddings = rng.standard_normal((3000, 4)).astype(np.float32)
    truth = embeddings[:, :1] + 0.5 * rng.standard_normal((3000, 1)) > 1
    probe = cross_validate(embeddings, truth, np.arange(3000) % 5)
    assert macro_roc_auc(probe.scores, truth) > 0.9


def test_calibration_finds_the_odds() -> None:
    rng = np.random.default_rng(5)
    odds = rng.standard_normal((4000, 3)) * 2 - [0, 1, 7]
    truth = rng.random((4000, 3)) < 1 / (1 + np.exp(-odds))
    assert truth.sum(axis=0)[2] >= 10
    scores = (odds + [3, -2, 0]) / [2, 0.5, 1]
    found = calibrate(scores, truth)
    np.testing.assert_allclose(found.slopes, [2, 0.5, 1], rtol=0.15)
    assert calibration_error(found(scores), truth) < 0.01
    # A few windows are calibrated like the others; scores that mislead say no more than how rare a species is.
    few = calibrate(scores[:300], truth[:300])(scores)
    assert calibration_error(few[:, 2], truth[:, 2]) < 0.01
    misled = calibrate(-scores, truth)(-scores)
    np.testing.assert_allclose(misled, np.broadcast_to(truth.mean(axis=0), misled.shape), rtol=0.05)


def test_thresholds_are_the_lowest_that_hold() -> None:
    probabilities = np.linspace(0.99, 0.9, 40)[:, None].repeat(3, axis=1)
    truth = np.ones((40, 3), np.bool_)
    truth[30:, 0] = False  # 30 right of 33 are (30 + 1) / (33 + 2) = 0.886, of 32 0.912
    truth[7:, 1] = False  # too few
    found = thresholds(probabilities, truth, 0.9)
    assert found.tolist() == [probabilities[31, 0], np.inf, probabilities[39, 0]]
    assert np.isinf(thresholds(probabilities - 0.5, truth, 0.9)).all()  # the probabilities do not agree
    same = np.full((20, 1), 0.95)
    assert thresholds(same, np.arange(20)[:, None] < 10, 0.9).tolist() == [np.inf]


def test_calibration_error_by_hand() -> None:
    probabilities, truth = np.array([0.15, 0.15, 0.15, 0.95, 1.0]), np.array([True, False, False, True, True])
    # (|1 - 0.45| + |2 - 1.95|) / 5
    assert calibration_error(probabilities, truth) == pytest.approx(0.12)


def test_columns_by_any_name() -> None:
    classes = ("comrav", "Turdus merula", "no_ebird_code", "comrav", "Canis lupus")
    names = ("Corvus corax", "eurbla", "comrav", "no_ebird_code", "nothing", "Canis lupus")
    assert find_columns(names, classes).tolist() == [0, 1, 0, -1, -1, 4]
