"""The class lists in a SavedModel's `assets/`: which file names the columns of which output."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from convert.errors import ConversionError
from runtime.errors import reason
from runtime.model.heads import ClassList

LABEL_LISTS = ("label", "labels")
"""Stems of the files that can name the classes of the output `label`."""


def class_list_files(folder: Path) -> list[Path]:
    """The CSV files in `assets/`, without the hidden copies that macOS and editors leave."""
    files = sorted((folder / "assets").glob("*.csv"))
    return [path for path in files if path.is_file() and not path.name.startswith(".")]


def read_class_lists(folder: Path) -> dict[str, ClassList]:
    """The class lists in `assets/` by file stem, that of the output `label` under `label`.

    Raises:
        ConversionError: a file cannot be read, or is not UTF-8 text.
    """
    lists = {path.stem: _read(path) for path in class_list_files(folder)}
    label = next((lists.pop(stem) for stem in LABEL_LISTS if stem in lists), None)
    return {**lists, "label": label} if label is not None else lists


def lists_by_output(lists: Mapping[str, ClassList], outputs: Collection[str]) -> dict[str, tuple[ClassList, ...]]:
    """The class lists of each output, the one that bears its name first.

    `label` also gets every list that belongs to no output, has as many lines, and is in another namespace: it names the
    same columns in another way.
    """
    by_output: dict[str, tuple[ClassList, ...]] = {name: (names,) for name, names in lists.items() if name in outputs}
    (label,) = by_output["label"]
    aligned = [each for name, each in lists.items() if name not in outputs and len(each.names) == len(label.names)]
    by_namespace = {each.namespace: each for each in aligned if each.namespace != label.namespace}
    by_output["label"] += tuple(by_namespace.values())
    return by_output


def _read(path: Path) -> ClassList:
    """A header with the namespace, then one name per line. Line endings and a byte order mark do not matter."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConversionError(f"{path} cannot be read ({reason(error)})") from None
    except UnicodeDecodeError:
        raise ConversionError(f"{path} is not a class list: it is not UTF-8 text") from None
    namespace, *names = lines or [""]
    return ClassList(namespace.strip(), tuple(name.strip() for name in names if name.strip()))
