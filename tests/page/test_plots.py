"""Plots with characters that matplotlib's font lacks."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from pipekit import images
from pipekit.page.plots import plot


def drawn(*names: str) -> tuple[bytes, bytes]:
    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], label=names[0])
        axes.set_xticks(range(len(names)), names)
        axes.set_title(names[-1])
        axes.legend()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg, png = plot("named", draw, alt="A line")
    return svg.data, png.data


@pytest.mark.parametrize("name", ["\u72ac", "\U0001f436 dog", "cat\u200d\ufe0f"])
def test_no_character_warns_and_svg_has_it(name: str) -> None:
    svg, png = drawn(name, "b")
    assert svg.decode("utf-8").count(name) == 2, "in the legend and on the axis"
    assert "U+" not in svg.decode("utf-8")
    assert images.probe(png).format == "PNG"


def test_the_png_shows_the_code_and_not_a_box() -> None:
    assert drawn("\u72ac", "b")[1] == drawn("U+72AC", "b")[1]


def test_names_that_the_font_has_stay() -> None:
    svg, png = drawn("\u00e9t\u00e9", "b")
    assert svg.decode("utf-8").count("\u00e9t\u00e9") == 2
    assert png != drawn("ete", "b")[1]
