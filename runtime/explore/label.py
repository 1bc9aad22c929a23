"""Opens a page in the browser for listening to windows and labelling them.

Each answer is appended to the label file (--labels) before the page goes on, with its time and the labeller's name; the
file is never rewritten, so several people may label into it at once. The page serves the windows most worth labelling,
those that score highest for a species, those that sound most like a given one, a random share, or a list, and learns
from the answers as they come. `perch-explore prelabel` and `teach` read the file.

The page is for this computer alone: it listens on 127.0.0.1, and its address holds a secret. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
import webbrowser
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.classes.taxonomy import Taxonomy, read_taxonomy
from runtime.console.signals import Signals
from runtime.console.terminal import STEERS_OR_BREAKS
from runtime.errors import InputError, counted, reason, some
from runtime.explore.rows import RowFile, open_runs, recordings_of
from runtime.explore.tables import check_table, say
from runtime.files import check_outputs

if TYPE_CHECKING:
    from runtime.explore.labelling.desk import Desk
    from runtime.explore.labelling.windows import Windows

HOST = "127.0.0.1"
TOKEN_BYTES = 16
FIRST_PORT, PORTS = 49_152, 16_384
"""The ports that are nobody's."""
LONGEST_NAME = 60
SURVEY_S = 1.0
"""How long the page waits for a look at all recordings, which goes on beside it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", nargs="+", type=Path, metavar="ROWS", help="a .parquet or .npz that perch-run wrote")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE.csv", help="the label file (default: labels.csv beside ROWS)"
    )
    parser.add_argument(
        "--import",
        dest="imported",
        type=Path,
        metavar="FILE.csv",
        help="labels in another form, with which a new label file begins",
    )
    parser.add_argument(
        "--audio", metavar="FOLDER", type=Path, help="where the recordings are now, if they have moved since the run"
    )
    parser.add_argument("--labeller", metavar="NAME", help="who labels (default: the name you logged in with)")
    parser.add_argument(
        "--list",
        type=Path,
        metavar="FILE.csv",
        help="windows to serve in its order, by their row_id, such as prelabel's list of windows most worth labelling",
    )
    parser.add_argument(
        "--learn-every",
        type=int,
        default=10,
        metavar="N",
        help="after how many answers to learn again; 0 for never (default: 10)",
    )
    parser.add_argument(
        "--precision",
        type=float,
        default=0.9,
        metavar="SHARE",
        help="the share of the species given by what was learnt that should be right (default: 0.9)",
    )
    parser.add_argument("--taxonomy", metavar="FILE.csv", type=Path, help="a taxonomy.csv, which gives common names")
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        metavar="N",
        help="the page's port (default: the same each time for a label file, or a free one if that is taken)",
    )
    parser.add_argument("--no-browser", action="store_true", help="print the page's address, but do not open it")


def run(args: argparse.Namespace) -> None:
    """Serves the page until Ctrl-C.

    Raises:
        InputError: an argument or a file cannot be used, or the port is busy.
        OutputError: the label file cannot be written.
    """
    labeller = _labeller(args.labeller)
    labels = args.labels or args.rows[0].with_name("labels.csv")
    _check(args, labels)
    files = open_runs(args.rows)
    reads = {"ROWS": args.rows, "--import": args.imported, "--list": args.list, "--taxonomy": args.taxonomy}
    check_outputs({"--labels": labels}, {**reads, "the recording": lambda: recordings_of(files)})
    with _bound(args.port, labels) as listening:
        desk = _desk(args, files, labels, labeller)
        try:
            code = _serve(desk, listening, not args.no_browser)
        finally:
            desk.close()
    answered = counted(len(desk.journal.answers), "window")
    say(f"{labels}: {counted(desk.saved, 'answer')} in this session; {answered} answered in all")
    _end(code)


def _check(args: argparse.Namespace, labels: Path) -> None:
    if not 0 < args.precision < 1:
        raise InputError(f"--precision is {args.precision:g}, but must be between 0 and 1")
    if args.learn_every < 0:
        raise InputError(f"--learn-every is {args.learn_every}, but must be 0 or more")
    if not 0 <= args.port <= 65535:
        raise InputError(f"--port is {args.port}, but must be from 1 to 65535, or 0 for a free one")
    if args.audio and not args.audio.is_dir():
        raise InputError(f"there is no folder {args.audio}")
    check_table(labels)


def _labeller(given: str | None) -> str:
    if given is None:
        try:
            given = getpass.getuser()
        except (OSError, KeyError):  # a user without a name, as in some containers
            return "somebody"
    name = given.strip()
    if not name or len(name) > LONGEST_NAME or STEERS_OR_BREAKS.search(name):
        raise InputError(f"--labeller is {given!a}, but must be a name of at most {LONGEST_NAME} characters")
    return name


def _bound(port: int, labels: Path) -> socket.socket:
    """A socket on this machine alone, at `port`, or if that is 0 at one that is free.

    That is the same for the same label file, if it can be: a browser keeps what it could not send by port.

    Raises:
        InputError: another program has the port.
    """
    usual = FIRST_PORT + zlib.crc32(os.fsencode(os.path.realpath(labels))) % PORTS
    for each in (port,) if port else (usual, 0):
        # asyncio sends small packets at once only if the protocol is named
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # where it means what it means on Unix, so that the port of a page that has just ended can be had again
            if not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((HOST, each))
            return listening
        except OSError as error:
            listening.close()
            why = reason(error)
    raise InputError(f"cannot serve the page at port {port} ({why}); choose another --port")


def _desk(args: argparse.Namespace, files: Sequence[RowFile], labels: Path, labeller: str) -> Desk:
    """All that the page is made of; says what the user should know."""
    from runtime.explore.labelling.background_learning import Learning
    from runtime.explore.labelling.desk import Desk
    from runtime.explore.labelling.journal import Journal
    from runtime.explore.labelling.orders import Orders
    from runtime.explore.labelling.user_lists import import_labels, read_list
    from runtime.explore.labelling.vocabulary import Vocabulary
    from runtime.explore.labelling.windows import Windows
    from runtime.explore.pictures.sound import Recordings

    windows = Windows(files, [Recordings(file.source, args.audio) for file in files])
    taxonomy = read_taxonomy(args.taxonomy) if args.taxonomy else Taxonomy()
    listed = None
    if args.list is not None:
        listed, lost = read_list(args.list, windows)
        if lost:
            say(f"{args.list}: not among the rows: {lost:,} of {counted(lost + len(listed), 'window')}")
    if args.imported is not None:
        count = import_labels(args.imported, labels, windows, labeller)
        say(f"{labels}: the labels of {counted(count, 'window')} copied from {args.imported}")
    journal = Journal(labels, windows.own_name)
    for notice in journal.take_notices():
        say(notice)
    cannot = ""
    if not all("embedding" in file.shapes for file in files):
        cannot = "the rows have no embedding, so nothing is learnt, and no window is found similar to another"
        say(f"{cannot}; run perch-run with `--outputs embedding,label` for that")
    learning = Learning(files, journal, args.precision, args.learn_every, cannot)
    orders = Orders(windows, learning, listed)
    title = ", ".join(file.source.name for file in files)
    desk = Desk(windows, journal, Vocabulary(files, taxonomy), orders, learning, labeller, title)
    _survey(desk, windows)
    learning.begin()
    return desk


def _survey(desk: Desk, windows: Windows) -> None:
    """Looks for all recordings, for a moment at once and then beside the page, until all are there."""
    from runtime.explore.labelling.clips import AGAIN_S

    def look() -> None:
        numbers, paths = windows.missing()
        if paths:
            notice = (
                f"{counted(len(paths), 'recording')} of {counted(len(numbers), 'window')} not found: {some(paths, 1)}; "
                "say where they are now with --audio FOLDER"
            )
            desk.notices.append(notice)
            say(notice)
        desk.availability.skip_missing(numbers)
        while paths:  # a disk or a network may come back
            time.sleep(AGAIN_S)
            numbers, paths = windows.missing()
            desk.availability.skip_missing(numbers)

    threading.Thread(target=desk.prepare, name="preparation", daemon=True).start()
    thread = threading.Thread(target=look, name="survey", daemon=True)
    thread.start()
    thread.join(SURVEY_S)


def _has_display() -> bool:
    """Whether a browser can show itself; otherwise Python would start one that draws in the terminal."""
    return sys.platform in ("win32", "darwin") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


@contextlib.contextmanager
def _opened(address: str, browser: bool) -> Iterator[None]:
    """Opens the page in the browser by a file that leads to it.

    A browser's command line can be read by all users of a machine, and must not hold the address.
    """
    if not browser or not _has_display():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="perch-open-", ignore_cleanup_errors=True) as folder:
        file = Path(folder, "open.html")
        file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">')
        file.chmod(0o600)
        threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
        yield


def _end(code: int) -> None:
    """Ends the process without waiting for recordings that do not answer: every answer is on the disk."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _serve(desk: Desk, listening: socket.socket, browser: bool) -> int:
    """Serves the page until it is told to end; returns the exit code."""
    from runtime.explore.labelling.server import make_server

    port, token = listening.getsockname()[1], secrets.token_urlsafe(TOKEN_BYTES)
    server = make_server(desk, token, port)
    address = f"http://{HOST}:{port}/{token}/"
    listening.listen(128)  # a browser that is quick waits
    say(f"{desk.title}: {counted(int(desk.windows.scored.sum()), 'window')}; labels go to {desk.journal.path}")
    say(f"{address} (Ctrl-C ends)")
    with Signals() as signals, _opened(address, browser), contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])  # it notes signals, and sends them once more when it has ended
    return 0 if signal.SIGINT in signals.received else signals.code
