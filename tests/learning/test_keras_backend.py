"""What the import of Keras leaves behind."""

from __future__ import annotations

import gc

import pytest

from pipekit.learning.keras_backend import without_collections


def made() -> list[list[int]]:
    """More objects than make the collector look for garbage."""
    return [[number] for number in range(5000)]


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_looked_for_during_the_import_and_the_setting_is_kept(enabled: bool) -> None:
    collected: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        collected.append(phase)

    before = gc.isenabled()
    gc.callbacks.append(note)
    (gc.enable if enabled else gc.disable)()
    try:
        with without_collections():
            kept = made()
        assert collected == []
        assert gc.isenabled() is enabled
        assert not any(one is kept for one in gc.get_objects(generation=0))
    finally:
        gc.callbacks.remove(note)
        (gc.enable if before else gc.disable)()


def test_what_was_made_can_still_be_collected_unless_a_program_froze_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for frozen, called in ((0, ["freeze", "unfreeze"]), (7, ["freeze"])):
        calls: list[str] = []
        monkeypatch.setattr(gc, "get_freeze_count", lambda frozen=frozen: frozen)
        monkeypatch.setattr(gc, "freeze", lambda calls=calls: calls.append("freeze"))
        monkeypatch.setattr(gc, "unfreeze", lambda calls=calls: calls.append("unfreeze"))
        with without_collections():
            pass
        assert calls == called
