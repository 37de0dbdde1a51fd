"""The stage ``inspect``: statistics of a dataset, and its problems. It reads only, and changes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pipekit.columnar import columns_of
from pipekit.contract import Artifact, Call, Context, Dataset, Embeddings, Finding, Params, Uses, param, stage
from pipekit.findings import SEVERITIES, problem_of_finding
from pipekit.passed_over import META, in_key, sentence
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, TASKS, reasons_of, supported_by, supports

if TYPE_CHECKING:
    from pipekit.builtin.inspect.measured import MeasuredRows
    from pipekit.builtin.inspect.sight import Sight
    from pipekit.contract import Section

CHECKS = (
    "corrupt",
    "leakage",
    "label_conflicts",
    "group_names",
    "passed_over",
    "one_class",
    "similar_names",
    "narrow_range",
    "masks",
    "shortcuts",
    "suspected_labels",
    "alike_classes",
    "exact_duplicates",
    "near_duplicates",
    "foreign",
    "wrong_extension",
    "cut_off",
    "dark",
    "bright",
    "blurred",
    "low_information",
    "odd_size",
    "odd_aspect",
    "imbalance",
    "co_occurrence",
    "outlying_numbers",
    "missing_classes",
    "unlabelled",
    "orientation",
    "mixed_modes",
    "animated",
)
"""The default checks, in the order of the page."""


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
    projection: Annotated[Call, Uses("projection")] = param(
        "tsne", "How the map of the images is made of their features: its name, or a table with its parameters"
    )


@supports(CLASSES, MULTILABEL, NUMBER)
@in_key
@stage
def inspect(ctx: Context, dataset: Dataset, params: InspectParams, embeddings: Embeddings | None = None) -> Inspection:
    """Measure every image once, run the checks, write ``inspect.json`` and ``inspect.html``.

    With ``embeddings`` of these images, the checks also see them by their features, and the page has a map of them.
    """
    import numpy as np

    from pipekit.builtin.inspect.measured import measured_rows, sample_columns
    from pipekit.builtin.inspect.page import Pictures, write_page
    from pipekit.images.measuring import measure_image, measured_columns
    from pipekit.images.near_duplicates import Indices, Prints
    from pipekit.images.recalled_pairs import recalled_pairs
    from pipekit.images.symmetric_copies import in_words

    words: dict[tuple[int, int], str] = {}

    def near(prints: Prints) -> Indices:
        pairs, symmetric = recalled_pairs(ctx, prints, params.distance_bits)
        for first, second in symmetric.tolist():
            if said := in_words(prints, first, second):
                words[first, second] = said
        return np.concatenate([pairs, symmetric])

    threading.Thread(target=_load_ahead, name="load").start()
    measured = columns_of(ctx.map(measure_image, dataset, label="measuring", problems=True), measured_columns)
    samples = columns_of(dataset, sample_columns)
    sight = _sight(ctx, dataset, embeddings)
    copies = sight.copies if sight is not None else None
    rows, order = measured_rows(samples, measured, list(_failed(dataset)), near, words, copies)
    rows = replace(rows, task=dataset.task)

    def paths(numbers: Iterable[int]) -> dict[str, str]:
        """The paths of images of the dataset, by id."""
        own = {int(order[number]): number for number in numbers if number < len(order)}
        return {rows.ids[own[place]]: sample.image for place, sample in samples.rows(own).items()}

    findings: list[Finding] = []
    with Pictures(rows, paths, params.max_shown, params.thumbnail_px, ctx.workers) as pictures:
        for some in _findings(ctx, rows, params, {"dataset": dataset, "features": sight}):
            findings += some
            pictures.begin(some)
        not_run = _not_run(params, dataset.task)
        others = dataset.meta.get(META, {})
        found = _described(rows, findings) | {META: others, "features": _features(sight, embeddings)}
        with (ctx.out_dir / "inspect.json").open("w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(found, file, indent=1, ensure_ascii=False, sort_keys=True)
            file.write("\n")
        atlas = _atlas(ctx, rows, params, sight, findings, paths)
        write_page(ctx, rows, findings, pictures, sentence(others), atlas=atlas, copies=copies, not_run=not_run)
    facts = {"images": f"{len(rows):,}"} | {
        line["check"]: _extent(line) for line in found["summary"] if line["severity"] != "info"
    }
    return ctx.artifact(Inspection, facts=facts, headline=_sentence(found))


def _sight(ctx: Context, dataset: Dataset, embeddings: Embeddings | None) -> Sight | None:
    if embeddings is None:
        return None
    from pipekit.builtin.inspect.sight import Sight
    from pipekit.learning.embeddings import embedded_of

    return Sight(ctx, dataset, embedded_of(ctx, embeddings, dataset))


def _features(sight: Sight | None, embeddings: Embeddings | None) -> dict[str, Any] | None:
    """The embedder, and the limit of near duplicates; None without features."""
    if sight is None or embeddings is None:
        return None
    from pipekit.learning.embeddings import embedder_of

    name = embedder_of(embeddings)["embedder"]
    return {"embedder": name, "images": len(sight.embedded), "near_copies": sight.copies.facts()}


def _atlas(
    ctx: Context,
    rows: MeasuredRows,
    params: InspectParams,
    sight: Sight | None,
    findings: Sequence[Finding],
    paths: Any,
) -> Section | None:
    """The map of the images; None without features."""
    if sight is None:
        return None
    from pipekit.builtin.inspect.atlas import map_section

    return map_section(ctx, rows, sight.embedded, findings, paths, params.projection)


def _load_ahead() -> None:
    """Import what the page needs while other processes measure and this one waits."""
    from pipekit import page
    from pipekit.images import draw, near_duplicates  # noqa: F401

    page.load()


def _failed(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """The images that failed in earlier stages, with the reason."""
    for failure in dataset.failed():
        if not failure.part_of:  # else an annotation; the import's warning and failed.csv have it
            yield failure.id, failure.reason


def _not_run(params: InspectParams, task: str) -> dict[str, str]:
    """The checks of classes that do not run on another task, each with the reason why it has no meaning there; "" for none."""
    checks = {call.name: call.load() for call in params.checks}
    return {
        name: reasons_of(check).get(task, "")
        for name, check in checks.items()
        if task not in supported_by(check) and CLASSES in supported_by(check)
    }


def _findings(ctx: Context, rows: MeasuredRows, params: InspectParams, more: Mapping[str, Any]) -> Iterator[list[Finding]]:
    """The findings of all checks. A check that fails becomes a warning; the others still run. So does a wrong finding."""
    task = more["dataset"].task
    if unsupported := ", ".join(name for name, why in _not_run(params, task).items() if not why):
        ctx.warn(f"these checks do not support {TASKS[task]} yet and did not run: {unsupported}")
    for call in params.checks:
        if task not in supported_by(call.load()):
            continue
        found: list[Finding] = []
        wrong: list[str] = []
        try:
            check = call.load()
            asked = signature(check).parameters
            for finding in check(rows, ctx, call.params, **{name: given for name, given in more.items() if name in asked}):
                problem = problem_of_finding(finding, rows.number_of.__contains__)
                wrong += [problem] if problem else []
                found += [] if problem else [finding]
        except Exception as error:
            ctx.warn(f"check {call.name!r} of plugin {call.component.plugin!r} failed: {type(error).__name__}: {error}")
        if wrong:
            count = "a finding" if len(wrong) == 1 else f"{len(wrong)} findings"
            ctx.warn(f"{count} of check {call.name!r} of plugin {call.component.plugin!r} left out: {wrong[0]}")
        yield found


def _described(rows: MeasuredRows, findings: Sequence[Finding]) -> dict[str, Any]:
    """The content of ``inspect.json``."""
    counts: dict[str, dict[str, int]] = {}
    for (split, label), count in rows.label_counts().items():
        of_split = counts.setdefault(split, {})
        of_split[label] = of_split.get(label, 0) + count
    return {
        "num_images": len(rows),
        "num_unusable": len(rows.problems),
        "counts": {split: dict(sorted(of.items())) for split, of in sorted(counts.items())},
        "formats": dict(rows.tally("format").most_common()),
        "modes": dict(rows.tally("mode").most_common()),
        "measures": {name: _quantiles(rows, name) for name in MEASURES},
        "summary": summary(findings),
        "findings": [{one.name: getattr(finding, one.name) for one in fields(finding)} for finding in findings],
        "label_errors": _suspects(findings, rows),
        "remove": _proposed(findings, rows),
    }


def _suspects(findings: Sequence[Finding], rows: MeasuredRows) -> list[dict[str, Any]]:
    """The suspected label errors, with the file's hash, so that `pipekit corrections from` can make lines of them."""
    listed = [row for finding in findings for row in finding.values.get("suspects", ())]
    numbers = rows.number_of
    return [{**row, "sha256": rows.sha256(numbers[row["id"]])} if row["id"] in numbers else row for row in listed]


def _proposed(findings: Sequence[Finding], rows: MeasuredRows) -> list[dict[str, str]]:
    """What to leave out: any image of that content (``match`` is ``content``), or this image alone (``id``) where another
    image with the same content stays.
    """
    named = [(name, finding) for finding in findings for name in removed(finding) if name in rows.number_of]
    if not named:
        return []
    numbers = rows.number_of
    leaving = {numbers[name] for name, _ in named}
    kept = {content for number, content in enumerate(rows.contents.tolist()) if number not in leaving}
    return [
        {
            "id": name,
            "sha256": rows.sha256(numbers[name]),
            "match": "id" if int(rows.contents[numbers[name]]) in kept else "content",
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


def _quantiles(rows: MeasuredRows, name: str) -> dict[str, float]:
    values = rows.numbers[name][rows.good]
    if not len(values):
        return {}
    places = {share: round(share * (len(values) - 1)) for share in (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)}
    ordered = values.copy()
    ordered.partition(sorted(set(places.values())))
    return {str(share): float(ordered[place]) for share, place in places.items()}


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


def _extent(line: Mapping[str, Any]) -> str:
    """How many images a check found. Findings about the whole dataset, such as a shortcut, name none: they are counted."""
    if line["images"]:
        return f"{line['images']:,}"
    return "1 finding" if line["findings"] == 1 else f"{line['findings']:,} findings"


def _sentence(found: Mapping[str, Any]) -> str:
    worst = [line for line in found["summary"] if line["severity"] != "info"]
    said = ", ".join(f"{line['check']} {_extent(line)}" for line in worst) or "nothing wrong was found"
    return f"{found['num_images']:,} images: {said}"
