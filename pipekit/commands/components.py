"""List components, and describe the parameters of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.commands.working import registry_with
from pipekit.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from pipekit.contract import Slot
    from pipekit.engine.outcome import Listener
    from pipekit.registry.component import Component
    from pipekit.registry.param_rows import ParamRow


@dataclass(frozen=True)
class Described:
    """One component.

    Attributes:
        component: its ``kind``, ``name``, ``summary``, ``version`` and ``plugin``.
        params: its parameters with types, bounds, defaults and units.
        inputs: the inputs of a stage.
        output: the artifact kind of a stage's output.
    """

    component: Component
    params: tuple[ParamRow, ...]
    inputs: tuple[Slot, ...] = ()
    output: str = ""


def components(
    kind: str | None = None,
    *,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    listener: Listener | None = None,
) -> tuple[Component, ...]:
    """List stages, ops, models and other components.

    Args:
        kind: ``stage``, ``op``, ``recipe``, ``model``, ``importer`` ...: only that kind, with the members of families such as
            ``albu.*``. By default: every component, each family as one.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.
        listener: receives a ``warning`` for each family whose members can't be listed.

    Returns:
        Components with ``kind``, ``name``, ``summary``, ``version`` and ``plugin``.

    Raises:
        UserError: there is no such kind.

    Example:
        >>> import pipekit
        >>> [exporter.name for exporter in pipekit.components("exporter")][:3]  # doctest: +SKIP
        ['card', 'coco', 'csv']
    """
    registry = registry_with(plugins, disable)
    if kind is None:
        return tuple(registry)
    if kind not in registry.kinds:
        hint = did_you_mean(kind, registry.kinds) or f"There are: {', '.join(registry.kinds)}"
        raise UserError(f"no kind of component called {kind!r}", hint)
    try:
        return tuple(registry.components(kind, wildcards=True))
    except Exception as error:  # a family whose library is broken still has a name
        if listener is not None:
            message = f"the members of a family could not be listed: {type(error).__name__}: {error}"
            listener("warning", stage="", message=message)
        return tuple(registry.components(kind))


def component(kind: str, name: str, *, plugins: Sequence[str] | None = (), disable: Sequence[str] | None = ()) -> Described:
    """Describe one component: its parameters, and a stage's inputs and output.

    Args:
        kind: ``stage``, ``op``, ``recipe``, ``model``, ``importer`` ...
        name: its name, as in a pipeline file.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.

    Raises:
        UserError: there is no such component.

    Example:
        >>> import pipekit
        >>> [row.name for row in pipekit.component("op", "rotate").params][:1]  # doctest: +SKIP
        ['limit_deg']
    """
    from pipekit.registry.param_rows import param_rows

    registry = registry_with(plugins, disable)
    try:
        found = registry.get(kind, name)
    except UserError as error:
        raise _of_the_project(error, kind, name) from error
    rows = tuple(param_rows(found.params_type()))
    if found.kind != "stage":
        return Described(found, rows)
    contract = found.contract()
    return Described(found, rows, tuple(contract.slots), contract.output.kind)


def meanings(kind: str, plugins: Sequence[str] | None = (), disable: Sequence[str] | None = ()) -> dict[str, dict[str, str]]:
    """What the components of a kind say of themselves: name -> ``summary`` and ``text``, the docstring's first paragraph.

    The text of a component that can't be imported is "".
    """
    from inspect import getdoc

    found = {}
    for one in components(kind, plugins=plugins, disable=disable):
        try:
            text = (getdoc(one.load()) or "").partition("\n\n")[0]
        except Exception:  # a plugin's code: its summary is known all the same
            text = ""
        found[one.name] = {"summary": one.summary, "text": " ".join(text.replace("``", "").split()), "plugin": one.plugin}
    return found


def _of_the_project(error: UserError, kind: str, name: str) -> UserError:
    """The error, with a hint at a local plugin of this folder's pipeline file whose code has the name; it is not loaded."""
    from pipekit.params import parse_toml
    from pipekit.registry.trust import local_plugins

    try:
        listed = parse_toml(Path("pipeline.toml").read_text("utf-8")).get("plugins", [])
        texts = {one.name: one.path.read_text("utf-8") for one in local_plugins(listed, Path.cwd())}
    except (OSError, ValueError, TypeError):
        return error
    near = next((plugin for plugin, text in texts.items() if any(f"{mark}{name}{mark}" in text for mark in ("'", '"'))), "")
    if not near:
        return error
    hint = f"{near}, a plugin of pipeline.toml, has that name: pipekit components {kind} {name} --plugin {near}"
    return UserError(error.message, hint)
