"""Starting a command: its imports take a second, TensorFlow's several."""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Callable


def command_of(module: str) -> Callable[[], int]:
    """The `main()` of a module, which is imported when the command runs.

    Ctrl-C during the imports ends the process at once: Python would show a traceback from the middle of a library.
    """

    def main() -> int:
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not ignored, as by `nohup` or `&`
        usual = usual and threading.current_thread() is threading.main_thread()
        if usual:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        imported = importlib.import_module(module)
        if usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code: int = imported.main()
        return code

    return main
