"""What plugins return is checked where it enters: each wrong value has an error that names it, and the component."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit.artifacts import Failure, Sample, problem_of_sample
from pipekit.contract import Params
from pipekit.engine.observers import observe
from pipekit.errors import PluginError
from pipekit.findings import Figure, Finding, Picture, Section, Table, problem_of_finding, problem_of_section
from pipekit.recipe.compiled import Op, View
from pipekit.recipe.returned import checked_choice, checked_homography, checked_pixels, checked_view
from pipekit.registry.format_stages import _checked

# --- sections ------------------------------------------------------------------------------------------------------------

SECTION = Section(
    "Night",
    "text",
    (Figure("night", b"png", "a figure"),),
    (Table(("a", "b"), ((1, 2),)),),
    (Picture(b"jpg", "a picture", tags={"true": "cat"}, values={"confidence": 0.5}),),
)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("a text", "it returned a value of type str, expected a pipekit.Section or None"),
        (replace(SECTION, title=None), "the title of its Section is None, expected a str"),
        (replace(SECTION, markdown=b"text"), "the markdown of its Section is a value of type bytes, expected a str"),
        (replace(SECTION, figures=SECTION.figures[0]), "the figures of its Section are a value of type Figure"),
        (replace(SECTION, figures=("x.png",)), "figures[0] of its Section: expected a Figure, got a value of type str"),
        (replace(SECTION, figures=(Figure("a/b", b"png", ""),)), "figures[0] of its Section: the name 'a/b' can't be"),
        (replace(SECTION, tables=(Table(("a", "b"), ((1,),)),)), "row 0 has 1 value, expected 2 values"),
        (replace(SECTION, pictures=(Picture("x.jpg", ""),)), "pictures[0] of its Section: the data are a value of type str"),  # type: ignore[arg-type]
        (replace(SECTION, pictures=(Picture(b"", ""),)), "the data are empty"),
        (replace(SECTION, pictures=(Picture(b"x", "", values={"a": "1"}),)), "the value 'a' is a value of type str"),  # type: ignore[dict-item]
    ],
)
def test_a_wrong_section_is_described(section: Any, words: str) -> None:
    assert words in problem_of_section(section)


@pytest.mark.parametrize("section", [None, SECTION, Section("Only a title")])
def test_a_good_section_has_no_problem(section: Any) -> None:
    assert problem_of_section(section) == ""


# --- findings ------------------------------------------------------------------------------------------------------------

FINDING = Finding("dark", "warning", "too dark", ("a.png",), {"level": 3})


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        ("a text", "expected a pipekit.Finding, got a value of type str"),
        (replace(FINDING, severity="fatal"), "the severity is 'fatal', expected one of error, warning, info"),
        (replace(FINDING, message=None), "the message is None, expected a text"),
        (replace(FINDING, samples="a.png"), "samples must be a tuple of ids"),
        (replace(FINDING, samples=("b.png", "a.png", "c.png")), "there is no sample 'b.png', nor 1 others that it names"),
        (replace(FINDING, values={"a": object()}), "the values can't be written as JSON"),
        (replace(FINDING, values=["a"]), "the values are a value of type list"),
    ],
)
def test_a_wrong_finding_is_described(finding: Any, words: str) -> None:
    assert words in problem_of_finding(finding, {"a.png"}.__contains__)
    assert problem_of_finding(FINDING, {"a.png"}.__contains__) == ""


# --- observers -----------------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """A registry with observers."""

    calls: dict[str, Any]
    told: list[str] = field(default_factory=list)

    def observers(self, hook: str) -> Any:
        return self.calls.items()

    def listener(self, event: str, **values: Any) -> None:
        self.told.append(f"{event} {values['stage']}: {values['message']}")


def test_an_observer_that_raises_or_returns_something_is_named_and_stops_nothing() -> None:
    seen = []

    def leave(**values: Any) -> None:
        raise SystemExit(3)

    watched = Watched({"a": lambda **values: "text", "b": leave, "c": lambda **values: seen.append(values)})
    observe(watched, watched.listener, "after_stage", stage=SimpleNamespace(name="train"))  # type: ignore[arg-type]
    assert len(seen) == 1
    assert watched.told[0].startswith("warning train: observer after_stage of plugin 'a' must return nothing, and returned")
    assert watched.told[1].startswith("warning train: observer after_stage of plugin 'b' failed: SystemExit: 3")
    assert len(watched.told) == 2


# --- ops -----------------------------------------------------------------------------------------------------------------

IMAGE = np.zeros((4, 6, 3), np.uint8)
OP = Op("gentle", "pixel", lambda: None, Params(), 1.0, plugin="acme")


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (lambda value: checked_pixels(OP, value, IMAGE), None, "(4, 6, 3) uint8, like its image; it returned NoneType"),
        (lambda value: checked_pixels(OP, value, IMAGE), IMAGE[1:], "it returned (3, 6, 3) uint8"),
        (lambda value: checked_pixels(OP, value, IMAGE), IMAGE / 2, "it returned (4, 6, 3) float64"),
        (lambda value: checked_view(OP, value), IMAGE, "a View; it returned (4, 6, 3) uint8"),
        (lambda value: checked_view(OP, value), View(IMAGE / 2, None, (), (), False, 0.0), "with an (H, W, 3) uint8 image"),
        (lambda value: checked_view(OP, value), View(IMAGE, IMAGE[1:, :, 0], (), (), False, 0.0), "with a mask of (4, 6)"),
        (lambda value: checked_homography(OP, value, (4, 6)), "text", "a (3, 3) matrix, or one with a new size"),
        (lambda value: checked_homography(OP, value, (4, 6)), None, "an invertible (3, 3) matrix; it returned"),
        (lambda value: checked_homography(OP, value, (4, 6)), np.zeros((3, 3)), "an invertible (3, 3) matrix"),
        (lambda value: checked_homography(OP, value, (4, 6)), (np.eye(3), (0, 6)), "at least 1 x 1 px; it returned (0, 6)"),
        (lambda value: checked_homography(OP, value, (4, 6)), (np.eye(3), 6), "with a new size (height, width)"),
        (lambda value: checked_choice(OP, value, [OP]), [1], "positions in its 1 ops; it returned [1]"),
        (lambda value: checked_choice(OP, value, [OP]), None, "positions in its 1 ops; it returned NoneType"),
    ],
)
def test_what_a_wrong_op_returned_is_told_with_its_name_and_its_plugin_s(check: Any, value: Any, words: str) -> None:
    with pytest.raises(PluginError) as caught:
        check(value)
    assert caught.value.message.startswith("op 'gentle' of plugin 'acme' must return ")
    assert words in caught.value.message


# --- samples -------------------------------------------------------------------------------------------------------------

SAMPLE = Sample("a.png", "/photos/a.png")


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (replace(SAMPLE, id=7), "its id is 7, expected a text"),
        (replace(SAMPLE, image=None), "the image of 'a.png' is None, expected a path"),
        (replace(SAMPLE, label=3), "the label of 'a.png' is 3, expected a text or None"),
        (replace(SAMPLE, targets=None), "the targets of 'a.png' are of type NoneType"),
        (replace(SAMPLE, extra=["x"]), "the extra of 'a.png' must be a mapping"),
        (replace(SAMPLE, split=None), "split and sha256 of 'a.png' must be texts"),
    ],
)
def test_a_sample_that_can_not_be_a_row_is_described(sample: Any, words: str) -> None:
    assert words in problem_of_sample(sample)
    importer: Any = SimpleNamespace(name="odd", plugin="acme")
    with pytest.raises(PluginError, match="importer 'odd' of plugin 'acme' yielded a sample that can't be a row"):
        list(_checked([sample], importer))


def test_an_importer_yields_samples_and_failures_alone() -> None:
    importer: Any = SimpleNamespace(name="odd", plugin="acme")
    assert len(list(_checked([SAMPLE, Failure("b", "gone")], importer))) == 2
    for wrong, words in ((["a.png"], "yielded str"), (None, "its `read` returned NoneType")):
        with pytest.raises(PluginError, match=f"importer 'odd' of plugin 'acme' .*{words}"):
            list(_checked(wrong, importer))
