"""A built-in that makes something else has another version: pipekit's own version is in no key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipekit.registry.registry import Registry, load_registry
from tests.contract import digests
from tests.contract.outputs import FILE, output_of, outputs, problems


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(installed=False)


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def test_no_output_changed_without_another_version(registry: Registry, kept: dict[str, Any]) -> None:
    assert list(problems(kept, outputs(registry))) == []


def test_a_changed_output_is_found_unless_the_version_was_raised(kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load_registry(installed=False)
    component = registry.get("op", "invert")
    made, params_type = component.load(), component.params_type()
    changed = lambda image, params, rng: made(image, params, rng) // 2  # noqa: E731
    changed.__annotations__ = {"params": params_type}
    monkeypatch.setattr(component, "_loaded", changed)
    now = {**kept, "op invert": {"version": component.version, "output": output_of(registry, component)}}
    assert list(problems(kept, now)) == ["op invert makes something else: raise the version that it is registered with"]
    now["op invert"]["version"] += 1
    assert list(problems(kept, now)) == ["op invert has another version: python -m tests.contract.outputs"]
    assert list(problems(now, now)) == []


def test_no_names_and_texts_changed_without_another_version(tmp_path: Path) -> None:
    kept = json.loads(digests.FILE.read_text(encoding="utf-8"))
    now = digests.digests(load_registry(installed=False), tmp_path)
    found = list(problems(kept, now, "tests.contract.digests"))
    assert found == []
    kinds = {name.partition(" ")[0] for name in kept}
    assert kinds == {"check", "exporter", "importer", "report_section", "stage"}


def test_a_changed_row_of_an_importer_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = json.loads(digests.FILE.read_text(encoding="utf-8"))
    registry = load_registry(installed=False)
    component = registry.get("importer", "folders")
    rows = digests.rows_of(component, digests.EXAMPLES["folders"](tmp_path / "folders"), tmp_path)
    now = {**kept, "importer folders": {"version": component.version, "output": digests.digest_of(rows)}}
    assert list(problems(kept, now, "tests.contract.digests")) == []
    rows[0]["label"] = "other"
    now["importer folders"]["output"] = digests.digest_of(rows)
    wanted = "importer folders makes something else: raise the version that it is registered with"
    assert list(problems(kept, now, "tests.contract.digests")) == [wanted]
    now["importer folders"]["version"] += 1
    assert list(problems(kept, now, "tests.contract.digests")) == [
        "importer folders has another version: python -m tests.contract.digests"
    ]
