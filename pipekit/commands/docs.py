"""The verb ``docs``: a Markdown page for each kind of component, of everything that is installed, with pictures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import registry_with
from pipekit.errors import PipekitError, UserError
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

DRAWN = ("op", "recipe", "detector")
"""Kinds whose components have a picture."""

TILE_PX = 224
"""Longer side of an image on a picture."""

VARIANTS = 3
"""Number of variants that show what an op does."""

MOST_POINTS = 200
"""Maximum number of a detector's points that are drawn."""


@dataclass(frozen=True)
class Documented:
    """What `pipekit docs` wrote.

    Attributes:
        folder: it has ``index.md``, a page for each kind, and ``pictures/``.
        kinds: the kinds that have components.
        num_components: number of components on the pages.
        num_pictures: number of pictures.
        undrawn: for each op, recipe or detector without a picture: why.
        broken: components that can't be loaded, and why; the pages say so too.
    """

    folder: Path
    kinds: tuple[str, ...]
    num_components: int
    num_pictures: int
    undrawn: dict[str, str]
    broken: dict[str, str]


def docs(
    *,
    out: str | Path = "pipekit-docs",
    image: str | Path | None = None,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
) -> Documented:
    """Write Markdown pages about every component that is installed: a page for each kind, with summaries and parameters.

    Args:
        out: a new folder.
        image: an image with which ops, recipes and detectors are shown; None leaves the pictures out.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.

    Raises:
        UserError: the folder is not empty, there is no such image, or a plugin is broken.
        ImageError: the image can't be read.

    Example:
        >>> import pipekit
        >>> pipekit.docs(out="pages", image="cat.jpg").num_pictures  # doctest: +SKIP
        56
    """
    registry = registry_with(plugins, disable)
    drawer = None if image is None else Pictures(registry, Path(image))
    kinds: list[str] = []
    broken: dict[str, str] = {}
    count = 0
    with _new_folder(Path(out)) as folder:
        for kind in TITLES:
            found = registry.components(kind)
            if not found:
                continue
            kinds.append(kind)
            count += len(found)
            picture = None if drawer is None else drawer.into(folder / "pictures", "pictures")
            write_text(folder / f"{kind}.md", "\n".join(kind_page(registry, kind, picture=picture, broken=broken)) + "\n")
        write_text(folder / "index.md", "\n".join(index_page(registry, kinds)) + "\n")
    undrawn = {} if drawer is None else drawer.undrawn
    return Documented(Path(out), tuple(kinds), count, 0 if drawer is None else drawer.count, undrawn, broken)


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


# --- pictures ------------------------------------------------------------------------------------------------------------


class Pictures:
    """Draws what ops, recipes and detectors do with an image.

    Attributes:
        subject: the image, no larger than a tile.
        count: number of pictures so far.
        undrawn: why a component has none.

    Raises:
        UserError: there is no such image.
        ImageError: it can't be read.
    """

    def __init__(self, registry: Registry, image: Path) -> None:
        from pipekit.contract import Sample
        from pipekit.recipe.preview import subject_of

        if not image.is_file():
            raise UserError(f"no such image: {image}")
        self._registry = registry
        self.subject = subject_of(Sample(image.name, str(image)), TILE_PX)
        self.count = 0
        self.undrawn: dict[str, str] = {}

    def into(self, folder: Path, link: str) -> Callable[[Component], str]:
        """A function that writes a component's picture and returns Markdown that shows it."""

        def write(component: Component) -> str:
            if component.kind not in DRAWN or component.name.endswith(".*"):
                return ""
            from pipekit import images

            try:
                made = self._points(component) if component.kind == "detector" else self._variants(component)
            except Exception as error:  # a plugin's mistake leaves out its own picture alone
                said = str(error) if isinstance(error, PipekitError) else f"{type(error).__name__}: {error}"
                self.undrawn[f"{component.kind} {component.name}"] = said
                return ""
            name = f"{component.kind}-{component.name.replace(':', '-').replace('.', '-')}.jpg"
            folder.mkdir(exist_ok=True)
            (folder / name).write_bytes(images.encode(made, "jpg", 85))
            self.count += 1
            what = "points that it finds" if component.kind == "detector" else "an image and variants of it"
            return f"![{component.name}: {what}]({link}/{name})"

        return write

    def _variants(self, component: Component) -> Any:
        from pipekit.recipe import preview

        subject = self.subject
        ops = component.name if component.kind == "recipe" else [{"use": component.name}]
        params = self._registry.get("stage", "augment").params_type()
        asked: Any = self._registry.check_params(params, {"ops": ops, "size_hw": list(subject.image.shape[:2])})

        def compiled(calls: Sequence[Any]) -> Any:
            return asked.model_copy(update={"ops": tuple(calls)}).compiled()

        if component.kind == "op":
            (row,) = preview.each(asked.ops, compiled, subject, VARIANTS, seed=1)
        else:
            row = preview.variants(compiled(asked.ops), subject, VARIANTS, seed=1)
        return preview.sheet([row], columns=len(row))

    def _points(self, component: Component) -> Any:
        from pipekit import images
        from pipekit.contract import Keypoint
        from pipekit.keypoints.detection import features_of

        image = self.subject.image
        params = self._registry.check_params(component.params_type(), {})
        height, width = image.shape[:2]
        found = features_of(component.load()(image, params), (height, width), component.name)
        points = [Keypoint(float(x), float(y)) for x, y, _ in found.strongest(MOST_POINTS).points.tolist()]
        said = f"{len(found):,} points" + (f", the {MOST_POINTS} strongest drawn" if len(found) > MOST_POINTS else "")
        tiles = [image, images.draw_targets(image, keypoints=points)]
        return images.contact_sheet(tiles, [self.subject.id, said], columns=2, tile_px=TILE_PX)
