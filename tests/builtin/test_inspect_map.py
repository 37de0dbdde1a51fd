"""The map of a dataset: on the page of ``inspect``, and in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit.builtin.inspect import atlas
from pipekit.builtin.inspect.atlas import map_section
from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.contract import Finding
from pipekit.learning.embeddings import Embedded
from pipekit.params import Call
from pipekit.registry.registry import load_registry
from tests.builtin.conftest import COLOURS
from tests.commands.test_similar import EMBEDDER


class Notes:
    """As much of a context as the map needs."""

    workers = 1

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def recall(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def remember(self, name: str, data: bytes) -> None:
        self.kept[name] = data


def data_of(html: str) -> dict[str, Any]:
    text = html.partition('<script type="application/json">')[2].partition("</script>")[0]
    return json.loads(text)  # type: ignore[no-any-return]


def made_by(name: str) -> Call:
    component = load_registry(installed=False).get("projection", name)
    return Call("projection", name, component.params_type()(), {}, component)


TSNE, PCA = made_by("tsne"), made_by("pca")


def said(data: dict[str, Any], fact: str) -> list[str]:
    found = data["facts"][fact]
    return [found["names"][code] for code in found["codes"]]


def test_classes_splits_and_the_worst_findings_are_on_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:02}.png" for number in range(20)]
    values = [
        {"id": name, "label": "even" if at % 2 == 0 else None, "split": "train" if at else ""} for at, name in enumerate(names)
    ]
    rows = MeasuredRows.of([{**row, "problem": "broken"} if row["id"] == names[3] else row for row in values])
    table = np.random.default_rng(1).random((20, 6)).astype(np.float16)
    embedded = Embedded((*names[1:], "unknown.png"), table, {})
    findings = [
        Finding("small", "info", "", (names[1],)),
        Finding("dark", "warning", "", (names[1], names[2])),
        Finding("leakage", "error", "", (names[2],)),
    ]
    ctx: Any = Notes()
    section = map_section(ctx, rows, embedded, findings, lambda numbers: {}, TSNE)
    assert section is not None
    data = data_of(section.html)
    assert data["ids"] == [*names[1:3], *names[4:]], "neither broken images nor those of other datasets"
    assert said(data, "class")[:4] == ["none", "even", "even", "none"]
    assert set(said(data, "split")) == {"train"}
    assert said(data, "finding") == ["dark", "leakage", *["none"] * 16]
    monkeypatch.setattr(atlas, "project", lambda table, projection: pytest.fail("the note has the points"))
    again = map_section(ctx, rows, embedded, findings, lambda numbers: {}, TSNE)
    assert again is not None
    assert again.html == section.html
    monkeypatch.setattr(atlas, "project", lambda table, projection: np.zeros((len(table), 2), np.float32))
    other = map_section(ctx, rows, embedded, findings, lambda numbers: {}, PCA)
    assert other is not None
    assert "(principal components)" in other.markdown
    assert other.html != section.html, "the note of one projection is not taken for another"
    few = map_section(ctx, rows, embedded, findings, lambda numbers: {}, TSNE, most=14)
    assert few is not None
    assert len(data_of(few.html)["ids"]) == 14
    assert few.markdown.startswith("A random sample of 14 of 18 images. ")
    assert map_section(ctx, rows, Embedded(embedded.ids[:9], table[:9], {}), findings, lambda numbers: {}, TSNE) is None


def test_inspect_and_the_report_have_a_map_where_an_embed_stage_is_named(colour_project: Any) -> None:
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    (colour_project.path / "mean_colour.py").write_text(EMBEDDER)

    little = {"explain": 0, "pictures": 0, "near_copies": False}
    stages = {
        "data": {"use": "import.folders", "path": "images"},
        "embed": {"use": "embed", "dataset": "data", "embedder": "mean_colour"},
        "plain": {"use": "inspect", "dataset": "data", "checks": ["dark"]},
        "looked": {"use": "inspect", "dataset": "data", "checks": ["dark"], "embeddings": "embed"},
        "train": {"use": "made_model", "folder": "model"},
        "report": {
            "use": "evaluate",
            "model": "train",
            "dataset": "data",
            "embeddings": "embed",
            "projection": "pca",
            **little,
        },
    }
    table = {"name": "trial", "plugins": ["./by_colour.py", "./mean_colour.py"], "stages": stages}
    outcome = run_plan(load_plan(table=table, base_dir=colour_project.path))

    def page_of(stage: str, name: str = "inspect.html") -> str:
        return Path(outcome.artifact(stage).path / name).read_text("utf-8")

    assert 'id="image_map"' not in page_of("plain")
    for page in (page_of("looked"), page_of("report", "report.html")):
        part = page.partition('<section id="image_map"')[2].partition("</section>")[0]
        data = data_of(part)
        assert len(data["ids"]) == 26 * len(COLOURS)
        assert said(data, "class") == [name.split("/")[1] for name in data["ids"]]
        assert said(data, "split") == [name.split("/")[0] for name in data["ids"]]
    assert "(t-SNE)" in page_of("looked")
    assert "(principal components)" in page_of("report", "report.html")
    answers = said(data, "answer")
    assert (answers.count("right"), answers.count("wrong"), answers.count("not measured")) == (22, 2, 54)
    assert said(data, "finding").count("suspected label error") == 2
