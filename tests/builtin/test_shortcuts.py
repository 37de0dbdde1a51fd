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
from pipekit.builtin.inspect import _sentence, shortcut_tree, summary
from pipekit.builtin.inspect.checks.shortcuts import ShortcutsParams, shortcuts
from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.contract import Finding
from pipekit.images.colour_cast import colour_cast
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
    "size": ({"width_px": lambda rng, label: int(rng.integers(90, 110)) + 40 * (label == "b")}, "width up to"),
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


def test_a_finding_about_the_whole_dataset_is_not_counted_as_no_image() -> None:
    shortcut, copies = Finding("shortcuts", "warning", ""), Finding("leakage", "warning", "", ("1", "2"))
    found = {"num_images": 40, "summary": summary([shortcut, copies])}
    assert _sentence(found) == "40 images: shortcuts 1 finding, leakage 2"


@pytest.mark.parametrize("gains", [(1.15, 1.0, 0.8), (1.0, 0.85, 1.0), (0.85, 1.0, 1.15), (1.0, 1.0, 1.0)])
def test_a_cast_is_what_an_image_was_multiplied_by(gains: tuple[float, float, float]) -> None:
    """Of an image with all colours in it; a red object alone, with white highlights, is no cast."""
    rng = rng_for(5)
    image = images.resize(rng.integers(0, 200, (12, 12, 3), dtype=np.uint8), (96, 96))
    image[:20] = image[:20].mean(axis=2, keepdims=True)
    plain, cast = (np.array(colour_cast((image * np.array(by)).astype(np.uint8))) for by in ((1, 1, 1), gains))
    assert cast / plain == pytest.approx([gains[0] / gains[1], gains[2] / gains[1]], abs=0.08)
    poppy = np.full((40, 40, 3), 250, np.uint8)
    poppy[8:32, 8:32] = (190, 20, 30)
    assert colour_cast(poppy) == (1.0, 1.0)
    assert colour_cast(np.full((9, 9, 3), 90, np.uint8)) == (1.0, 1.0), "grey has none"


def coloured(folder: Path, gains: tuple[float, float, float], number: int = 24, gray: bool = False) -> None:
    """Two classes of the same mixed pictures; those of ``a`` are multiplied by ``gains``."""
    for place in range(number):
        rng = rng_for(6, place)
        image = images.resize(rng.integers(0, 200, (6, 6, 3), dtype=np.uint8), (48, 48)) * rng.uniform(0.9, 1.1, 3)
        label = "ab"[place % 2]
        made = np.clip(image * np.array(gains if label == "a" else (1, 1, 1)), 0, 255).astype(np.uint8)
        (folder / label).mkdir(parents=True, exist_ok=True)
        images.write(folder / label / f"{place:03}.png", images.to_gray(made) if gray else made)


@pytest.mark.parametrize(
    ("gains", "gray", "told"), [((1.3, 1.0, 0.7), False, True), ((1, 1, 1), False, False), ((1.3, 1, 0.7), True, False)]
)
def test_inspect_names_a_colour_cast(
    gains: tuple[float, float, float], gray: bool, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    coloured(tmp_path / "photos", gains, gray=gray)
    result = pipekit.inspect(tmp_path / "photos", only=["shortcuts"], workers=1)
    found = [one for one in result.found["findings"] if one["check"] == "shortcuts"]
    assert len(found) == told
    for one in found:
        assert one["message"].startswith("the class follows from a colour cast of the whole picture: ")
        assert " / green above " in one["message"]
        assert one["values"]["low"] > 0.6


def test_the_colours_of_some_images_a_class_are_measured() -> None:
    rows = MeasuredRows.of([one | {"mode": "RGB"} for one in rows_of(150)])
    classes, chosen = shortcut_tree._sampled(rows)
    assert np.bincount(classes).tolist() == [shortcut_tree.CAST_A_CLASS] * 2
    _, others = shortcut_tree._sampled(MeasuredRows.of([rows[number] for number in range(299)]))
    assert len(set(chosen.tolist()) & set(others.tolist())) >= 198, "one image less changes one or two of them"
    assert len(shortcut_tree._sampled(MeasuredRows.of([one | {"mode": "L"} for one in rows_of(30)]))[1]) == 0, "grey"
