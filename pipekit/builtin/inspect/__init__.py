"""The stage ``inspect``: statistics of a dataset, and its problems. It reads only, and changes nothing."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from inspect import signature
from typing import Annotated, Any, ClassVar

from pipekit.contract import Artifact, Call, Context, Dataset, Finding, Params, Sample, Uses, param, stage
from pipekit.passed_over import META, in_key, sentence

CHECKS = (
    "corrupt",
    "leakage",
    "label_conflicts",
    "passed_over",
    "one_class",
    "narrow_range",
    "masks",
    "exact_duplicates",
    "near_duplicates",
    "wrong_extension",
    "cut_off",
    "dark",
    "bright",
    "blurred",
    "low_information",
    "odd_size",
    "odd_aspect",
    "imbalance",
    "missing_classes",
    "unlabelled",
    "orientation",
    "mixed_modes",
    "animated",
)
"""The default checks, in the order of the page."""

SEVERITIES = ("error", "warning", "info")

FEW_VALUES = frozenset({"label", "split", "suffix", "format", "mode"})

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Inspection(Artifact):
    """``inspect.html`` for people and ``inspect.json`` for programs."""

    kind: ClassVar[str] = "inspection"
    headline: ClassVar[tuple[str, ...]] = ("inspect.html", "inspect.json")


class InspectParams(Params):
    checks: tuple[Annotated[Call, Uses("check", key="check")], ...] = param(
        CHECKS, "The checks to run, each with its parameters"
    )
    distance_bits: int = param(
        6, "Largest Hamming distance of near duplicates' perceptual hashes, of 64", unit="bits", ge=0, le=15
    )
    max_shown: int = param(24, "Maximum number of images, or groups of images, on the page for each check", ge=0)
    thumbnail_px: int = param(180, "Longer side of the thumbnails on the page", unit="px", ge=32, le=1024)


@in_key
@stage
def inspect(ctx: Context, dataset: Dataset, params: InspectParams) -> Inspection:
    """Measure every image once, run the checks, write ``inspect.json`` and ``inspect.html``."""
    from pipekit.builtin.inspect.page import Pictures, write_page
    from pipekit.images.measuring import measure_image
    from pipekit.images.origins import Origins

    threading.Thread(target=_load_ahead, name="load").start()
    paths: dict[str, str] = {}
    origins = Origins()
    measured = ctx.map(measure_image, dataset, label="measuring", problems=True)
    rows = [_compact(_known(sample, paths) | row) for sample, row in zip(origins.watched(dataset), measured, strict=True)]
    _mark_copies(rows, origins.found())
    rows += _failed(dataset)
    _group(rows, params.distance_bits)
    findings: list[Finding] = []
    with Pictures(rows, paths, params.max_shown, params.thumbnail_px, ctx.workers) as pictures:
        for some in _findings(ctx, rows, params, dataset):
            findings += some
            pictures.begin(some)
        others = dataset.meta.get(META, {})
        found = _described(rows, findings) | {META: others}
        with (ctx.out_dir / "inspect.json").open("w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(found, file, indent=1, ensure_ascii=False, sort_keys=True)
            file.write("\n")
        write_page(ctx, rows, findings, pictures, sentence(others))
    facts = {"images": f"{len(rows):,}"} | {
        line["check"]: f"{line['images']:,}" for line in found["summary"] if line["severity"] != "info"
    }
    return ctx.artifact(Inspection, facts=facts, headline=_sentence(found))


def _known(sample: Sample, paths: dict[str, str]) -> dict[str, Any]:
    """What the dataset says of an image; records its path."""
    paths[sample.id] = sample.image
    suffix = os.path.splitext(sample.image)[1].lower()  # noqa: PTH122 (a name of any encoding)
    return {"id": sample.id, "label": sample.label, "split": sample.split, "sha256": sample.sha256, "suffix": suffix}


def _load_ahead() -> None:
    """Import what the page needs while other processes measure and this one waits."""
    from pipekit import page
    from pipekit.images import draw, near_duplicates  # noqa: F401

    page.load()


def _compact(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same row with shared objects for equal keys, and for texts with few different values.

    Each row that is read from JSON has its own keys: 60,000 rows would hold a million equal strings.
    """
    names = tuple(row)
    compact = dict(zip(_names.setdefault(names, names), row.values(), strict=True))
    for name in FEW_VALUES & compact.keys():
        if isinstance(compact[name], str):
            compact[name] = sys.intern(compact[name])
    return compact


_names: dict[tuple[str, ...], tuple[str, ...]] = {}
"""The few different sets of keys that rows have."""


def _failed(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """The images that failed in earlier stages, as rows."""
    for failure in dataset.failed():
        if failure.part_of:
            continue  # an annotation; the import's warning and failed.csv have it
        yield {"id": failure.id, "label": None, "split": "", "sha256": "", "suffix": "", "problem": failure.reason}


def _group(rows: list[dict[str, Any]], distance_bits: int) -> None:
    """Give rows of near duplicates the same ``group``."""
    from pipekit.images.near_duplicates import clusters, near_pairs

    good = [row for row in rows if "problem" not in row]
    first: dict[str, int] = {}
    pairs = [(first.setdefault(row["sha256"], number), number) for number, row in enumerate(good)]
    pairs += [(a, b) for a, b in near_pairs([row["print"] for row in good], distance_bits).tolist()]
    for row, group in zip(good, clusters(len(good), pairs), strict=True):
        row["group"] = group


def _mark_copies(rows: list[dict[str, Any]], origins: Sequence[int]) -> None:
    """Give rows of copies of one original the same ``origin``."""
    counts = Counter(origins)
    for row, origin in zip(rows, origins, strict=True):
        if counts[origin] > 1:
            row["origin"] = origin


def _findings(ctx: Context, rows: Rows, params: InspectParams, dataset: Dataset) -> Iterator[list[Finding]]:
    """The findings of all checks. A check that fails becomes a warning; the others still run."""
    for call in params.checks:
        found: list[Finding] = []
        try:
            check = call.load()
            more = {"dataset": dataset} if "dataset" in signature(check).parameters else {}
            for finding in check(rows, ctx, call.params, **more):
                found.append(finding)
        except Exception as error:
            ctx.warn(f"check {call.name!r} failed: {type(error).__name__}: {error}")
        yield found


def _described(rows: Rows, findings: Sequence[Finding]) -> dict[str, Any]:
    """The content of ``inspect.json``."""
    by_id = {row["id"]: row for row in rows}
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        if "problem" not in row:
            counts.setdefault(row["split"], Counter())[row["label"] or ""] += 1
    return {
        "num_images": len(rows),
        "num_unusable": sum("problem" in row for row in rows),
        "counts": {split: dict(sorted(of.items())) for split, of in sorted(counts.items())},
        "formats": _counted(rows, "format"),
        "modes": _counted(rows, "mode"),
        "measures": {name: _quantiles(rows, name) for name in MEASURES},
        "summary": summary(findings),
        "findings": [asdict(finding) for finding in findings],
        "remove": _proposed(findings, by_id),
    }


def _proposed(findings: Sequence[Finding], rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """What to leave out: any image of that content (``match`` is ``content``), or this image alone (``id``) where another
    image with the same content stays.
    """
    named = [(name, finding) for finding in findings for name in removed(finding) if name in rows]
    names = {name for name, _ in named}
    kept = {row["sha256"] for name, row in rows.items() if name not in names}
    return [
        {
            "id": name,
            "sha256": rows[name]["sha256"],
            "match": "id" if rows[name]["sha256"] in kept else "content",
            "check": finding.check,
            "reason": finding.message,
        }
        for name, finding in named
    ]


MEASURES = (
    "width_px",
    "height_px",
    "size_bytes",
    "dark_level",
    "bright_level",
    "contrast",
    "entropy_bits",
    "sharpness",
)


def _counted(rows: Rows, name: str) -> dict[str, int]:
    return dict(Counter(row[name] for row in rows if name in row).most_common())


def _quantiles(rows: Rows, name: str) -> dict[str, float]:
    values = sorted(float(row[name]) for row in rows if name in row)
    if not values:
        return {}
    return {str(share): values[round(share * (len(values) - 1))] for share in (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)}


def removed(finding: Finding) -> Sequence[str]:
    """The images that a finding proposes to leave out: those it names, else all images of an error or a warning."""
    if "remove" in finding.values:
        return list(finding.values["remove"])
    return [] if finding.severity == "info" else finding.samples


def summary(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """A line for each check with findings, most severe first: the number of findings and of images."""
    lines: dict[str, dict[str, Any]] = {}
    images: dict[str, set[str]] = {}
    for finding in findings:
        line = lines.setdefault(finding.check, {"check": finding.check, "severity": "info", "findings": 0})
        line["findings"] += 1
        line["severity"] = min(line["severity"], finding.severity, key=SEVERITIES.index)
        line["message"] = finding.message if line["findings"] == 1 else ""
        images.setdefault(finding.check, set()).update(finding.samples)
    for name, line in lines.items():
        line["images"] = len(images[name])
    return sorted(lines.values(), key=lambda line: SEVERITIES.index(line["severity"]))


def _sentence(found: Mapping[str, Any]) -> str:
    worst = [line for line in found["summary"] if line["severity"] != "info"]
    said = ", ".join(f"{line['check']} {line['images']:,}" for line in worst) or "nothing wrong was found"
    return f"{found['num_images']:,} images: {said}"
