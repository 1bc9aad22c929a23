"""Plots a run's rows: its embeddings in three dimensions, or the timeline of one soundscape.

Each window is a point, at the first three principal components of its embedding, so windows that sound alike lie close
together. In the page (.html) the plot can be rotated, and a point shows its spectrogram and species and plays its five
seconds. The page works offline; it links to recordings only for windows whose sound it does not contain. The still
(.png, .svg) shows three views.

With --timeline: the spectrogram of one recording, and below it the species that lead its windows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.classes.taxonomy import Taxonomy, read_taxonomy
from runtime.console.terminal import printable
from runtime.errors import InputError, counted
from runtime.explore.tables import say
from runtime.files import check_outputs, check_writable, replacing
from runtime.remote import Location

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from runtime.explore.pictures.colors import Coloring
    from runtime.explore.pictures.projection import Projection
    from runtime.explore.pictures.sound import Recordings
    from runtime.explore.pictures.species import Top
    from runtime.explore.rows import RowFile

PAGE, STILLS = ".html", (".png", ".svg")
EMBED = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", metavar="ROWS", type=Path, help="a .parquet or .npz that perch-run wrote")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        action="append",
        help="the page (.html) or still (.png, .svg) to write; may be repeated (default: a page beside ROWS)",
    )
    parser.add_argument(
        "--color",
        metavar="BY",
        default="soundscape",
        help="what colours stand for: soundscape, species (that with the highest score), hour (from a time in the "
        "recordings' names, such as 20190904_051500 or 2024-05-17T05-15-00), LABELS.csv (with row_id and species) or "
        "TABLE.csv:COLUMN (default: %(default)s)",
    )
    parser.add_argument("--taxonomy", metavar="FILE.csv", type=Path, help="a taxonomy.csv, which gives common names")
    parser.add_argument(
        "--audio", metavar="FOLDER", type=Path, help="where the recordings are now, if they have moved since the run"
    )
    parser.add_argument(
        "--embed",
        metavar="N",
        type=int,
        default=EMBED,
        help="how many windows, evenly spread, have their spectrogram and sound in the page: about 80 KB each. The "
        "page links to the sound of the others (default: %(default)s)",
    )
    parser.add_argument(
        "--timeline",
        metavar="RECORDING",
        help="plot the timeline of this recording, which is named as in ROWS, with or without its folder",
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="SECOND",
        type=float,
        default=0.0,
        help="where the timeline starts (default: 0)",
    )
    parser.add_argument(
        "--to", dest="end", metavar="SECOND", type=float, help="where the timeline ends (default: an hour later)"
    )
    parser.add_argument(
        "--channel", metavar="N", type=int, help="the timeline's channel, from 1 on, if ROWS has rows for each channel"
    )


def run(args: argparse.Namespace) -> None:
    from runtime.explore.rows import open_runs

    if args.embed < 0:
        raise InputError(f"--embed is {args.embed}, but must be 0 or more")
    if args.audio and not args.audio.is_dir():
        raise InputError(f"there is no folder {args.audio}")
    if args.channel is not None and args.timeline is None:
        raise InputError("--channel is for --timeline; leave it out: each window shows its own channel")
    for target in args.output or ():
        if target.suffix.lower() not in (PAGE, *STILLS):
            raise InputError(f"cannot tell the format of {target}; end its name in .html, .png or .svg")
        check_writable(target)
    rows = open_runs([args.rows])[0]
    taxonomy = read_taxonomy(args.taxonomy) if args.taxonomy else Taxonomy()
    if args.timeline is not None:
        _timeline(args, rows, taxonomy)
    else:
        _cloud(args, rows, taxonomy)


def _cloud(args: argparse.Namespace, rows: RowFile, taxonomy: Taxonomy) -> None:
    from runtime.explore.pictures import still
    from runtime.explore.pictures.cloud import Cloud, page
    from runtime.explore.pictures.projection import project
    from runtime.explore.pictures.sound import Recordings
    from runtime.explore.pictures.species import OUTPUT, display_names, find_top

    recordings = Recordings(rows.source, args.audio)
    targets = args.output or [args.rows.with_suffix(PAGE)]
    _check(args, rows, targets, recordings)
    projection = project(rows)
    top = find_top(rows, projection.rows) if OUTPUT in rows.shapes or args.color == "species" else None
    names = display_names(rows.classes.get(OUTPUT, ()), taxonomy)
    cloud = Cloud(rows, projection, _coloring(args.color, rows, projection, top, names), top, names)
    say(f"{rows.source}: {cloud.drawn}; {cloud.variance}")
    _write(
        targets,
        lambda target: page(cloud, target, recordings, args.embed),
        lambda: still.draw(cloud),
    )


def _coloring(by: str, rows: RowFile, projection: Projection, top: Top | None, names: list[str]) -> Coloring:
    from runtime.explore.pictures import colors

    row_ids, paths = rows.row_ids[projection.rows].tolist(), rows.paths[projection.rows].tolist()
    if by == "soundscape":
        return colors.color(colors.soundscapes(row_ids), "Soundscape")
    if by == "species":
        assert top is not None
        return colors.color([names[i] for i in top.columns[:, 0]], "Top species")
    if by == "hour":
        return colors.color(colors.hours(paths, rows.start_s[projection.rows]), "Hour", in_order=True)
    if ".csv" not in by.lower():
        raise InputError(f"--color is {by!r}, but must be soundscape, species, hour, LABELS.csv or TABLE.csv:COLUMN")
    return colors.color(colors.labels(by, row_ids, paths), Path(by).name)


def _timeline(args: argparse.Namespace, rows: RowFile, taxonomy: Taxonomy) -> None:
    from runtime.explore.pictures import timeline
    from runtime.explore.pictures.sound import Recordings

    recordings = Recordings(rows.source, args.audio)
    drawn = timeline.read_timeline(rows, args.timeline, recordings, taxonomy, args.start, args.end, args.channel)
    name = printable(drawn.row_ids[0].rpartition("_")[0].replace("/", "_"))  # with folders, where stems repeat
    targets = args.output or [args.rows.with_name(f"{args.rows.stem}.{name}{PAGE}")]
    _check(args, rows, targets, recordings)
    say(f"{drawn.title}: {counted(len(drawn.row_ids), 'window')} from {drawn.start} to {drawn.end} s")
    for line in drawn.notes:
        say(line)
    _write(
        targets,
        lambda target: (timeline.page(drawn, target), []),
        lambda: timeline.draw(drawn),
    )


def _check(args: argparse.Namespace, rows: RowFile, targets: list[Path], recordings: Recordings) -> None:
    """Refuses to write over what is read."""

    def of_rows() -> Iterator[Location]:
        return filter(None, map(recordings.find, dict.fromkeys(rows.paths)))

    table = [args.color, args.color.rpartition(":")[0]]
    reads = {"ROWS": args.rows, "--taxonomy": args.taxonomy, "--color": table, "the recording": of_rows}
    check_outputs({"-o": targets}, reads)


def _write(targets: list[Path], page: Callable[[Path], tuple[str, list[str]]], draw: Callable[[], Figure]) -> None:
    from runtime.explore.pictures import still

    for target in targets:
        lines: list[str] = []
        with replacing(target) as temporary:
            if target.suffix.lower() == PAGE:
                text, lines = page(target)
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
            else:
                still.save(draw(), temporary, target.suffix.lower())
        say(f"wrote {target}, {target.stat().st_size / 1e6:.1f} MB" + "".join(f"; {line}" for line in lines))
