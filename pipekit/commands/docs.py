"""The verb ``docs``: a Markdown page for each kind of component, of everything that is installed, with pictures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.commands.docs_pictures import Pictures
from pipekit.commands.working import registry_with
from pipekit.errors import PipekitError, UserError, did_you_mean
from pipekit.files import write_text

if TYPE_CHECKING:
    from pipekit.contract import Slot
    from pipekit.registry.component import Component
    from pipekit.registry.param_rows import ParamRow
    from pipekit.registry.registry import Registry

TITLES = {
    "stage": "Stages",
    "op": "Ops",
    "recipe": "Recipes",
    "model": "Model templates",
    "loss": "Losses",
    "metric": "Metrics",
    "optimizer": "Optimizers",
    "schedule": "Schedules",
    "sampler": "Samplers",
    "search": "Searches",
    "callback": "Callbacks",
    "importer": "Importers",
    "exporter": "Exporters",
    "detector": "Detectors",
    "embedder": "Embedders",
    "projection": "Projections",
    "splitter": "Splitters",
    "check": "Dataset checks",
    "report_section": "Report sections",
    "compare_metric": "Comparison metrics",
    "codec": "Codecs",
    "executor": "Executors",
    "command": "Commands of plugins",
    "page": "Pages of the studio",
}
"""The title of each kind's page."""


@dataclass(frozen=True)
class Documented:
    """What `pipekit docs` wrote.

    Attributes:
        folder: it has ``index.md``, a page for each kind, and ``pictures/``.
        kinds: the kinds that have components.
        num_components: number of components on the pages.
        num_pictures: number of pictures.
        undrawn: components whose picture failed, and why.
        without: components of a kind with pictures that have none, and why; the pages say so too.
        broken: components that can't be loaded, and why; the pages say so too.
    """

    folder: Path
    kinds: tuple[str, ...]
    num_components: int
    num_pictures: int
    undrawn: dict[str, str]
    broken: dict[str, str]
    without: dict[str, str]


def docs(
    *,
    out: str | Path = "pipekit-docs",
    image: str | Path | None = None,
    kinds: Sequence[str] = (),
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
) -> Documented:
    """Write Markdown pages about every component that is installed: a page for each kind, with summaries and parameters.

    Args:
        out: a new folder.
        image: an image with which ops, recipes, detectors and checks are shown; None leaves all pictures out, also those of
            models and report sections.
        kinds: kinds of components to write pages about; all by default.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.

    Raises:
        UserError: the folder is not empty, there is no such image or kind, or a plugin is broken.
        ImageError: the image can't be read.

    Example:
        >>> import pipekit
        >>> pipekit.docs(out="pages", image="cat.jpg").num_pictures  # doctest: +SKIP
        96
    """
    registry = registry_with(plugins, disable)
    drawer = None if image is None else Pictures(registry, Path(image))
    unknown = [kind for kind in kinds if kind not in TITLES]
    if unknown:
        raise UserError(
            f"no kind called {unknown[0]!r}", did_you_mean(unknown[0], tuple(TITLES)) or f"There are: {', '.join(TITLES)}"
        )
    shown: list[str] = []
    broken: dict[str, str] = {}
    count = 0
    with _new_folder(Path(out)) as folder:
        for kind in TITLES:
            found = registry.components(kind)
            if not found or (kinds and kind not in kinds):
                continue
            shown.append(kind)
            count += len(found)
            picture = None if drawer is None else drawer.into(folder / "pictures", "pictures")
            write_text(folder / f"{kind}.md", "\n".join(kind_page(registry, kind, picture=picture, broken=broken)) + "\n")
        write_text(folder / "index.md", "\n".join(index_page(registry, shown)) + "\n")
    num_pictures, undrawn, without = (0, {}, {}) if drawer is None else (drawer.count, drawer.undrawn, drawer.without)
    return Documented(Path(out), tuple(shown), count, num_pictures, undrawn, broken, without)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place at the end: it appears whole or not at all.

    Raises:
        UserError: there is something at ``out``, or it can't be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not empty; nothing was written", "Choose another folder, or remove it.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise UserError(f"can't write {out}: {error.strerror}") from error
    try:
        yield made
        made.chmod(0o755)
        made.replace(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)


# --- pages ---------------------------------------------------------------------------------------------------------------


def index_page(registry: Registry, kinds: Iterable[str]) -> Iterator[str]:
    """Links to the pages, and the plugins whose components they list."""
    yield "# What is installed\n"
    for kind in kinds:
        yield f"- [{TITLES[kind]}]({kind}.md): {len(registry.components(kind))}"
    yield "\n| plugin | version | state |"
    yield "|---|---|---|"
    for record in registry.plugins:
        yield f"| {cell(record.name)} | {cell(record.version or '')} | {cell(record.reason or record.status)} |"


def kind_page(
    registry: Registry,
    kind: str,
    more: Callable[[Component], str] | None = None,
    picture: Callable[[Component], str] | None = None,
    broken: dict[str, str] | None = None,
) -> Iterator[str]:
    """All components of a kind, each with its parameters.

    Args:
        more: Markdown below a component's summary; "" adds none.
        picture: the same, below that.
        broken: receives the components that can't be loaded, and why.
    """
    yield f"# {TITLES[kind]}\n"
    found = registry.components(kind)
    if not found:
        yield "None in the box."
    for component in found:
        yield f"## {component.name}\n"
        try:
            yield from list(_about(component, more, picture))
        except PipekitError as error:  # of a plugin: its component is listed, and the others are described
            yield f"Can't be loaded: {cell(str(error))}\n"
            if broken is not None:
                broken[f"{kind} {component.name}"] = str(error)


def _about(
    component: Component, more: Callable[[Component], str] | None, picture: Callable[[Component], str] | None
) -> Iterator[str]:
    """What stands below a component's heading."""
    yield f"{cell(summary_of(component))}.\n"
    for part in (more, picture):
        if part is not None and (text := part(component)):
            yield f"{text}\n"
    if component.kind == "stage":
        contract = component.contract()
        takes = ", ".join(slot_text(slot) for slot in contract.slots) or "nothing"
        yield f"Takes: {takes}. Makes: `{contract.output.kind}`.\n"
    yield from params_table(rows_of(component))


def summary_of(component: Component) -> str:
    """Its summary, or the first line of its docstring."""
    from pipekit.registry.component import first_line

    return (component.summary or first_line(component.load())).rstrip(".")


def rows_of(component: Component) -> list[ParamRow]:
    """Its parameters; a family such as ``albu.*`` has none."""
    from pipekit.registry.param_rows import param_rows

    return [] if component.name.endswith(".*") else param_rows(component.params_type())


def params_table(rows: list[ParamRow]) -> Iterator[str]:
    """Parameters with their types, defaults and descriptions."""
    if not rows:
        return
    yield "| parameter | type | default | what it is |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| `{row.name}` | {cell(row.details)} | `{cell(row.default)}` | {cell(row.description)} |"
    yield ""


def slot_text(slot: Slot) -> str:
    """An input of a stage: its name, its artifact, whether it may be left out."""
    notes = [*(["several"] if slot.many else []), *([] if slot.required else ["may be left out"])]
    return f"`{slot.name}` ({', '.join([slot.artifact.kind, *notes])})"


def cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
