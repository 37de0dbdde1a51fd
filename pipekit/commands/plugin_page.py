"""A page that a plugin brings to the studio: its function, called for one image with the values of its form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pipekit.artifacts import Sample
from pipekit.commands.browse import Catalog, Source, open_catalog
from pipekit.commands.working import registry_with
from pipekit.errors import PipekitError, StageError, UserError
from pipekit.findings import StudioContext, problem_of_section


def pages_of(registry: Any) -> list[dict[str, str]]:
    """The pages of plugins. Where two plugins have one name, both have their qualified names: ``acme:edges``."""
    return [
        {"name": one.reference, "shown": one.name.replace("_", " ").capitalize(), "summary": one.summary}
        for one in registry.components("page")
    ]


def described_page(registry: Any, name: str) -> dict[str, Any]:
    """One page with the JSON Schema of its parameters. Raises UserError if there is none."""
    found = registry.get("page", name)
    params = found.params_type().model_json_schema().get("properties", {})
    return {"name": found.reference, "summary": found.summary, "plugin": found.plugin, "params": params}


@lru_cache(maxsize=2)
def _registry(plugins: tuple[str, ...], disable: tuple[str, ...]) -> Any:
    return registry_with(plugins, disable)


_opened: dict[str, Catalog] = {}


def _catalog(source: Source, digest: str, registry: Any) -> Catalog:
    """The dataset of a digest, opened once in this process.

    Raises:
        UserError: its images have changed.
    """
    if digest not in _opened:
        found = open_catalog(source, registry)
        _opened.clear()
        _opened[found.digest] = found
    if digest not in _opened:
        raise UserError("the images have changed", "Reload the page.")
    return _opened[digest]


def show_page(
    name: str,
    params: Mapping[str, Any],
    source: Source,
    digest: str,
    row: int,
    labels: Mapping[str, str],
    plugins: tuple[str, ...] = (),
    disable: tuple[str, ...] = (),
) -> dict[str, str]:
    """Call a page; returns its title and its content as HTML.

    Args:
        digest: of the dataset that is open.
        row: of the chosen image.
        labels: id -> corrected label.

    Raises:
        UserError: a parameter is wrong (the message names all), or there is no such page.
        StageError: the page failed, or returned something else than a Section; the message names its plugin.
    """
    from pipekit.page import body

    registry = _registry(plugins, disable)
    component = registry.get("page", name)
    asked = registry.check_params(component.params_type(), dict(params))
    context = context_of(_catalog(source, digest, registry), row, labels)
    call = component.load()
    who = f"page {component.name!r} of plugin {component.plugin!r}"
    try:
        made = call(context, asked) if _takes_params(call) else call(context)
    except PipekitError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise StageError(f"{who} failed: {text}", "pipekit plugins check tries it, and --debug shows where.") from error
    if wrong := problem_of_section(made):
        raise StageError(f"{who}: {wrong}")
    return {"title": made.title, "html": body(made)} if made is not None else {"title": "", "html": ""}


def _takes_params(call: Any) -> bool:
    import inspect

    return "params" in inspect.signature(call).parameters


def context_of(catalog: Catalog, row: int, labels: Mapping[str, str]) -> StudioContext:
    """What a page receives."""

    def read(ids: Iterable[str]) -> Mapping[str, Sample]:
        wanted = list(ids)
        unknown = next((one for one in wanted if one not in catalog.rows), None)
        if unknown is not None:
            raise UserError(f"no image called {unknown!r}")
        found = catalog.read([catalog.rows[one] for one in wanted])
        return {one: _corrected(found[catalog.rows[one]], labels) for one in wanted}

    given: Sequence[str | None] = catalog.categories["label"].tolist()
    known = [labels.get(identity, label) for identity, label in zip(catalog.ids, given, strict=True)] if labels else given
    return StudioContext(_corrected(catalog.read([row])[row], labels), catalog.ids, known, read)


def _corrected(sample: Sample, labels: Mapping[str, str]) -> Sample:
    from dataclasses import replace

    return replace(sample, label=labels[sample.id]) if sample.id in labels else sample
