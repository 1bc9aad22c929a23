"""What a caller may ask of a model's outputs and of their scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runtime.classes.class_map import Unmapped, check_unmapped
from runtime.errors import InputError
from runtime.model.logits import Activation, LogitScale
from runtime.request.field import option
from runtime.request.values import at_least_one, names_of, parse_count, parse_names, parse_numbers

EmbeddingDtype = Literal["float32", "float16"]
BlendOf = Literal["scores", "ranks"]

WHAT = "what to compute"


def _weights(name: str, value: Any) -> tuple[float, ...]:
    try:
        weights = tuple(float(weight) for weight in value)
    except (TypeError, ValueError):
        weights = ()
    if len(weights) % 2 == 0 or not all(0 <= weight < math.inf for weight in weights) or not weights[len(weights) // 2]:
        raise InputError(
            f"{name} is {value!r}, but must be the weights of a window and as many before as after it, such as 1, 2, 1"
        )
    return weights


def _blend(name: str, value: Any) -> tuple[float, ...]:
    try:
        weights = tuple(float(weight) for weight in value)
    except (TypeError, ValueError):
        weights = ()
    if not weights or not all(0 < weight < math.inf for weight in weights):
        raise InputError(
            f"{name} is {value!r}, but must be a weight above 0 for each model, such as 0.6, 0.4; leave out a model "
            "that is not to count"
        )
    return weights


def _unmapped(name: str, value: Unmapped) -> Unmapped:
    check_unmapped(value)
    return value


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """The options of a run that say which outputs it computes and what becomes of their scores."""

    outputs: Sequence[str] = option(
        ("label",),
        'the model\'s outputs to compute: "label", "embedding". Perch v1 also has "genus", "family", "order" and '
        '"frontend"; Perch v2 also has "spatial_embedding" and "spectrogram". A file may have heads that '
        '`perch-explore teach` added, such as "mine", which give probabilities',
        WHAT,
        metavar="NAME,NAME",
        parse=parse_names,
        check=names_of,
        journal=["outputs"],
    )
    classes: str | Path | Sequence[str] | None = option(
        None,
        'the wanted columns of "label", in order: a sample_submission.csv, a taxonomy.csv, a class list (a header, '
        "then one name a line), or in Python a list of names. A class that the model has under another name is found "
        "by its scientific name or its eBird code. If a sample submission names any of the recordings, the result has "
        'exactly its rows, in its order: rows that match no recording are "filled", and recordings that it does not '
        "name are left out. Detections and hoplite databases use only its classes",
        WHAT,
        unset="all that the model has",
        metavar="FILE.csv",
        journal=["classes", "class_columns"],
    )
    taxonomy: str | Path | None = option(
        None,
        "a CSV with the columns primary_label, scientific_name, common_name and class_name. It says what the names in "
        "`classes` and in detections mean. It is not needed if `classes` is such a file",
        WHAT,
        unset="the package's own table of eBird codes; a name that looks like a scientific name is taken as one",
        metavar="FILE.csv",
        journal=False,  # it acts through the columns of `classes`
    )
    unmapped: Unmapped = option(
        "zero",
        'the score of a wanted class that the model lacks: "zero", another number, or the score of its genus. '
        '"genus-max" and "genus-mean" take the greatest or the mean score of the genus\'s classes, "genus-head" takes '
        'the output "genus" of Perch v1. A class without relatives then gets 0',
        WHAT,
        metavar="VALUE",
        parse=str,
        check=_unmapped,
        journal=["unmapped"],
    )
    namespace: str | None = option(
        None,
        'the model\'s class list that names the columns, and in which `classes` are looked up, such as "ebird2021". A '
        "head that lacks this list keeps its own",
        WHAT,
        unset="the model's first; for `classes`, the list that has most of them, then the others",
        metavar="NAME",
        journal=["namespace"],
    )
    logit_scale: LogitScale | None = option(
        None,
        '"perch-hoplite" scales "label" as perch-hoplite does for Perch v2: 0.97 x - 10. The values of `unmapped` and '
        "`fill` are not scaled",
        WHAT,
        unset="as the model gives it",
        journal=["logit_scale"],
    )
    activation: Activation = option(
        "none",
        '"sigmoid" or "softmax" of the scores of heads with classes. A softmax is taken over the columns that are '
        "written. A metric such as ROC-AUC ranks the windows of a class: a sigmoid keeps that ranking, a softmax does "
        "not. The values of `unmapped` and `fill` stay as they are, and so do heads that `perch-explore teach` added, "
        "which are probabilities",
        WHAT,
        journal=["activation"],
    )
    file_scale: int | None = option(
        None,
        "multiplies the scores of each class in a recording by the mean of its N highest scores there, after "
        "`activation` and before `smooth`. The flag alone means 2, as in BirdCLEF notebooks. It needs probabilities, "
        "so an `activation` unless all heads were added by `perch-explore teach`",
        WHAT,
        unset="no scaling",
        metavar="N",
        bare="2",
        parse=parse_count,
        check=at_least_one,
    )
    smooth: Sequence[float] | None = option(
        None,
        "weights of a window, in the middle, and of its neighbours in the same recording, such as 1,2,1. Scores of "
        "heads with classes become the weighted mean, after `activation`. Windows without a score do not count",
        WHAT,
        unset="no smoothing",
        metavar="WEIGHTS",
        parse=parse_numbers,
        check=_weights,
        journal=["smooth"],
    )
    blend: Sequence[float] | None = option(
        None,
        'weights of several models, in their order, such as 0.6,0.4. One output "label" then takes the place of '
        "theirs: the weighted mean of their scores, after `activation` and `smooth`. They need the same classes, so "
        "name them in `classes`. A class that some models lack is blended from the others alone",
        WHAT,
        unset="each model has an output label of its own",
        metavar="WEIGHTS",
        parse=parse_numbers,
        check=_blend,
    )
    blend_of: BlendOf = option(
        "scores",
        'what `blend` takes the mean of: "scores", or "ranks", where each score is first replaced by its rank among '
        "all rows of the run in its class, from 1/n to 1. Ranks do away with differences of scale between models, and "
        "depend on all recordings of the run",
        WHAT,
    )
    embedding_dtype: EmbeddingDtype = option(
        "float32",
        '"float16" halves the size of embeddings and other outputs without classes, in memory and in files',
        WHAT,
        journal=["embedding_dtype"],
    )

    @property
    def weights(self) -> tuple[float, ...] | None:
        """`smooth`, scaled to a sum of 1."""
        if self.smooth is None:
            return None
        shares = [weight / max(self.smooth) for weight in self.smooth]  # first, or the sum might be infinite
        return tuple(share / sum(shares) for share in shares)
