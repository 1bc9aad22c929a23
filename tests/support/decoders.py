"""Decoders that fail on purpose."""

from __future__ import annotations

from pathlib import Path

CRASHING = """
import ctypes, importlib.util, os, sys, time
from importlib.machinery import PathFinder
own = os.path.dirname(os.path.abspath(__file__))
spec = PathFinder.find_spec("soundfile", [entry for entry in sys.path if os.path.abspath(entry) != own])
module = importlib.util.module_from_spec(spec)
sys.modules["soundfile"] = module
spec.loader.exec_module(module)
class SoundFile(module.SoundFile):
    def read(self, *arguments, **options):
        name = os.path.basename(os.fsdecode(self.name))
        if "crash" in name:
            ctypes.string_at(0)
        if "hang" in name:
            time.sleep(3600)
        return super().read(*arguments, **options)
module.SoundFile = SoundFile
"""


def crashing_decoder(folder: Path) -> Path:
    """A folder for the import path: its `soundfile` crashes the process on some recordings, and hangs on others."""
    folder.mkdir()
    (folder / "soundfile.py").write_text(CRASHING)
    return folder
