"""The page Browse in a real browser: every tile shows its own row, whatever the size of the dataset; keys become files."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.columnar import Few
from pipekit.commands.browse import Catalog, Source, find_source
from pipekit.studio.project import Project
from tests.studio.access import read_aloud
from tests.studio.chromium import Chromium
from tests.studio.conftest import HOSTILE, paint
from tests.studio.running import held_to, opened, reloaded, running

MILLION = 1_000_000

READ = """
return await (async () => {
  const canvas = new OffscreenCanvas(1, 1), pen = canvas.getContext('2d', {willReadFrequently: true});
  const wrong = [], shown = [...document.querySelectorAll('.tile:not([hidden])')];
  let empty = 0;
  for (const tile of shown) {
    const image = tile.querySelector('img');
    if (!image.getAttribute('src')) { empty++; continue; }
    try { await image.decode(); } catch { empty++; continue; } // replaced meanwhile
    if (tile.querySelector('img') !== image) { empty++; continue; }
    pen.drawImage(image, 0, 0, 1, 1);
    const [r, g, b] = pen.getImageData(0, 0, 1, 1).data;
    if (r * 65536 + g * 256 + b !== Number(tile.dataset.row)) wrong.push([tile.dataset.row, r * 65536 + g * 256 + b]);
  }
  return {wrong, empty, tiles: shown.length};
})();
"""

JUMPS = f"""
const grid = document.querySelector('.grid'), count = grid.scrollHeight, found = [];
let seed = SEED;
for (let jump = 0; jump < 20; jump++) {{
  seed = (seed * 48271) % 2147483647;
  grid.scrollTop = (seed / 2147483647) * count;
  for (let frame = 0; frame <= jump % 3; frame++) await new Promise(requestAnimationFrame);
  const read = {READ.strip().removeprefix("return await ").removesuffix(";")};
  found.push(...(await read).wrong);
}}
return found;
"""
"""Rows of tiles that show another row's picture, after each of 20 jumps."""

SHOWN = "[...document.querySelectorAll('.tile:not([hidden])')]"
FULL = f"{SHOWN}.length && {SHOWN}.every((tile) => tile.querySelector('img').getAttribute('src'))"


class Numbered(Project):
    """Each thumbnail is one colour: the number of its row."""

    def thumb(self, catalog: Catalog, row: int) -> bytes:
        pixel = np.array([row >> 16, row >> 8 & 255, row & 255], np.uint8)
        return images.encode(np.broadcast_to(pixel, (4, 4, 3)).copy(), "png")


def made_up(count: int) -> Catalog:
    """An index without images: columns that numbers decide."""
    numbers = np.arange(count)
    kinds = Few((numbers % 7 - (numbers % 7 == 6) * 7).astype(np.int32), tuple("abcdef"))  # code -1: without a label
    splits = Few((numbers // 3 % 3).astype(np.int32), ("train", "val", "test"))
    height = ((numbers * 7919) % 1000).astype(np.float32)
    ids = [f"{number:07}.png" for number in range(count)]
    hashes = np.zeros((count, 32), np.uint8)
    return Catalog("d" * 64, ids, hashes, {"label": kinds, "split": splits}, {"height": height}, lambda rows: {})


def test_a_million_rows(browser: Chromium, tmp_path: Path) -> None:
    catalog = made_up(MILLION)
    (tmp_path / ".pipekit").mkdir()
    project = Numbered(Source(tmp_path, "nowhere"), catalog=catalog)
    with running(project) as server:
        opened(browser, server)
        browser.until(FULL)
        first = browser.do(READ)
        assert (first["wrong"], first["empty"]) == ([], 0)
        assert 20 < first["tiles"] < 200
        browser.do("document.querySelector('.grid').focus()")
        browser.press("End")
        browser.until(f"document.querySelector('.tile.at').dataset.row === '{MILLION - 1}'")
        browser.until(FULL)
        assert browser.do(READ)["wrong"] == []
        most = browser.do("""
            const grid = document.querySelector('.grid'), counts = [];
            for (let frame = 0; frame < 180; frame++) { // the wheel
              grid.scrollTop += 60;
              await new Promise(requestAnimationFrame);
              counts.push([document.querySelectorAll('.grid *').length, document.querySelectorAll('*').length]);
            }
            return [0, 1].map((place) => Math.max(...counts.map((one) => one[place])));
        """)
        assert most[0] < 300
        assert most[1] < 400
        browser.until(FULL)
        browser.requests.clear()
        chance = random.Random(1)
        for _ in range(12):  # the bar is dragged; the last place counts
            browser.do(f"document.querySelector('.grid').scrollTop = {chance.random()} * 12e6")
            assert browser.do(READ)["wrong"] == []
        browser.until(FULL)
        assert browser.do(READ)["wrong"] == []
        assert len([one for one in browser.requests if one[1].endswith("/thumbs")]) <= 40
        for seed in range(1, 11):
            assert browser.do(JUMPS.replace("SEED", str(seed))) == []
        browser.until(FULL)
        assert browser.do("document.querySelectorAll('*').length") < 400
        assert browser.do("document.querySelectorAll('.histogram .in')[0].getAttribute('d').split('M').length") == 25
        tiles = browser.do("document.querySelectorAll('.tile').length")
        browser.size(700, 500)
        browser.until(f"document.querySelectorAll('.tile').length < {tiles} / 2", "no tile stays that is not needed")
        browser.size(1280, 800)
        wanted = (catalog.categories["label"].codes < 2) & (catalog.numbers["height"] >= 500)
        wanted &= catalog.numbers["height"] <= 599
        opened(browser, server, "/?f.label=a&f.label=b&f.label=&n.height=500..599&sort=height&desc=1")
        browser.until(f"document.querySelector('.count').textContent.startsWith('{int(wanted.sum()):,} of')")
        browser.until(FULL)
        assert browser.do(READ)["wrong"] == []
        top = browser.do("Number(document.querySelector('.tile').dataset.row)")
        assert catalog.numbers["height"][top] == 599
        held_to(browser)


def test_counts_and_orders_are_those_of_python(browser: Chromium, tmp_path: Path) -> None:
    catalog = made_up(3000)
    label, split, height = (*catalog.categories.values(), catalog.numbers["height"])
    (tmp_path / ".pipekit").mkdir()
    project = Numbered(Source(tmp_path, "nowhere"), catalog=catalog)
    chance = random.Random(2)
    with running(project) as server:
        for _ in range(5):
            low = chance.randrange(900)
            labels = chance.sample(["", *label.names], 2)
            splits = chance.sample(split.names, 2)
            text = str(chance.randrange(10))
            codes = [label.names.index(name) if name else -1 for name in labels]
            wanted = np.isin(label.codes, codes) & np.isin(split.codes, [split.names.index(name) for name in splits])
            wanted &= (height >= low) & (height <= low + 90)
            rows = [row for row in np.flatnonzero(wanted).tolist() if text in catalog.ids[row]]
            query = "&".join([*(f"f.label={one}" for one in labels), *(f"f.split={one}" for one in splits)])
            opened(browser, server, f"/?{query}&n.height={low}..{low + 90}&q={text}&sort=height")
            browser.until(f"document.querySelector('.count').textContent === '{len(rows)} of 3,000 images'")
            shown = browser.do("[...document.querySelectorAll('.tile:not([hidden])')].map((one) => Number(one.dataset.row))")
            assert shown == sorted(rows, key=lambda row: (height[row], row))[: len(shown)]
        for _ in range(45):  # in one page: the address changes as by the buttons back and forward
            labels = chance.sample(["", *label.names], chance.randrange(1, 4))
            low, text, by = chance.randrange(900), str(chance.randrange(100)), chance.choice(["label", "split", "height"])
            codes = [label.names.index(name) if name else -1 for name in labels]
            wanted = np.isin(label.codes, codes) & (height >= low) & (height <= low + 90)
            rows = [row for row in np.flatnonzero(wanted).tolist() if text in catalog.ids[row]]
            query = f"{'&'.join(f'f.label={one}' for one in labels)}&n.height={low}..{low + 90}&q={text}&sort={by}"
            browser.do(f"history.pushState(null, '', '/?{query}'); dispatchEvent(new PopStateEvent('popstate'))")
            browser.until(f"document.querySelector('.count').textContent === '{len(rows)} of 3,000 images'")
            place = {row: at for at, row in enumerate(catalog.order(by).tolist())}
            wanted_rows = sorted(rows, key=place.__getitem__)
            shown = "[...document.querySelectorAll('.tile:not([hidden])')].map((one) => Number(one.dataset.row))"
            browser.until(f"JSON.stringify({shown}) === JSON.stringify({wanted_rows}.slice(0, {shown}.length))", query)
            assert browser.do(READ)["wrong"] == [], "each tile shows its own image"
        held_to(browser)


def test_a_hundred_images_read_aloud(browser: Chromium, tmp_path: Path) -> None:
    """An option of a list each, with its name, its class, its place, and of how many."""
    catalog = made_up(3000)
    (tmp_path / ".pipekit").mkdir()
    project = Numbered(Source(tmp_path, "nowhere"), catalog=catalog)
    label = catalog.categories["label"].tolist()
    heard = set()
    with running(project) as server:
        opened(browser, server)
        browser.do("document.querySelector('.grid').focus()")
        while len(heard) < 100:
            browser.until(FULL)
            for name, said in read_aloud(browser, "option"):
                if "aria-posinset" not in said:  # of the choice of an order
                    continue
                row = int(said["aria-posinset"]) - 1
                assert name == f"{catalog.ids[row]}, {label[row] or 'no class'}"
                assert (said["aria-setsize"], said["aria-selected"]) == ("3000", "false")
                heard.add(row)
            browser.press("PageDown")
        at = browser.do("document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).ariaLabel")
        browser.press(" ")
        browser.until("document.querySelectorAll('[aria-selected=true]').length === 1")
        (chosen,) = [name for name, said in read_aloud(browser, "option") if said.get("aria-selected") == "true"]
        assert chosen == at, "the list says which one is current"
        held_to(browser)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / ".pipekit").mkdir()
    paint(tmp_path / "photos", 3)
    (tmp_path / "photos" / "cat" / HOSTILE).write_bytes((tmp_path / "photos" / "cat" / "00.png").read_bytes())
    (tmp_path / "photos" / "<b>dog" / "00.png").parent.mkdir()
    images.write(tmp_path / "photos" / "<b>dog" / "00.png", np.zeros((9, 9, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_keys_become_files_and_names_stay_names(browser: Chromium, photos: Path) -> None:
    file = photos / "corrections.csv"
    with running(Project(find_source("photos"))) as server:
        opened(browser, server)
        browser.until(FULL)
        assert browser.do("document.querySelectorAll('.tile').length") >= 8
        browser.do("document.querySelector('.grid').focus()")
        for key in ("ArrowRight", "ArrowRight", "Enter"):
            browser.press(key)
        browser.until("document.querySelector('.detail h2')?.textContent")
        where = browser.do("document.querySelector('.detail h2').textContent")
        classes = browser.do("[...document.querySelectorAll('.detail .class')].map((one) => one.lastChild.textContent)")
        assert classes == ["<b>dog", "cat", "dog"]
        browser.press("3")
        browser.until("document.querySelectorAll('.tile.relabelled').length === 1")
        assert f"{where}," in file.read_text("utf-8")
        assert file.read_text("utf-8").endswith(",cat,dog,,\n")
        browser.press("x")
        browser.until("document.querySelectorAll('.tile.out').length === 1")
        assert (photos / "quarantine.csv").read_text("utf-8").count("\n") == 2
        browser.press("u")
        browser.until("document.querySelectorAll('.tile.out').length === 0")
        browser.press("/")
        browser.type("dog 12")
        assert browser.do("document.activeElement.type") == "search"
        browser.press("1")
        browser.press("u")
        browser.until("document.querySelector('.count').textContent.startsWith('0 of')")
        assert file.read_text("utf-8").count("\n") == 2, "keys in a text field decide nothing"
        opened(browser, server)
        browser.until("document.querySelectorAll('.tile.relabelled').length === 1", "a reload loses nothing")
        assert browser.do("document.querySelectorAll('main [onerror], main b').length") == 0
        browser.until(FULL)
        names = browser.do("[...document.querySelectorAll('.tile')].map((one) => one.title)")
        assert f"cat/{HOSTILE}" in names
        held_to(browser)


GREY = """
return await (async () => {
  const canvas = new OffscreenCanvas(1, 1), pen = canvas.getContext('2d', {willReadFrequently: true}), found = {};
  for (const tile of document.querySelectorAll('.tile:not([hidden])')) {
    pen.drawImage(tile.querySelector('img'), 0, 0, 1, 1);
    found[tile.title] = Math.round(pen.getImageData(0, 0, 1, 1).data[0] / 10);
  }
  return found;
})();
"""
"""Id -> a tenth of the grey value that its tile shows."""


def test_a_folder_that_changes_while_it_is_open_shows_no_old_picture(browser: Chromium, work: Path) -> None:
    with running(Project(find_source("photos"))) as server:
        opened(browser, server)
        browser.until(FULL)
        before = browser.do(GREY)
        assert before == {f"{('cat', 'dog')[number % 2]}/{number:02}.png": number for number in range(12)}
        images.write(work / "photos" / "cat" / "000.png", np.full((20, 30, 3), 200, np.uint8))  # most rows move
        images.write(work / "photos" / "cat" / "02.png", np.full((20, 30, 3), 210, np.uint8))
        (work / "photos" / "dog" / "01.png").unlink()
        (work / "photos" / "dog" / "03.png").rename(work / "photos" / "dog" / "01.png")
        reloaded(browser)
        browser.until(f"{SHOWN}.length === 12 && {FULL}")
        after = {**before, "cat/000.png": 20, "cat/02.png": 21, "dog/01.png": 3}
        assert browser.do(GREY) == {name: grey for name, grey in after.items() if name != "dog/03.png"}
        held_to(browser)


def test_a_narrow_window_has_nothing_beside_it(browser: Chromium, photos: Path) -> None:
    with running(Project(find_source("photos"))) as server:
        browser.size(390, 844, dark=True)
        opened(browser, server, "/?row=1")
        browser.until("document.querySelector('.detail h2')?.textContent")
        assert browser.do("document.documentElement.scrollWidth") == 390
        held_to(browser)
