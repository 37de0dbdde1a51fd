"""The map of features: alike images lie close together, and the same points come out anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipekit.errors import PluginError
from pipekit.learning.projection import caption_of, project, sample_of
from pipekit.params import Call, Params
from pipekit.registry.component import Component
from pipekit.registry.registry import load_registry


def made_by(name: str) -> Call:
    component = load_registry(installed=False).get("projection", name)
    return Call("projection", name, component.params_type()(), {}, component)


TSNE, PCA = made_by("tsne"), made_by("pca")


def features() -> NDArray[np.float16]:
    """60 images of three kinds, in turn."""
    rng = np.random.default_rng(4)
    middles = rng.normal(size=(3, 40))
    return np.abs(middles[np.arange(60) % 3] + 0.3 * rng.normal(size=(60, 40))).astype(np.float16)


def test_groups_stay_together_and_threads_change_nothing() -> None:
    made = []
    for threads in (1, 4):
        with threadpool_limits(threads):
            made.append(project(features(), TSNE))
    points = made[0]
    assert made[1].tobytes() == points.tobytes()
    assert (points.min(), points.max()) == (0.0, 1.0)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) % 3 == np.arange(60) % 3).mean() > 0.95


def test_equal_rows_and_few_columns_have_a_place() -> None:
    assert project(np.ones((20, 8), np.float16), TSNE).tolist() == [[0.5, 0.5]] * 20
    line = np.linspace(1, 2, 20)[:, None].repeat(2, 1)
    line[:, 1] **= 2
    for projection in (TSNE, PCA):
        assert np.isfinite(project(line.astype(np.float16), projection)).all()


def test_principal_components_are_those_of_a_singular_value_decomposition() -> None:
    table = features()
    unit = table.astype(np.float64) / np.linalg.norm(table.astype(np.float64), axis=1, keepdims=True)
    left, sizes, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * sizes[:2]
    found = project(table, PCA)
    for axis in (0, 1):
        assert abs(np.corrcoef(found[:, axis], expected[:, axis])[0, 1]) > 0.9999


@pytest.mark.parametrize("made", [np.zeros((60, 3)), np.full((60, 2), np.nan), np.zeros((59, 2)), "points"])
def test_what_is_no_map_is_refused_with_the_name_of_the_projection(made: Any) -> None:
    component = Component("projection", "broken", lambda table, params, rng: made, "mine")
    with pytest.raises(PluginError, match=r"projection 'broken' must return \(60, 2\) finite numbers"):
        project(features(), Call("projection", "broken", Params(), {}, component))


def test_a_sample_is_chosen_by_the_ids_and_one_more_changes_at_most_one() -> None:
    names = [f"{number}.jpg" for number in range(50)]
    first = {names[at] for at in sample_of(names, 10).tolist()}
    assert len(first) == 10
    assert sample_of(names, 50).tolist() == list(range(50))
    for more in ("a.jpg", "b.jpg", "c.jpg"):
        again = sample_of([*names, more], 10)
        assert len(first - {[*names, more][at] for at in again.tolist()}) <= 1
        assert again.tolist() == sorted(again.tolist())
    assert caption_of(10, 50, TSNE).startswith("A random sample of 10 of 50 images. ")
    assert "sample" not in caption_of(50, 50, TSNE)
    assert "(principal components)" in caption_of(50, 50, PCA)
