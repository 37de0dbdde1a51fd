"""``pipekit inspect``: what is in a folder of images, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli.loading import Disabled, Plugins
from pipekit.commands.working import registry_with

if TYPE_CHECKING:
    from pipekit.artifacts import Artifact
    from pipekit.registry.registry import Registry

FOUND = 1
"""The exit code when a check of ``--fail-on`` found something."""


def inspect(
    path: Annotated[str, typer.Argument(help="A folder, a file in a dataset's format, or a run")],
    importer: Annotated[
        str, typer.Option("--format", metavar="IMPORTER", help="How to read it; found by looking", show_default=False)
    ] = "",
    only: Annotated[str, typer.Option(metavar="CHECKS", help="Make these checks only", show_default=False)] = "",
    skip: Annotated[str, typer.Option(metavar="CHECKS", help="Leave these checks out", show_default=False)] = "",
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="CHECKS",
            help="Exit with code 1 when one of these found something; 'error' for all errors",
            show_default=False,
        ),
    ] = "",
    distance_bits: Annotated[int, typer.Option(min=0, max=15, metavar="N", help="How near near copies are, in bits of 64")] = 6,
    quarantine: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a CSV of images to leave out, for 'exclude' of import and split", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Put inspect.html and inspect.json there", show_default=False)
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many shards run at once")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print inspect.json and nothing else")] = False,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Look at every image once: files that can't be read, copies, the same image in two splits or under two labels, images that
    are dark, bright, blurred, empty or odd among the others. Nothing is changed or deleted.

    A second look at an unchanged folder reads no image.
    """
    from pipekit.cli.prestart import start_workers_for

    registry = registry_with(plugin, disable)
    start_workers_for(path, workers, registry.get("stage", "inspect").preload)
    from pipekit import ui
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.errors import UserError, did_you_mean
    from pipekit.passed_over import META, sentence

    adhoc = AdhocPipeline(settings={"workers": workers} if workers else {}, registry=registry)
    known = [component.name for component in adhoc.registry.components("check")]
    for name in (*_names(only), *_names(skip), *(name for name in _names(fail_on) if name != "error")):
        if name not in known:
            raise UserError(f"no check called {name!r}", did_you_mean(name, known) or f"There are: {', '.join(known)}")
    checks = [
        name for name in _in_order(adhoc.registry, known) if (not only or name in _names(only)) and name not in _names(skip)
    ]
    trusted: dict[str, Any] = {"verify": "none", "max_failed": 1.0}  # inspect looks at each file itself, once
    if importer:
        data = adhoc.add("data", f"import.{importer}", path=str(Path(path).expanduser().absolute()), **trusted)
    else:
        data = adhoc.dataset(path, **trusted)
    adhoc.add("inspect", "inspect", dataset=data, checks=checks, distance_bits=distance_bits)
    display = ui.run_display(quiet=True)
    with display:
        outcome = adhoc.run(_without_end(display))
    found = _read(outcome.artifact("inspect"))
    imported = [made.artifact.meta.get(META, {}) for made in outcome.stages if made.use.startswith("import.")]
    if imported:  # as it is now: a file that is no image does not make the page anew
        found[META] = imported[0]
    folder = _hand_over(outcome.artifact("inspect"), out)
    if quarantine is not None:
        _write_quarantine(quarantine, found)
    if as_json:
        ui.say_json(found)
    else:
        _show(found, folder, quarantine)
    for warning in (warning for made in outcome.stages for warning in made.warnings):
        ui.warn(warning)
    if not imported and (others := found.get(META)):  # a run's dataset, whose import is not among the stages
        ui.warn(sentence(others))
    failing = {line["check"] for line in found["summary"] if line["check"] in _names(fail_on)}
    if "error" in _names(fail_on):
        failing |= {line["check"] for line in found["summary"] if line["severity"] == "error"}
    if failing:
        ui.warn(f"--fail-on: {', '.join(sorted(failing))}")
    return FOUND if failing else 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _in_order(registry: Registry, known: list[str]) -> list[str]:
    """The checks in the stage's own order, then those of plugins."""
    usual = registry.get("stage", "inspect").params_type().model_fields["checks"].default
    return [*(name for name in usual if name in known), *(name for name in known if name not in usual)]


def _without_end(display: Any) -> Any:
    """A listener that shows progress and leaves the last word to this command."""

    def listen(event: str, **values: Any) -> None:
        if event not in ("run_finished", "failed_samples", "warning"):
            display(event, **values)

    return listen


def _read(artifact: Artifact) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads((artifact.path / "inspect.json").read_text("utf-8"))
    return found


def _hand_over(artifact: Artifact, out: Path | None) -> Path:
    """Where the page is: in the store, or copied to the folder that was asked for."""
    import shutil

    from pipekit.errors import UserError

    if out is None:
        return artifact.path
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("inspect.html", "inspect.json"):
            shutil.copyfile(artifact.path / name, out / f".{name}.part")
            (out / f".{name}.part").replace(out / name)
    except OSError as error:
        raise UserError(f"can't write to {out}: {error.strerror}") from error
    return out


def _write_quarantine(path: Path, found: dict[str, Any]) -> None:
    import csv
    import io

    from pipekit import ui

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    columns = ("id", "sha256", "match", "check", "reason")
    table.writerow(columns)
    seen = set()
    for entry in found["remove"]:
        if entry["id"] not in seen:
            seen.add(entry["id"])
            table.writerow([entry[column] for column in columns])
    ui.write_text(path, text.getvalue())


def _show(found: dict[str, Any], folder: Path, quarantine: Path | None) -> None:
    from pipekit import ui

    splits = found["counts"]
    classes = sorted({label for of in splits.values() for label in of})
    ui.say(ui.plural(found["num_images"], "image"))
    named = [split for split in ("train", "val", "test", "") if split in splits]
    if len(classes) <= 20:
        ui.table(
            ("class", *(split or "images" for split in named)),
            [(label or "(none)", *(f"{splits[split].get(label, 0):,}" for split in named)) for label in classes],
            right=range(1, len(named) + 1),
        )
    ui.say()
    styles = {"error": ui.BAD, "warning": ui.WARN, "info": ui.DIM}
    rows = []
    for line in found["summary"]:
        examples = next(f for f in found["findings"] if f["check"] == line["check"])
        what = examples["message"] + (f": {', '.join(examples['samples'][:2])}" if examples["samples"] else "")
        what += " …" if line["findings"] > 1 or len(examples["samples"]) > 2 else ""
        rows.append((line["check"], ui.coloured(line["severity"], styles[line["severity"]]), f"{line['images']:,}", what))
    if rows:
        ui.table(("check", "severity", "images", "such as"), rows, right=(2,))
    else:
        ui.say("Nothing wrong was found.")
    ui.say()
    ui.say(f"With pictures: {folder / 'inspect.html'}")
    if quarantine is not None:
        ui.say(f"{quarantine}: {len({entry['id'] for entry in found['remove']}):,} images to leave out")
