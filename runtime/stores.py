"""Asks the stores that fsspec reads and writes, until they answer.

fsspec and its packages are imported when they are used.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from runtime.errors import InputError, PerchError

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
FIRST_WAIT_S, PATIENCE_S = 0.5, 30.0
"""What failed is tried again after this time, which doubles, until this much has passed since the first try."""
FINAL = (
    *(FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError),
    *(NotImplementedError, ValueError, TypeError, LookupError, AttributeError),
)
"""Errors that waiting does not mend."""
FINAL_NAMES = re.compile("Credential|Validation")
"""What such errors are called in the package of each store."""
TRY_LATER = 408, 429
"""The HTTP answers from 400 to 499 that waiting may mend."""

T = TypeVar("T")


def ask(url: str, action: Callable[[Any, str], T]) -> T:
    """Does something with the store of a URL and the path in it, again and again while the store cannot be reached.

    Raises:
        InputError: fsspec, or what it needs for such URLs, is not installed.
        OSError: it cannot be done, or could not be for half a minute.
    """
    begin, wait = time.monotonic(), FIRST_WAIT_S
    while True:
        try:
            return action(*_store(url))
        except PerchError:
            raise
        except Exception as error:
            left = begin + PATIENCE_S - time.monotonic()
            if _is_final(error):
                raise _explained(error) from error
            if left <= 0:
                why = f"could not be reached for {PATIENCE_S:g} s ({_one_line(error)})"
                raise OSError(errno.EIO, why) from error
        time.sleep(min(wait, left))
        wait *= 2


def _store(url: str) -> tuple[Any, str]:
    """The store of a URL, and the path in it."""
    scheme = url.partition("://")[0].lower()
    try:
        import fsspec.core

        return cast(tuple[Any, str], fsspec.core.url_to_fs(url))
    except ImportError as error:
        package = PACKAGES.get(scheme)
        needs = f"{package}: `pip install fsspec {package}`" if package is not None else f"more: {_one_line(error)}"
        raise InputError(f"{scheme}:// needs fsspec and {needs} (or '.[remote]' in the project's folder)") from None
    except ValueError as error:
        raise InputError(f"cannot open {url}: {_one_line(error)}") from None


def http_status(error: Exception) -> int:
    """The status of an HTTP answer, 0 for other errors."""
    status = getattr(error, "status", getattr(error, "code", 0))
    return int(status) if str(status).isdigit() else 0


def _is_final(error: Exception) -> bool:
    if isinstance(error, FINAL) or FINAL_NAMES.search(type(error).__name__):
        return True
    status = http_status(error)
    return getattr(error, "errno", None) == errno.EINVAL or (400 <= status < 500 and status not in TRY_LATER)


def _explained(error: Exception) -> OSError:
    """An error that waiting does not mend, as one of the system's, with a reason that follows a file's name."""
    status = http_status(error)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return FileNotFoundError(errno.ENOENT, "there is no such file, folder or bucket")
    if isinstance(error, PermissionError) or status in (401, 403):
        return PermissionError(errno.EACCES, f"access denied ({_one_line(error)})")
    if isinstance(error, OSError):
        return type(error)(error.errno, error.strerror or _one_line(error))
    return OSError(errno.EINVAL, _one_line(error))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
