"""Train again as a run did, on the same split, and measure the run's model again: before and after a change of the labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipekit.errors import UserError

NAMED = {"epochs": "--epochs", "seed": "--seed"}
"""Parameters of the training that have an option of their own; the others are set with ``--set``."""


def record_of(base: Path, run: str) -> dict[str, Any]:
    """The content of ``run.json``.

    Raises:
        UserError: there is none.
    """
    try:
        found: dict[str, Any] = json.loads((base / "runs" / run / "run.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"there is no run called {run!r}", "Reload the page.") from error
    return found


def measured_on(record: Mapping[str, Any], run: str) -> str:
    """The dataset on which a run's report was measured: ``runs/NAME:STAGE``; ``runs/NAME`` without a report."""
    for stage in reversed(record.get("stages", ())):
        if stage.get("use") == "evaluate" and (names := (stage.get("inputs") or {}).get("dataset")):
            return f"runs/{run}:{names if isinstance(names, str) else names[0]}"
    return f"runs/{run}"


def training_words(record: Mapping[str, Any], base: Path, registry: Any) -> list[str]:
    """The options of ``pipekit train`` with which a run without a pipeline file was trained, its split included.

    Raises:
        UserError: the run trained nothing, or several models: folds, seeds, a pipeline of other stages.
    """
    stages = {one.get("name", ""): one for one in record.get("stages", ())}
    trained = [one for one in stages.values() if one.get("use") == "train"]
    if record.get("file") or len(trained) != 1 or "split" not in stages or trained[0]["params"].get("cross_validate"):
        raise UserError(
            f"{record.get('name', 'the run')} is no single training of `pipekit train`",
            "Run its command or its pipeline file again under another name, then compare both here.",
        )
    params = dict(trained[0]["params"])
    model = dict(params.pop("model"))
    template = str(model.pop("template"))
    words = ["--model", template]
    words += _changed("model.", model, registry.get("model", template).params_type())
    size = params.pop("input_hw", None)
    if size:
        words += ["--input", f"{size[0]}x{size[1]}"]
    if params.pop("seed", None) is None and record.get("seed"):
        words += ["--seed", str(record["seed"])]
    words += _changed("", params, registry.get("stage", "train").params_type())
    return words + list(_split_words(stages["split"]["params"], base, registry))


def refuse_to_run_again(record: Mapping[str, Any], file: Path) -> None:
    """Raise UserError if a run of a pipeline file can't be compared with another one of the same file: the file does not read
    the decisions, or its split is not kept, so that images that were learned from could be tested."""
    from pipekit.commands.pipeline_edit import FILES, ignored_decisions

    ignored = [FILES[param] for param in ignored_decisions(file)]
    if ignored:
        raise UserError(f"{file.name} does not read {' and '.join(ignored)}", "A click on the page Train adds the lines.")
    splits = [one for one in record.get("stages", ()) if one.get("use") == "split"]
    if not all(one["params"].get("remember") for one in splits):
        raise UserError(f"{file.name} keeps no split (remember = false)", "Without it, images could change their side.")


def _changed(prefix: str, given: Mapping[str, Any], kind: Any) -> list[str]:
    """Options for the values that are not the default."""
    from pipekit.registry.param_rows import toml_text

    fields = kind.model_fields
    defaults = kind.model_construct().model_dump(mode="json", include=set(fields), warnings=False)
    words = []
    for name, value in given.items():
        if name not in fields or value is None or value == defaults.get(name):
            continue
        own = NAMED.get(name) if not prefix else None
        words += [own, str(value)] if own else ["--set", f"{prefix}{name}={toml_text(value)}"]
    return words


def _split_words(given: Mapping[str, Any], base: Path, registry: Any) -> Iterator[str]:
    """The same file of the split: images keep their side, so that both models are tested on the same ones."""
    values = {name: value for name, value in given.items() if name not in ("corrections", "exclude", "file", "folds", "fold")}
    yield from _changed("split.", values, registry.get("stage", "split").params_type())
    file = Path(str(given.get("file") or "split.csv"))
    file = file.relative_to(base.absolute()) if file.is_relative_to(base.absolute()) else file
    if file == Path("split.csv") and (base / file).is_file():  # the default then
        return
    yield from ("--set", f"split.file={json.dumps(file.as_posix())}")
