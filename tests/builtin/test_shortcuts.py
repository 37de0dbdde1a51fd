"""The check ``shortcuts``: files that predict the class without the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.builtin.inspect.checks.shortcuts import ShortcutsParams, shortcuts
from pipekit.contract import Finding
from pipekit.images.jpeg_quality import jpeg_quality
from pipekit.images.statistics import measures
from pipekit.rng import rng_for
from tests.builtin.test_inspect import crops, row


class Seeded:
    """As much of a context as the check needs."""

    def rng(self, *parts: str) -> Any:
        return rng_for(0, *parts)


def found(rows: list[dict[str, Any]], **params: Any) -> list[Finding]:
    context: Any = Seeded()
    return list(shortcuts(rows, context, ShortcutsParams(**params)))


def rows_of(number: int, **properties: Callable[[Any, str], Any]) -> list[dict[str, Any]]:
    """Two classes of so many images; each property is ``draw(rng, label)``."""
    rng = rng_for(1)
    rows = []
    for place in range(2 * number):
        label = "ab"[place % 2]
        drawn = {name: draw(rng, label) for name, draw in properties.items()}
        rows.append(row(f"{place:04}", label=label, **{"jpeg_quality": 90, "border_level": -1.0, **drawn}))
    return rows


def drawn_quality(rng: Any, label: str) -> int:
    return int(rng.integers(60, 96))


PLANTED: dict[str, tuple[dict[str, Any], str]] = {
    "format": ({"format": lambda rng, label: {"a": "PNG", "b": "JPEG"}[label]}, "format is PNG: 100 % a"),
    "size": ({"width_px": lambda rng, label: int(rng.integers(90, 110)) + 40 * (label == "b")}, "width / height up to"),
    "mode": ({"mode": lambda rng, label: {"a": "L", "b": "RGB"}[label]}, "mode is L: 100 % a"),
    "quality": ({"jpeg_quality": lambda rng, label: int(rng.integers(60, 70)) + 20 * (label == "a")}, "JPEG quality above"),
    "border": ({"border_level": lambda rng, label: 255.0 if label == "a" else -1.0}, "plain border"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_shortcut_is_named_with_its_rule(name: str) -> None:
    values, rule = PLANTED[name]
    (finding,) = found(rows_of(60, **{"jpeg_quality": drawn_quality, **values}))
    assert finding.severity == "warning"
    assert rule in finding.message
    assert finding.values["low"] > 0.9


def test_what_a_share_of_the_images_has_is_weighed_against_chance() -> None:
    """The quality is that of the class for so many of a hundred images."""

    def of_share(share: float) -> list[Finding]:
        def quality(rng: Any, label: str) -> int:
            return 90 if (label == "a") == (rng.random() < share) else 70

        return found(rows_of(200, jpeg_quality=quality))

    (finding,) = of_share(0.8)
    assert finding.values["balanced_accuracy"] == pytest.approx(0.8, abs=0.06)
    assert of_share(0.6) == []
    assert of_share(0.5) == []


def test_properties_that_tell_nothing_are_no_shortcut() -> None:
    for seed in range(10):
        rng = rng_for(seed)
        rows = rows_of(30, jpeg_quality=drawn_quality, width_px=lambda r, c: int(r.integers(50, 500)))
        rng.shuffle(rows)
        for place, one in enumerate(rows):
            one["label"] = "ab"[place % 2]
        assert found(rows) == []


def test_copies_are_never_on_both_sides() -> None:
    """Forty copies of one image have a size of their own each: a tree that had seen them would know them."""
    rng = rng_for(4)
    rows = []
    for place in range(240):
        group = place // 40
        size = int(1000 * rng_for(group).random()) + 50
        rows.append(row(f"{place:03}", label="ab"[group % 2], width_px=size, group=group, jpeg_quality=90, border_level=-1.0))
    rng.shuffle(rows)
    assert found(rows) == []
    (finding,) = found([one | {"group": number} for number, one in enumerate(rows)])  # as if they were no copies
    assert finding.values["low"] > 0.7


def test_few_images_or_one_class_say_nothing() -> None:
    of_format = {"format": lambda rng, label: {"a": "PNG", "b": "JPEG"}[label]}
    assert found(rows_of(9, **of_format)) == []
    assert found([one for one in rows_of(40, **of_format) if one["label"] == "a"]) == []


def test_a_class_without_a_usable_image_does_not_end_the_check() -> None:
    rows = rows_of(40, format=lambda rng, label: {"a": "PNG", "b": "JPEG"}[label])
    bad = row("bad", label="z", problem="truncated JPEG")
    assert [len(found([*some, bad])) for some in (rows, [])] == [1, 0]


@pytest.mark.parametrize("quality", [20, 50, 75, 90, 95, 100])
def test_the_quality_of_a_jpeg_is_that_it_was_saved_with(quality: int) -> None:
    pixels = rng_for(2).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    data = bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
    assert jpeg_quality(data) == pytest.approx(quality, abs=1)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xdb\xff\xff\x00", b"\xff\xd8" + b"\xff" * 500, b"\x89PNG"])
def test_a_file_without_a_table_has_no_quality(data: bytes) -> None:
    assert jpeg_quality(data) == 0


def test_a_plain_border_has_a_level() -> None:
    gray = rng_for(3).integers(0, 256, (40, 60), dtype=np.uint8)
    assert measures(gray, 0.0)["border_level"] == -1
    gray[[0, -1]] = 200
    gray[:, [0, -1]] = 204
    assert measures(gray, 0.0)["border_level"] == 202


def test_inspect_names_the_shortcut_of_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same photographs in both classes; one of them saved as PNG."""
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    for number, path in enumerate(crops(tmp_path / "made", 40)):
        label = "ab"[number // 2 % 2]
        target = tmp_path / "photos" / label
        target.mkdir(parents=True, exist_ok=True)
        images.write(target / f"{number}.{'png' if label == 'a' else 'jpg'}", images.read(path))
    result = pipekit.inspect("photos")
    (finding,) = (one for one in result.found["findings"] if one["check"] == "shortcuts")
    assert "format is PNG: 100 % a" in finding["message"]
