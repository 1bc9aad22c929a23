"""Models of full size, converted and proven."""

from __future__ import annotations

from pathlib import Path

from benchmarks.stress.promises import promise


def models(folder: Path, model: Path) -> None:
    """Untrained Perch v1 and v2 of full size are converted, equal to TensorFlow, and run in batches of any size."""
    from convert.conversion import convert
    from convert.proof import parity, synthetic
    from convert.source.reference import Reference
    from convert.source.saved_model import inspect
    from convert.untrained.native import perch as native
    from convert.untrained.perch import write_saved_model
    from convert.untrained.recipe import PERCH_V1, PERCH_V2
    from runtime.model.session import Session

    windows = synthetic.windows(77, 5, 160_000)
    for name, write, recipe in (("v1", write_saved_model, PERCH_V1), ("v2", native.write_saved_model, PERCH_V2)):
        source, target = write(folder / name, recipe), folder / f"{name}.onnx"
        convert(source, target, progress=False)  # refuses what is not equal to TensorFlow
        inspected = inspect(source)
        expected = Reference(inspected)(windows)
        actual = Session(target)(windows, list(expected))
        for (head, values), own in zip(expected.items(), actual, strict=True):
            failures = parity.compare(values, own).failures(parity.tolerance(head, inspected.stablehlo is not None))
            promise(
                not failures, f"{name}: {head} of 5 other windows equals TensorFlow's {'; '.join(failures)}".strip()
            )
