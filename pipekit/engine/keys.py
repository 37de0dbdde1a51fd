"""Cache keys of stage runs, shards and kept features. Every key in the store is computed here.

A key identifies a result before it exists: two runs with equal keys would make equal bytes, so one of them is enough. It has
all that can change the bytes, and nothing else: no path, time, machine, executor, number of workers, shard size, or name
of a run or stage.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pipekit.artifacts import CODECS, Model
from pipekit.contract import Params, Shared
from pipekit.files import hash_file
from pipekit.params import canonical
from pipekit.passed_over import META, joined
from pipekit.pipeline.plan import PlannedStage
from pipekit.registry.component import Component
from pipekit.registry.release import HashFile, released_as
from pipekit.store.rows import digest, dumps
from pipekit.store.wholeness import FORMAT

KEY_FORMAT = FORMAT
"""Part of every key: the version of the store."""


class Versions:
    """Versions of distributions, looked up once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, distributions: Iterable[str]) -> dict[str, str]:
        from importlib.metadata import PackageNotFoundError, version

        for name in distributions:
            if name not in self._known:
                try:
                    self._known[name] = version(name)
                except PackageNotFoundError:
                    self._known[name] = "not installed"
        return {name: self._known[name] for name in sorted(distributions)}

    def of_component(self, component: Component) -> dict[str, str]:
        return self.of(component.libraries)


@dataclass(frozen=True)
class Keys:
    """The keys of one run.

    Attributes:
        seed: the pipeline's seed.
        content_of: the digest of the file or folder that an :class:`~pipekit.contract.InputPath` names.
        codecs: the codecs of plugins. Their versions are in the keys of imports, of functions that depend on images alone, and
            of stages whose datasets have images of their formats.
        hash_of: the hash of a file of a plugin's code.
        template: the template of a name, None if there is none. What reads a model may use the template's code.
    """

    seed: int
    content_of: Callable[[Path], str]
    codecs: Callable[[], Iterable[Component]] = tuple
    versions: Versions = field(default_factory=Versions)
    hash_of: HashFile = hash_file
    template: Callable[[str], Component | None] = lambda name: None

    def of_stage(self, stage: PlannedStage, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The parts of a stage run's key. ``inputs`` are artifacts, or tuples of them, by slot."""
        digests = {
            slot: [made.digest for made in found] if isinstance(found, tuple) else found.digest
            for slot, found in inputs.items()
            if found is not None
        }
        fingerprint = stage.contract.fingerprint
        outside: dict[str, Any] = {} if fingerprint is None else {"fingerprint": fingerprint(stage.params)}
        if getattr(stage.component.load(), "__pipekit_passed_over__", False):
            given = (one for found in inputs.values() for one in (found if isinstance(found, tuple) else (found,)))
            outside["passed_over"] = joined(one.meta.get(META, {}) for one in given if one is not None)
        loaders = self._loaders(inputs)
        if loaders:
            outside["loaders"] = [one.identity() for one in loaders]
        used = [*self._codecs(decoded_by(stage, inputs)), *loaders]
        return self._parts(stage, stage.params, stage.contract.seeded, used, inputs=digests, **outside)

    def of_map(
        self, stage: PlannedStage, function: Any, name: str, params: Params, decoded_by: Iterable[str] | None = ()
    ) -> dict[str, Any]:
        """The parts that the keys of all shards of one ``ctx.map`` share; see :func:`shard_key`.

        Args:
            name: identifies ``function`` in the key.
            decoded_by: what :func:`decoded_by` returns for the stage.
        """
        shared: Shared | None = getattr(function, "__pipekit_shared__", None)
        if shared is not None:
            found = self._common(params, shared.libraries, self._codecs(None), function)
            found |= {"function": _name_of(function), "version": shared.version}
            return cast("dict[str, Any]", json.loads(dumps(found)))
        seeded = stage.contract.seeded and getattr(function, "__pipekit_seeded__", True)
        return self._parts(stage, params, seeded, self._codecs(decoded_by), function, function=name)

    def _codecs(self, names: Iterable[str] | None) -> list[Component]:
        """The codecs of plugins whose versions are a part of a key; none if none decodes.

        Args:
            names: those that decode; None: all.
        """
        chosen = None if names is None else {*names}
        return [
            codec for codec in self.codecs() if (chosen is None or codec.name in chosen) and hasattr(codec.load(), "decode")
        ]

    def _loaders(self, inputs: Mapping[str, Any]) -> list[Component]:
        """The templates of plugins whose own code loads the given models, to predict with them."""
        given = (one for found in inputs.values() for one in (found if isinstance(found, tuple) else (found,)))
        found = [self.template(_template_of(one.path)) for one in given if isinstance(one, Model)]
        return [one for one in found if one is not None and _is_from_plugin(one) and hasattr(one.load(), "load")]

    def _parts(
        self,
        stage: PlannedStage,
        params: Params,
        seeded: bool,
        used: Iterable[Component],
        mapped: Any = None,
        **others: Any,
    ) -> dict[str, Any]:
        """The parts of every key, as JSON. A run's record keeps them, to report later what has changed."""
        parts = {
            **self._common(params, stage.component.libraries, [stage.component, *used], mapped),
            "stage": stage.component.identity(),
            "seed": self.seed if seeded else 0,
            **({"packed": True} if stage.packed else {}),
            **others,
        }
        return cast("dict[str, Any]", json.loads(dumps(parts)))

    def _common(self, params: Params, libraries: Iterable[str], used: Iterable[Component], function: Any) -> dict[str, Any]:
        """The parts of every key; among them the releases of the plugins of ``used``, ``function`` and what parameters name."""
        components = list(used)

        def versions_of(component: Component) -> dict[str, str]:
            components.append(component)
            return self.versions.of_component(component)

        found = {
            "format": KEY_FORMAT,
            "params": canonical(params, self.content_of, versions_of),
            "libraries": self.versions.of(libraries),
        }
        codecs = [[*one.identity(), self.versions.of_component(one)] for one in components if one.kind == "codec"]
        releases = {one.release.name: one.release.identity(self.hash_of) for one in components if one.release is not None}
        releases |= released_as(getattr(function, "__module__", None) or "", self.hash_of)
        return {
            **found,
            **({"codecs": sorted(codecs, key=dumps)} if codecs else {}),
            **({"plugins": releases} if releases else {}),
        }


def decoded_by(stage: PlannedStage, inputs: Mapping[str, Any]) -> Iterable[str] | None:
    """The codecs of plugins that decode images of a stage's datasets; None for an import, which does not know yet."""
    if stage.use.startswith("import."):
        return None
    given = (one for found in inputs.values() for one in (found if isinstance(found, tuple) else (found,)))
    return {name for one in given if one is not None for name in one.meta.get(CODECS, ())}


def _is_from_plugin(component: Component) -> bool:
    return component.release is not None or bool(component.source_digest)


def _template_of(folder: Path) -> str:
    """The name of a model's template; "" if it has none."""
    try:
        return str(json.loads((folder / "model.json").read_text(encoding="utf-8")).get("template") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _name_of(function: Any) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def key_of(parts: Mapping[str, Any]) -> str:
    """The key computed from ``parts``."""
    return digest(dumps(parts))


def shard_key(base: str, samples: str) -> str:
    """A shard's key. ``base`` is the text of :meth:`Keys.of_map`, ``samples`` the digest of what its samples contain."""
    return digest(base, samples)
