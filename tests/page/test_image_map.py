"""The map of images: its data are safe, and it answers to the pointer and the keyboard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.contract import Section
from pipekit.page import image_map as module
from pipekit.page import render
from pipekit.page.image_map import MAX_BYTES, image_map, sprite
from tests.page.test_page import EVIL, in_browser

POINTS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)

SCRIPT = """
const map = document.querySelector('[data-map]'), canvas = map.querySelector('canvas');
const menu = map.querySelector('select');
const words = () => map.querySelector('.card p').textContent.split('\\n');
const key = (name) => canvas.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true}));
const pressed = () => [...map.querySelectorAll('.legend button')].map((e) => e.getAttribute('aria-pressed'));
const image = () => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const drawn = () => image().filter((v, i) => i % 4 === 3 && v).length;
const out = {hidden: map.hidden, wide: document.documentElement.scrollWidth - innerWidth, focusable: canvas.tabIndex};
out.before = drawn();
key('ArrowLeft'); out.first = words();
key('ArrowRight'); key('ArrowDown'); out.corner = words();
key('ArrowRight'); out.edge = words();
out.alt = map.querySelector('.shot').getAttribute('aria-label');
out.at = map.querySelector('.shot').style.backgroundPosition;
const box = canvas.getBoundingClientRect();
canvas.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + 14, clientY: box.top + 14, bubbles: true}));
out.pointed = words()[0];
out.legend = [...map.querySelectorAll('.legend button')].map((e) => e.textContent);
map.querySelector('.legend button').click(); out.pressed = pressed();
menu.value = 'split'; menu.dispatchEvent(new Event('change'));
out.split = map.querySelector('.legend').textContent; out.reset = pressed();
out.silent = [...map.querySelectorAll('[role=img]')].filter((e) => !e.getAttribute('aria-label')).length;
return out;
"""


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    made = []
    for number, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        file = tmp_path / f"{number}.png"
        images.write(file, np.full((40, 80, 3), colour, np.uint8))
        made.append(str(file))
    (tmp_path / "broken.png").write_text("text")
    return [*made, str(tmp_path / "broken.png")]


def test_the_pictures_are_in_their_places_and_within_the_limits(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = sprite(paths, 2)
    assert (made.columns, made.tile_px) == (2, 96)
    pixels = images.decode(made.data).astype(int)
    assert pixels.shape == (192, 192, 3)
    middles = [pixels[48, 48], pixels[48, 144], pixels[144, 48], pixels[144, 144]]
    for pixel, colour in zip(middles, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)], strict=True):
        assert np.abs(pixel - colour).max() < 12
    assert pixels[4, 48].min() > 240, "proportions are kept"
    monkeypatch.setattr(module, "MAX_BYTES", len(made.data) - 1)
    assert sprite(paths, 1).tile_px < 96
    monkeypatch.setattr(module, "MAX_PIXELS", (2 * 48) ** 2)
    assert sprite(paths, 1).tile_px <= 48
    assert MAX_BYTES < 3_000_000


def test_many_values_share_a_mark_and_keep_their_names(paths: list[str]) -> None:
    values = [f"c{number:02}" for number in range(30)] + ["c00"]
    found = module._coded(values)
    assert found["names"][0] == "c00"
    assert (len(found["names"]), found["names"][-1]) == (24, "other")
    assert [found["values"][at] for at in found["exact"]] == values
    assert module._coded(["a", "", "a"]) == {"names": ["a", "none"], "codes": [0, 1, 0], "values": [], "exact": []}


def test_it_answers_in_a_browser(paths: list[str], tmp_path: Path) -> None:
    facts = {"class": ["cat", "dog", EVIL, "cat"], "split": ["train", "test", "", "train"], "empty": [""] * 4}
    html = image_map(POINTS, ["upper left", "upper right", EVIL, "lower right"], facts, sprite(paths), 'Map of "4" images.')
    result = in_browser(render("Page", [("map", Section("Map", "Words.", html=html))]), SCRIPT, tmp_path, width=500)
    assert result["errors"] == []
    found = result["value"]
    assert (found["hidden"], found["wide"], found["focusable"], found["silent"]) == (False, 0, 0, 0)
    assert found["before"] > 100, "points are drawn"
    assert found["first"] == ["upper left", "class: cat", "split: train"]
    assert found["corner"] == found["edge"] == ["lower right", "class: cat", "split: train"]
    assert (found["alt"], found["at"]) == ("picture of lower right", "100% 100%")
    assert found["pointed"] == "upper left"
    assert found["legend"] == ["● cat (2)", f"■ {EVIL} (1)".replace("■", "●"), "● dog (1)"]
    assert (found["pressed"], found["reset"]) == (["true", "false", "false"], ["false"] * 3)
    assert found["split"] == "● train (2)● none (1)● test (1)"


def test_no_name_ends_the_data(paths: list[str]) -> None:
    html = image_map(POINTS, [EVIL] * 4, {"class": [EVIL] * 4}, sprite(paths), EVIL)
    text = html.partition('<script type="application/json">')[2]
    assert text.count("<") == 2, "the end of the script, and of the map"
    assert json.loads(text.partition("</script>")[0])["ids"] == [EVIL] * 4
    assert "<img" not in html
