"""Importers and exporters as stages: ``import.folders``, ``export.tfrecord``.

The author of a format writes ``read`` or ``write``; this module makes a stage of it. Importers hash and verify files in shards.
"""

from __future__ import annotations

import inspect
import itertools
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from pydantic import create_model

from pipekit.artifacts import CATEGORIES, CODECS, joined_categories, problem_of_sample
from pipekit.contract import (
    Adjusted,
    Artifact,
    Categories,
    ComponentLike,
    Context,
    Dataset,
    Failure,
    Files,
    InputPath,
    Params,
    Sample,
    SampleContext,
    Slot,
    StageContract,
    param,
)
from pipekit.corrected import Ledger, read_corrections
from pipekit.errors import PluginError, UserError
from pipekit.files import hash_file, own_output_below, unreadable_below
from pipekit.images import measuring
from pipekit.passed_over import META, joined, passed_over, sentence
from pipekit.quarantine import Exclusions, read_exclusions
from pipekit.registry.component import Component
from pipekit.registry.label_options import from_boxes, from_copies, ordered
from pipekit.registry.losses import losses, lost_names, lost_skeletons
from pipekit.registry.privacy import prepared, with_field
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, label_from, supported_by, supports, written

FIRST = 200
"""Samples that show whether a dataset has masks."""

MAX_SHOWN = 5
"""Maximum number of failures that an error lists."""


COMMON = ("path", "verify", "exclude", "corrections", "value_range", "order", "labels_from")
"""The parameters of every import."""


def import_stage(importer: Component) -> Any:
    """The stage ``import.<name>``: the importer's own parameters, and those that every import has (``COMMON``)."""
    reader: Any = importer.load()
    own = importer.params_type()
    name = "".join(word.title() for word in importer.name.replace("-", "_").split("_"))
    clash = [field for field in COMMON if field in own.model_fields]
    if clash:
        raise PluginError(
            f"importer {importer.name!r} of plugin {importer.plugin!r} may not have a parameter called {clash[0]!r}"
        )
    fields: dict[str, Any] = {
        "path": (InputPath, param(..., "The folder, file or archive to read")),
        "verify": (
            Literal["decode", "header", "none"],
            param("decode", "Verify each image: read and decode it, read its header, or trust it"),
        ),
        "exclude": (
            InputPath | None,
            param(None, "Exclude the images that this CSV lists by id or sha256 (inspect --quarantine)"),
        ),
        "corrections": (
            InputPath | None,
            param(None, "Change the labels of images, and leave images out, as this CSV says (pipekit corrections)"),
        ),
        "value_range": (
            tuple[float, float] | None,
            param(
                None,
                "Values of black and white in PNG and TIFF files of more than 8 bits: [0, 4095]; default: all 16 bits. "
                "Such images are written as 8-bit PNG",
            ),
        ),
        "labels_from": (
            Literal["source", "boxes", "copies"],
            param(
                "source",
                "Labels of the images: those of the source; boxes: the classes of an image's boxes, as several labels; copies: "
                "the classes of all files with the same content, as several labels of one image",
                in_key="changed",
            ),
        ),
        "order": (
            tuple[str, ...],
            param(
                (),
                'All classes from the lowest to the highest, if their order has a meaning: ["low", "mid", "high"]. '
                "`evaluate` then measures by how many classes predictions are wrong",
                in_key="changed",
            ),
        ),
    }
    params_type: type[Params] = create_model(
        f"Import{name}Params",
        __base__=own,
        __module__=own.__module__,
        __doc__=f"Parameters of import.{importer.name}.",
        **fields,
    )

    writes = "out_dir" in inspect.signature(reader.read).parameters

    def run(ctx: Context, params: Any) -> Dataset:
        excluded = read_exclusions(params.exclude) if params.exclude else Exclusions()
        ledger = Ledger(read_corrections(params.corrections) if params.corrections else (), excluded)
        failed: list[Failure] = []
        adjusted: dict[str, tuple[int, str]] = {}
        lists: list[dict[str, Any]] = []
        listed: dict[str, Any] = {}  # complete only after the last sample
        codecs: list[str] = []
        by_suffix = _plugins_codecs(ctx.components("codec"))
        changes = excluded or ledger or params.value_range or params.order or params.labels_from != "source"
        per_file = getattr(reader, "PER_FILE", False) and not changes
        amended = _amended(ctx, reader, params, tuple(by_suffix)) if per_file else None
        firsts: list[Sample] = []
        samples: Iterable[Sample]
        if amended is not None:
            samples = amended
        else:
            path = Path(params.path)
            found = reader.read(path, params, ctx.out_dir) if writes else reader.read(path, params)
            tracked = ctx.track(_checked(found, importer), label="listing", unit="images")
            samples = _sort_out(tracked, failed, adjusted, lists, listed, excluded.ids, ledger)
            samples = _watched(samples, by_suffix, codecs)
            if per_file:
                samples = _noticing(ctx, samples, failed, adjusted, codecs)
            firsts = list(islice(samples, FIRST))
            samples = itertools.chain(firsts, samples)
        first = firsts[0] if firsts else None
        # An importer that writes images itself must verify all of them, or none.
        own = first is not None and Path(first.image).is_relative_to(ctx.out_dir)
        if excluded.by_content:
            samples = _without(
                _hashed(samples) if own else ctx.map(known, samples, label="hashing", name="known"), excluded, own
            )
        if params.value_range:
            if params.value_range[0] >= params.value_range[1]:
                raise UserError(f"value_range = {list(params.value_range)}: black must be below white")
            from pipekit.images.value_range import RangeParams, rescale  # loads OpenCV, as the next ones do

            given = RangeParams(value_range=params.value_range)
            samples = ctx.map(rescale, _hashed(samples) if own else samples, given, label="scaling", name="value_range")
        if not own and _have_masks(firsts, ctx.out_dir):
            from pipekit.images.mask_checks import MaskParams, prepare

            colours = reader.colours_of(params) if hasattr(reader, "colours_of") else getattr(params, "colours", ())
            given_masks = MaskParams(colours=tuple(colours), strict=params.verify != "none")
            samples = ctx.map(prepare, samples, given_masks, label="verifying masks", name="prepared")
        facts: dict[str, str] = {}  # complete only after the last sample
        if ledger and params.labels_from != "boxes":
            samples = _corrected(samples, ledger, own, facts, getattr(params, "task", CLASSES))
        if params.labels_from == "boxes":
            samples = from_boxes(samples, listed)
            samples = _corrected(samples, ledger, own, facts, MULTILABEL) if ledger else samples
        elif params.labels_from == "copies":
            hashed = _hashed(samples) if own else ctx.map(known, samples, label="hashing", name="known")
            samples = from_copies(hashed, own)
        if params.order:
            samples = ordered(samples, params.order, listed)
        if params.verify != "none" and not own:
            check = measuring.measure_image if params.verify == "decode" else measuring.check_header
            samples = ctx.keep(check, samples, label="verifying")
        others = joined(
            passed_over(root, getattr(reader, "READS", None), [ctx.pipeline_file] if ctx.pipeline_file else [])
            for root in _folders_read(params)
        )
        further: dict[str, Any] = ({META: others} if others else {}) | ({"facts": facts} if ledger else {})
        made = ctx.dataset(samples, _drained(failed), **{CATEGORIES: listed, CODECS: codecs}, **further)
        if not len(made):
            count = made.meta["num_failed"]
            reasons = "".join(f"\n    {failure.id}: {failure.reason}" for failure in islice(made.failed(), MAX_SHOWN))
            hint = "Does 'exclude' name every image? " if excluded else ""
            hint += "Does 'corrections' remove every image? " if ledger else ""
            raise UserError(
                f"no usable image in {params.path}" + (f": all {count} of them failed{reasons}" if count else ""),
                f"{sentence(others)} {hint}".strip()
                + ("" if count else "`pipekit components importer` lists the formats that can be read."),
            )
        if written := own_output_below(Path(params.path)):
            ctx.warn(
                f"passed over below {params.path}, because pipekit wrote it: {', '.join(written[:MAX_SHOWN])}"
                f"{' …' if len(written) > MAX_SHOWN else ''}. To read such a folder, give it as the path itself"
            )
        for folder, reason in unreadable_below(Path(params.path))[:MAX_SHOWN]:
            ctx.warn(f"the folder {folder} can't be read ({reason}), so its images are missing; see: ls -ld {folder}")
        if others:
            ctx.warn(sentence(others))
        if clash := _renumbered(lists, listed):
            ctx.warn(clash)
        for warning in ledger.warnings(Path(params.corrections).name) if ledger else ():
            ctx.warn(warning)
        for how, (count, example) in adjusted.items():
            images = "1 image" if count == 1 else f"{count:,} images"
            ctx.warn(f"the annotations of {images} were {how}. For example: {example}")
        if annotations := [failure for failure in failed if failure.part_of]:
            ctx.warn(_unusable(annotations, f"pipekit stage import.{importer.name} --path {shlex.quote(str(params.path))}"))
        from pipekit.registry.cheap_checks import warnings_of

        asking = (
            importer.name
            if getattr(reader, "COPIES_MAY_BE_LABELS", False) and "labels_from" not in params.model_fields_set
            else ""
        )
        for warning in warnings_of(made, Path(params.path), asking):
            ctx.warn(warning)
        return made

    run.__doc__ = importer.summary
    return _stage(run, StageContract((), params_type, Dataset, False, importer.libraries, seeded=False))


def _amended(ctx: Context, reader: Any, params: Any, of_plugins: tuple[str, ...]) -> Iterable[Sample] | None:
    """The samples of the last run with what has changed since, by an importer that reads each file by itself.

    None too if a plugin's codec decodes a changed file: then the dataset has to name the codec.
    """
    path = Path(params.path)
    if not path.is_dir():
        return None
    layout = reader.layout_of(path, params)

    def sample_of(below: str) -> Any:
        return NotImplemented if below.lower().endswith(of_plugins) else reader.sample_of(below, path, layout)

    return ctx.amended("path", repr(layout), sample_of)


def _noticing(
    ctx: Context, samples: Iterable[Sample], failed: list[Failure], adjusted: Mapping[str, Any], codecs: list[str]
) -> Iterator[Sample]:
    """The samples; if some rows failed, were adjusted, or need a plugin's codec, the next run must find that anew."""
    yield from samples
    if failed or adjusted or codecs:
        ctx.amended("path", None, lambda below: None)


def _unusable(annotations: list[Failure], command: str) -> str:
    """What is said of annotations that can't be used; their images are kept. ``command`` makes a run that lists them."""
    first = min(annotations, key=lambda failure: failure.id)
    several = f"{len(annotations):,} annotations" if len(annotations) > 1 else "1 annotation"
    return (
        f"{several} can't be used and left out, but not the images. For example: {first.id}: {first.reason}. "
        f"The run's failed.csv lists all that was left out; where there is no run, {command} --name NAME makes one"
    )


def _folders_read(params: Params) -> list[Path]:
    """The folders that an importer reads, without those inside another one."""
    values = [getattr(params, name) for name in type(params).model_fields if name != "exclude"]
    found = dict.fromkeys(Path(value) for value in values if isinstance(value, InputPath) and value.is_dir())
    return [path for path in found if found.keys().isdisjoint(path.parents)]


def known(sample: Sample, params: Params, ctx: SampleContext) -> Iterator[Sample]:
    """Yield the sample as it is; by then the engine has hashed its file."""
    yield sample


def _checked(found: Any, importer: ComponentLike) -> Iterator[Any]:
    """What an importer yields.

    Raises:
        PluginError: it is nothing that an importer may yield.
    """
    who = f"importer {importer.name!r} of plugin {importer.plugin!r}"
    if not isinstance(found, Iterable):
        raise PluginError(f"{who} must yield samples; its `read` returned {type(found).__name__}")
    for item in found:
        if not isinstance(item, (Sample, Failure, Adjusted, Categories)):
            raise PluginError(f"{who} yielded {type(item).__name__}, expected a Sample or a Failure")
        if isinstance(item, Sample) and (problem := problem_of_sample(item)):
            raise PluginError(f"{who} yielded a sample that can't be a row: {problem}")
        yield item


def _sort_out(
    found: Iterable[Sample | Failure | Adjusted | Categories],
    failed: list[Failure],
    adjusted: dict[str, tuple[int, str]],
    lists: list[dict[str, Any]],
    listed: dict[str, Any],
    excluded: Collection[str],
    ledger: Ledger,
) -> Iterator[Sample]:
    """The samples; an image that failed for want of a label is one, if a correction labels it."""
    for item in found:
        if isinstance(item, Categories):
            lists.append({item.of: [entry.to_plain() for entry in item.entries]})
            continue
        if item.id in excluded:
            continue
        if isinstance(item, Failure) and item.image and not item.part_of and ledger.labels_one_without(item.id):
            yield Sample(item.id, item.image)
        elif isinstance(item, Failure):
            failed.append(item)
        elif isinstance(item, Adjusted):
            count, first = adjusted.get(item.how, (0, item.id))
            adjusted[item.how] = count + 1, min(first, item.id)
        else:
            yield item
    listed.update(joined_categories(lists))


def _hashed(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Add hashes to samples whose images the importer has written itself."""
    for sample in samples:
        yield sample if sample.sha256 else replace(sample, sha256=hash_file(sample.image))


def _without(samples: Iterable[Sample], excluded: Exclusions, own: bool) -> Iterator[Sample]:
    """Yield the samples that are not excluded; an excluded image that the importer wrote itself is removed."""
    for sample in samples:
        if not excluded.leaves_out(sample.id, sample.sha256):
            yield sample
        elif own:
            Path(sample.image).unlink(missing_ok=True)


def _corrected(samples: Iterable[Sample], ledger: Ledger, own: bool, facts: dict[str, str], task: str) -> Iterator[Sample]:
    """Yield the samples as a person corrected them; an image that the importer wrote itself and that is left out is removed.

    Args:
        task: what a correction gives an unlabelled image.
    """
    for sample in samples:
        before = written(sample)
        found = task
        if before is not None:
            found = MULTILABEL if sample.labels is not None else NUMBER if sample.label is None else CLASSES
        keep, label = ledger.settle(sample.id, before, lambda: sample.sha256 or hash_file(sample.image), found)  # noqa: B023
        if keep:
            changed = label is not None and label != before
            yield replace(sample, **label_from(str(label), found)) if changed else sample
        elif own:
            Path(sample.image).unlink(missing_ok=True)
    facts.update(ledger.facts())


def _have_masks(samples: Iterable[Sample], out_dir: Path) -> bool:
    """Whether there are masks that the importer has not written itself."""
    return any(sample.targets.mask and not Path(sample.targets.mask).is_relative_to(out_dir) for sample in samples)


def _plugins_codecs(codecs: Iterable[ComponentLike]) -> dict[str, str]:
    """The suffixes that plugins' codecs decode, with the codec's name."""
    return {
        suffix.lower(): codec.name for codec in codecs if hasattr(codec.load(), "decode") for suffix in codec.load().suffixes()
    }


def _watched(samples: Iterable[Sample], by_suffix: Mapping[str, str], found: list[str]) -> Iterator[Sample]:
    """Pass samples through, and add the names of the plugins' codecs that decode them to ``found``."""
    for sample in samples:
        name = by_suffix.get(os.path.splitext(sample.image)[1].lower()) if by_suffix else None  # noqa: PTH122
        if name is not None and name not in found:
            found.append(name)
        yield sample


def _drained(failed: list[Failure]) -> Iterator[Failure]:
    """Yield the list's items on request: it is complete only after the last sample."""
    yield from failed


def _renumbered(lists: list[dict[str, Any]], listed: dict[str, Any]) -> str:
    """The warning if two files of a source give a class different numbers; "" if they agree."""
    for of, entries in listed.items():
        numbers = {entry["name"]: entry.get("number") for entry in entries}
        for entry in (entry for one in lists for entry in one.get(of, ())):
            if (given := entry.get("number")) is not None and given != numbers[entry["name"]]:
                kept = numbers[entry["name"]]
                return (
                    f"the files of the source number their classes differently: {entry['name']!r} is {given} in one and "
                    f"{'taken by another class' if kept is None else kept} in another; the first file's numbers are kept"
                )
    return ""


def export_stage(exporter: Component) -> Any:
    """The stage ``export.<name>``: its input has the type that annotates ``write``'s ``artifact``, by default a dataset.

    Further arguments of ``write``, ``dataset: Dataset | None = None``, are optional inputs. A mapping that it
    returns, ``{"facts": ..., "headline": ...}``, is shown as the result of the run.
    """
    found = exporter.load()
    write: Any = getattr(found, "write", found)
    hints = get_type_hints(write)
    kind = hints.get("artifact", Dataset)
    if not (isinstance(kind, type) and issubclass(kind, Artifact)):
        raise PluginError(f"exporter {exporter.name!r} of plugin {exporter.plugin!r}: 'artifact' must be an Artifact class")
    slots = [Slot(kind.kind, kind)]
    for parameter in list(inspect.signature(write).parameters.values())[3:]:
        options = [option for option in get_args(hints.get(parameter.name)) if option is not type(None)]
        if parameter.default is not None or len(options) != 1 or not issubclass(options[0], Artifact):
            raise PluginError(
                f"exporter {exporter.name!r} of plugin {exporter.plugin!r}: {parameter.name!r} must be like "
                "'dataset: Dataset | None = None'"
            )
        slots.append(Slot(parameter.name, options[0], required=False))

    of_images = issubclass(kind, Dataset)

    def run(ctx: Context, params: Any, **inputs: Any) -> Files:
        main = inputs.pop(kind.kind)
        if of_images:
            main = prepared(ctx, main, params, found)
        carries = getattr(found, "CARRIES", None)
        if carries is not None:
            lost = losses(main, carries), lost_names(main, carries), lost_skeletons(main, carries)
            for said in filter(None, lost):
                ctx.warn(f"{exporter.name}: {said}")
        for said in getattr(found, "limits", lambda *_: ())(main, params):
            ctx.warn(f"{exporter.name}: {said}")
        made = write(main, ctx.out_dir, params, **inputs)
        if made is not None and not isinstance(made, Mapping):
            who = f"exporter {exporter.name!r} of plugin {exporter.plugin!r}"
            raise PluginError(f"{who} must return nothing or a dict of facts, and returned {type(made).__name__}")
        return ctx.artifact(Files, **(made or {}))

    supports(*supported_by(found))(run)
    run.__doc__ = exporter.summary
    params_type = with_field(exporter) if of_images else exporter.params_type()
    contract = StageContract(tuple(slots), params_type, Files, False, exporter.libraries, seeded=False)
    return _stage(run, contract)


def _stage(function: Any, contract: StageContract) -> Any:
    function.__pipekit_stage__ = contract
    return function
