"""Keys: what a stage run, a shard or kept features are made from."""

from __future__ import annotations

from collections.abc import Iterable

from pipekit.registry.component import Component


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
