"""The page ``inspect.html``: statistics of the dataset, and each finding with its images."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipekit.contract import Context, Finding, Picture, Section, Table
from pipekit.page.markdown import literal
from pipekit.tasks import MULTILABEL, TASKS, labels_in, several_as_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.builtin.inspect.measured import MeasuredRows
    from pipekit.learning.near_copies import Copies
    from pipekit.page import Top

IN_A_GROUP = 6
"""Maximum number of images of a group that are shown."""

TILES_KEPT = 256
"""Cache of thumbnails for the next findings: 25 MB."""

MAX_LISTED = 500
"""Maximum number of rows in a table of names; ``inspect.json`` has all."""


class Pictures:
    """The pictures of findings, drawn by threads while the checks run. A context manager.

    Args:
        paths_of: the paths of images by their ids, from their numbers; without those that failed in earlier stages.
        max_shown: number of pictures for each check.
    """

    def __init__(
        self,
        rows: MeasuredRows,
        paths_of: Callable[[Iterable[int]], dict[str, str]],
        max_shown: int,
        thumbnail_px: int,
        workers: int,
    ) -> None:
        self._rows, self._paths_of, self._px, self._workers = rows, paths_of, thumbnail_px, workers
        self._paths: dict[str, str] = {}
        self._tile_of = lru_cache(TILES_KEPT)(lambda name: _tile(self._paths[name], thumbnail_px))  # duplicates share findings
        self._room: dict[str, int] = defaultdict(lambda: max_shown)
        self._made: dict[str, list[Future[list[Picture]]]] = defaultdict(list)

    def __enter__(self) -> Pictures:
        self._pool = ThreadPoolExecutor(self._workers)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)

    def begin(self, findings: Iterable[Finding]) -> None:
        """Start to draw the findings that the page will show."""
        for finding in findings:
            room = self._room[finding.check]
            if not room or not finding.samples:
                continue
            shown = islice(self._usable(finding.samples), IN_A_GROUP if finding.values.get("together") else room)
            self._paths |= self._paths_of([number for name, number in shown if name not in self._paths])
            for names in _wanted(finding, (name for name, _ in self._usable(finding.samples)), room):
                self._room[finding.check] -= 1
                rows = {name: self._row(name) for name in names}
                number = len(self._made[finding.check]) + 1
                made = self._pool.submit(_pictures, finding, names, rows, self._tile_of, number)
                self._made[finding.check].append(made)

    def _row(self, name: str) -> Mapping[str, Any]:
        """The row of an image, with several labels as a person writes them."""
        row = self._rows[self._rows.number_of[name]]
        if self._rows.task != MULTILABEL or row["label"] is None:
            return row
        return {**row, "label": several_as_text(labels_in(row["label"]) or ())}

    def _usable(self, names: Iterable[str]) -> Iterator[tuple[str, int]]:
        """The images among these that can be shown, with their numbers."""
        for name in names:
            number = self._rows.number_of.get(name)
            if number is not None and self._rows.good[number]:
                yield name, number

    def of(self, check: str) -> list[Picture]:
        """The pictures of a check, in the order of its findings."""
        return [picture for made in self._made[check] for picture in made.result()]


def write_page(
    ctx: Context,
    rows: MeasuredRows,
    findings: Sequence[Finding],
    pictures: Pictures,
    others: str = "",
    atlas: Section | None = None,
    copies: Copies | None = None,
    not_run: Mapping[str, str] | None = None,
) -> None:
    """Write the page.

    Args:
        not_run: the checks that did not run on this task, each with the reason.
        others: a sentence about the files that the import skipped.
        atlas: the map of the images.
        copies: what was found by features.
    """
    from pipekit import page

    by_check: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_check[finding.check].append(finding)
    sections = [("overview", _overview(rows, by_check, others, copies, not_run or {}))]
    for check, found in ctx.track(by_check.items(), total=len(by_check), label="page", unit="checks"):
        sections.append((check, _section(ctx, check, found, pictures.of(check))))
    if atlas is not None:
        sections.append(("image_map", atlas))
    sections.append(("files", _files(rows)))
    errors, warnings = (_count_of(findings, severity) for severity in ("error", "warning"))
    top = _top(len(rows), errors, warnings, by_check)
    footer = "Nothing was changed. Made by pipekit inspect."
    text = page.render("Dataset inspection", sections, lead=_lead(by_check), footer=footer, top=top, folded=("files",))
    (ctx.out_dir / "inspect.html").write_text(text, encoding="utf-8", errors="replace")


def _top(number: int, errors: int, warnings: int, by_check: Mapping[str, Sequence[Finding]]) -> Top:
    """The number of findings in one sentence, and the command that lists images to leave out."""
    from pipekit.page import Top

    kinds = [
        f"{count:,} {kind}{'' if count == 1 else 's'}" for count, kind in ((errors, "error"), (warnings, "warning")) if count
    ]
    verdict = f"{number:,} image{'' if number == 1 else 's'}: {' and '.join(kinds) or 'no errors, no warnings'}"
    if not any(finding.values.get("remove") for found in by_check.values() for finding in found):
        return Top(verdict)
    step = "Check the pictures. To leave images out, write the list of duplicates and damaged files, and edit it:"
    return Top(verdict, next_step=step, command="pipekit inspect FOLDER --quarantine exclude.csv")


def _lead(by_check: Mapping[str, Sequence[Finding]]) -> str:
    """The kinds of findings with their number of images, the most severe first."""
    counts = [
        (_title(found), len({name for finding in found for name in finding.samples}))
        for found in by_check.values()
        if found[0].severity != "info"
    ]
    return ", ".join(f"{title} ({count:,})" if count else title for title, count in counts)


def _title(found: Sequence[Finding]) -> str:
    return found[0].check.replace("_", " ").capitalize()


def _count_of(findings: Sequence[Finding], severity: str) -> int:
    return sum(finding.severity == severity for finding in findings)


def _overview(
    rows: MeasuredRows,
    by_check: Mapping[str, Sequence[Finding]],
    others: str,
    copies: Copies | None,
    not_run: Mapping[str, str],
) -> Section:
    """The findings by their check, and the images of each class."""
    lines = [
        (_title(found), found[0].severity, len(found), len({name for finding in found for name in finding.samples}) or "all")
        for found in by_check.values()
    ]
    tables = [] if not lines else [Table(("check", "severity", "findings", "images"), tuple(lines), "Findings")]
    counts: Counter[tuple[str, str]] = Counter()
    for (split, label), count in rows.label_counts().items():
        counts[split, label or "(none)"] += count
    splits = sorted({split for split, _ in counts}, key=lambda name: ("train", "val", "test", "").index(name) if name else 9)
    classes = sorted({label for _, label in counts})
    names = tuple(split or "no split" for split in splits)
    tables.append(
        Table(
            ("class", *names, "all"),
            tuple((c, *(counts[s, c] for s in splits), sum(counts[s, c] for s in splits)) for c in classes[:MAX_LISTED]),
            "Images per class",
        )
    )
    words = "" if by_check else "Nothing wrong was found."
    if others:
        words = f"{words} The import {literal(others)}.".strip()
    words = f"{words} {_by_features(copies)}"
    if not_run:
        listed = "; ".join(f"{name} ({why or 'not supported yet'})" for name, why in not_run.items())
        words += f" Checks of classes that did not run on {TASKS[rows.task]}: {listed}."
    return Section("Overview", words.strip(), tables=tuple(tables))


def _files(rows: MeasuredRows) -> Section:
    """The formats, modes and sizes of the files."""
    sizes = _sizes(rows)
    tables = [
        Table((name, "images"), tuple(rows.tally(name, rows.good).most_common()), f"{name.capitalize()}s")
        for name in ("format", "mode")
    ]
    tables.append(Table(("size (px)", "images"), tuple(sizes.most_common(10)), f"The most frequent of {len(sizes):,} sizes"))
    return Section("Formats and sizes", "Which files are these?", tables=tuple(tables))


def _by_features(copies: Copies | None) -> str:
    if copies is None:
        return (
            "Features were not used: copies that are cropped, turned or recoloured, foreign images, suspected label "
            "errors, and classes that can't be told apart were not sought."
        )
    return (
        f"Features: {copies.compared:,} pairs of neighbours were compared, down to a similarity of {copies.limit:.2f}, and "
        f"{len(copies.copies):,} are copies; the most similar other pair has {copies.others:.2f}."
    )


def _sizes(rows: MeasuredRows) -> Counter[str]:
    """The number of images of each size, in the order of first appearance."""
    from pipekit.columnar import distinct

    width, height = (rows.numbers[name][rows.good] for name in ("width_px", "height_px"))
    base = int(height.max(initial=0)) + 1
    found, first, counts = distinct(width * base + height)
    return Counter({f"{found[n] // base} x {found[n] % base}": int(counts[n]) for n in first.argsort().tolist()})


def _section(ctx: Context, check: str, findings: Sequence[Finding], pictures: Sequence[Picture]) -> Section:
    listed: list[tuple[Any, ...]] = []
    words = next((one.summary for one in ctx.components("check") if one.name == check), "")
    for finding in findings:
        listed += [(name, finding.message) for name in finding.samples] or [("all", finding.message)]
    shown = listed[:MAX_LISTED]
    caption = f"The first {MAX_LISTED} of {len(listed):,}; inspect.json lists all" if len(listed) > MAX_LISTED else ""
    title = f"{_title(findings)} ({findings[0].severity})"
    return Section(title, words, tables=(Table(("image", "finding"), tuple(shown), caption),), pictures=tuple(pictures))


def _wanted(finding: Finding, usable: Iterable[str], room: int) -> list[list[str]]:
    """The images for each picture on the page: several of a group side by side, or one."""
    if finding.values.get("together"):
        group = list(islice(usable, IN_A_GROUP))
        return [group] if group else []
    return [[name] for name in islice(usable, room)]


def _tile(path: str, thumbnail_px: int) -> NDArray[np.uint8]:
    from pipekit import images
    from pipekit.images import draw

    image = images.read(path, at_least_hw=(thumbnail_px, thumbnail_px))
    near = max(image.shape[:2]) < 1.5 * thumbnail_px  # at this size, area means gain little and take long
    return draw.thumbnail(image, thumbnail_px, "linear" if near else "area")


def _pictures(
    finding: Finding,
    names: Sequence[str],
    rows: Mapping[str, Mapping[str, Any]],
    tile_of: Callable[[str], NDArray[np.uint8]],
    number: int,
) -> list[Picture]:
    """The pictures of a group with its number and the finding as their heading, or of one image."""
    from pipekit import images
    from pipekit.errors import ImageError

    tiles = {}
    for name in names:
        with contextlib.suppress(ImageError):  # deleted since it was measured
            tiles[name] = images.encode(tile_of(name), "jpg", quality=85)
    if finding.values.get("together"):
        more = len(finding.samples) - len(tiles)
        group = f"{number}. {finding.message}" + (f"; {more:,} more" if more else "")
        return [Picture(tile, name, f"{name}\n{_about(rows[name])}", group=group) for name, tile in tiles.items()]
    scores, captions = finding.values.get("scores", {}), finding.values.get("captions", {})
    return [
        Picture(
            tile,
            name,
            f"{name}\n{captions.get(name) or _about(rows[name])}",
            values={"spreads from the median": float(scores[name])} if name in scores else {},
        )
        for name, tile in tiles.items()
    ]


def _about(row: Mapping[str, Any]) -> str:
    parts = [f"{row['width_px']} x {row['height_px']}", f"{row['size_bytes'] / 1000:.0f} kB", row["split"], row["label"]]
    return ", ".join(part for part in parts if part)
