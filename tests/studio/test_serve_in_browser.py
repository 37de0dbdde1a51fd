"""The page of ``pipekit serve`` in a real browser: an image that is chosen is predicted, and long names fit a narrow window."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipekit import images
from tests.studio.access import badly_focused, beside, unnamed
from tests.studio.chromium import Chromium
from tests.studio.clicking import choose_file
from tests.studio.running import held_to
from tests.studio.served import running, write_model


def test_the_page_predicts_an_image_and_fits_a_narrow_window(browser: Chromium, tmp_path: Path) -> None:
    red = tmp_path / "red.png"
    images.write(red, np.full((20, 20, 3), (250, 0, 0), np.uint8))
    classes = ["red" * 30, "green", "blue"]
    with running(write_model(tmp_path / ("a_long_name" * 9), classes=classes)) as server:
        browser.open(f"http://127.0.0.1:{server.port}/")
        choose_file(browser, "Choose an image", red)
        assert browser.until("document.querySelector('.prediction h2')?.textContent") == classes[0]
        assert unnamed(browser) == []
        assert badly_focused(browser) == []
        assert beside(browser, 390, 844, dark=True) == []
        assert browser.do("[...document.querySelectorAll('h1, h2')].every((one) => one.scrollWidth <= one.clientWidth)")
        held_to(browser)
