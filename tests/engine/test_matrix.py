"""A matrix of values: every combination runs, what is cached is shared, and the best is chosen by the figure that is named."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from pipekit.contract import ValueRange
from pipekit.engine.matrix import MatrixOutcome, known_plans, run_matrix
from pipekit.engine.run import silent
from pipekit.errors import PlanError, PluginError, UserError
from pipekit.pipeline.matrix_table import Matrix, matrix_of
from pipekit.pipeline.plan import load_plan

PLUGIN = """
import pipekit

class ScoreParams(pipekit.Params):
    a: float = pipekit.param(0.0, "Best at 0.3", ge=-10, le=10)
    word: str = pipekit.param("x", "Changes nothing")
    fail: bool = pipekit.param(False, "Fail")
    seed: int | None = pipekit.param(None, "Luck: at most a hundredth")

@pipekit.stage
def score(ctx: pipekit.Context, params: ScoreParams) -> pipekit.Files:
    "A number that is known beforehand."
    if params.fail:
        raise pipekit.StageError("asked to fail")
    (ctx.out_dir / "score.txt").write_text(f"{params.a} {params.word}")
    luck = 0 if params.seed is None else params.seed % 3 / 100
    facts = {"val score": f"{1 - abs(params.a - 0.3) + luck:.4f}", "test score": "about 0.5"}
    return ctx.artifact(pipekit.Files, facts=facts, headline=f"a is {params.a}")

@pipekit.stage
def base(ctx: pipekit.Context) -> pipekit.Report:
    "The same for all."
    (ctx.out_dir / "base.txt").write_text("base")
    return ctx.artifact(pipekit.Report)

@pipekit.hookimpl
def register_stages(register):
    register("score", score)
    register("base", base)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PIPEKIT_STORE", raising=False)
    (tmp_path / "score.py").write_text(PLUGIN)
    return tmp_path


def write(project: Path, matrix: str) -> Path:
    file = project / "pipeline.toml"
    file.write_text(
        'name = "m"\nseed = 3\nplugins = ["./score.py"]\n[stages.base]\nuse = "base"\n[stages.train]\nuse = "score"\n' + matrix
    )
    return file


def run(project: Path, matrix: str, listener: Any = silent) -> MatrixOutcome:
    plan = load_plan(write(project, matrix))
    checked = matrix_of(plan)
    assert checked is not None
    return run_matrix(plan, checked, listener)


GRID = '[matrix]\nselect = "train.val_score"\nvalues = { "train.a" = [0.1, 0.25, 0.9], "stages.train.word" = ["p", "q"] }\n'


def test_a_grid_runs_every_combination_and_names_the_best(project: Path) -> None:
    events: list[str] = []
    outcome = run(project, GRID, lambda event, **values: events.append(f"{event} {values.get('stage', '')}".strip()))
    assert [tuple(row.values.values()) for row in outcome.combinations] == [
        (a, word) for a in (0.1, 0.25, 0.9) for word in ("p", "q")
    ]
    assert outcome.best is not None
    assert (outcome.best.values["train.a"], outcome.best.score) == (0.25, 0.95)
    assert next((row.selected_in / "score.txt").read_text()[:3] for row in outcome.combinations if row.selected_in) == "0.1"
    assert events.count("stage_started base") == 1, "what does not change runs once"
    assert events.count("stage_started train") == 6
    assert (project / "runs/m/train/score.txt").read_text() == "0.25 p", "the best stands under the pipeline's own name"
    assert (project / "runs/m-6/train/score.txt").read_text() == "0.9 q"
    with (project / "runs/m/matrix.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["train.val_score"] for row in rows] == ["0.8", "0.8", "0.95", "0.95", "0.4", "0.4"]
    assert outcome.warnings == ()
    events.clear()
    run(project, GRID, lambda event, **values: events.append(event))
    assert "stage_started" not in events, "a second time nothing runs"


def test_less_may_be_better(project: Path) -> None:
    outcome = run(project, GRID.replace("[matrix]", '[matrix]\ngoal = "min"'))
    assert outcome.best is not None
    assert outcome.best.values["train.a"] == 0.9


def test_a_combination_that_fails_is_a_row_and_the_others_go_on(project: Path) -> None:
    outcome = run(project, '[matrix]\nselect = "train.val_score"\nvalues = { "train.fail" = [true, false] }\n')
    assert "asked to fail" in outcome.combinations[0].error
    assert outcome.best is outcome.combinations[1]
    with pytest.raises(UserError, match="every combination failed"):
        run(project, '[matrix]\nvalues = { "train.fail" = [true] }\n')


def test_choosing_by_another_split_than_val_is_doubted(project: Path) -> None:
    outcome = run(project, GRID.replace("train.val_score", "train.test score"))
    assert any("too optimistic" in warning for warning in outcome.warnings)
    outcome = run(project, GRID.replace("train.val_score", "train.val_nothing"))
    assert outcome.best is None
    assert any("has no number" in warning for warning in outcome.warnings)


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_searches_draw_within_their_ranges_and_the_same_each_time(project: Path, search: str) -> None:
    ranges = '{ "train.a" = { low = 0.1, high = 2.0, log = true }, "train.word" = ["p", "q"] }'
    text = f'[matrix]\nselect = "train.val_score"\nsearch = "{search}"\ntrials = 5\nvalues = {ranges}\n'
    outcome = run(project, text)
    drawn = [row.values["train.a"] for row in outcome.combinations]
    assert len(set(drawn)) == 5
    assert all(0.1 <= value <= 2.0 for value in drawn)
    assert [row.values for row in run(project, text).combinations] == [row.values for row in outcome.combinations]


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ("[matrix]\nvalues = {}\n", "at least 1 item"),
        ('[matrix]\nvalues = { "train.a" = [] }\n', "needs a list of values"),
        ('[matrix]\nvalues = { "train.a" = { low = 1, high = 2 } }\n', "a grid needs a list"),
        ('[matrix]\nsearch = "random"\nvalues = { "train.a" = { low = 2, high = 1 } }\n', "low must be below high"),
        ('[matrix]\nvales = { "train.a" = [1] }\n', "no parameter called 'vales'"),
        ('[matrix]\nselect = "trian.x"\nvalues = { "train.a" = [1] }\n', "no stage called 'trian'"),
        ('[matrix]\nvalues = { "trian.a" = [1] }\n', "no stage called 'trian'"),
        ('[matrix]\nvalues = { "train.b" = [1] }\n', "no parameter called 'b'"),
        ('[matrix]\nvalues = { "train.a" = [1, 99] }\n', "less than or equal to 10"),
    ],
)
def test_every_mistake_is_named_before_anything_runs(project: Path, matrix: str, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        run(project, matrix)
    assert words in str(caught.value)
    assert not (project / "runs").exists()


def test_a_grid_that_is_too_large_is_refused(project: Path) -> None:
    with pytest.raises(ValueError, match="too many"):
        Matrix(values={"a.b": list(range(50)), "a.c": list(range(50))})
    with pytest.raises(ValueError, match="1,001 combinations are too many"):
        Matrix(values={"a.b": list(range(1001))})
    assert Matrix(values={"a.b": list(range(1000))}).num_combinations() == 1000


def test_repeated_seeds_choose_by_their_mean(project: Path) -> None:
    """The pipeline's seed is 3: the three trainings have a luck of 0, 0.01 and 0.02."""
    events: list[dict[str, Any]] = []
    text = '[matrix]\nselect = "train.val_score"\nseeds = 3\nvalues = { "train.a" = [0.1, 0.25] }\n'
    outcome = run(project, text, lambda event, **values: events.append(values) if event == "combination_started" else None)
    assert [(one["number"], one["total"], one["values"]["seed"]) for one in events] == [(n + 1, 6, 3 + n % 3) for n in range(6)]
    assert outcome.best is not None
    assert (outcome.best.values["train.a"], outcome.best.score, outcome.best.sd) == (
        0.25,
        pytest.approx(0.96),
        pytest.approx(0.01),
    )
    assert [one.run for one in outcome.best.of_seeds] == ["m-2-seed-1", "m-2-seed-2", "m-2-seed-3"]
    assert (project / "runs/m/train/score.txt").read_text() == "0.25 x"
    with (project / "runs/m/matrix.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["train.val_score"], row["sd"], row["seed 3"]) for row in rows] == [
        ("0.81", "0.01", "0.82"),
        ("0.96", "0.01", "0.97"),
    ]


def test_seeds_that_would_change_nothing_or_are_set_already_are_an_error(project: Path) -> None:
    with pytest.raises(PlanError, match="values set a seed already"):
        matrix_of(load_plan(write(project, '[matrix]\nseeds = 2\nvalues = { "train.seed" = [1, 2] }\n')))
    plain = (project / "score.py").read_text().replace("    seed: int | None", "    luck: int | None")
    (project / "score.py").write_text(plain.replace("params.seed", "params.luck"))
    with pytest.raises(PlanError) as raised:
        matrix_of(load_plan(write(project, '[matrix]\nseeds = 2\nselect = "nobody.x"\nvalues = { "train.a" = [1, 2] }\n')))
    assert [problem.path for problem in raised.value.problems] == ["matrix.select", "matrix.seeds"], "all at once"


# --- searches of plugins -------------------------------------------------------------------------------------------------

SEARCHES = '''
"""Searches of a stranger."""

import numpy as np

import pipekit

class HalveParams(pipekit.Params):
    share: float = pipekit.param(0.5, "Where to cut", gt=0, lt=1)

def halve(space, params: HalveParams, rng):
    """Try both ends of a range, and halve towards the better one."""
    low, high = space.values["train.a"].low, space.values["train.a"].high
    while True:
        first, second = (yield {"train.a": low}), (yield {"train.a": np.float64(high)})
        middle = low + params.share * (high - low)
        low, high = (low, middle) if space.best([first, second]) is first else (middle, high)

def pair(space, params: pipekit.Params, rng):
    """Both ends."""
    return [{"train.a": space.values["train.a"].low}, {"train.a": space.values["train.a"].high}]

def told(space, params: pipekit.Params, rng):
    """Write down what comes of a run that fails."""
    trial = yield {"train.fail": True}
    yield {"train.fail": trial.score is not None or "asked to fail" not in trial.error}

def wrong(answer):
    def search(space, params: pipekit.Params, rng):
        """Wrong."""
        return answer(space)
    return search

def stops(space):
    yield {"train.a": 0.5}
    raise KeyError("lost")

@pipekit.hookimpl
def register_searches(register):
    register("halve", halve)
    register("pair", pair)
    register("told", told)
    register("text", wrong(lambda space: "best"))
    register("nothing", wrong(lambda space: (one for one in ())))
    register("many", wrong(lambda space: [{"train.a": 0.5}] * 4))
    register("beyond", wrong(lambda space: [{"train.a": 3}]))
    register("unknown", wrong(lambda space: [{"train.a": 0.5, "train.b": 1}]))
    register("without", wrong(lambda space: [{}]))
    register("infinite", wrong(lambda space: [{"train.a": float("nan")}]))
    register("stops", wrong(stops))
'''


def searched(
    project: Path, search: str, values: str = '{ "train.a" = { low = 0.0, high = 1.0 } }', trials: int = 3
) -> MatrixOutcome:
    (project / "searches.py").write_text(SEARCHES)
    write(project, f'[matrix]\nselect = "train.val_score"\nsearch = {search}\ntrials = {trials}\nvalues = {values}\n')
    file = project / "pipeline.toml"
    file.write_text(file.read_text().replace('"./score.py"', '"./score.py", "./searches.py"'))
    plan = load_plan(file)
    checked = matrix_of(plan)
    assert checked is not None
    return run_matrix(plan, checked, silent)


def tried(outcome: MatrixOutcome) -> list[Any]:
    return [row.values["train.a"] for row in outcome.combinations]


def test_a_search_of_a_plugin_goes_by_earlier_results(project: Path) -> None:
    """The score is best at 0.3."""
    outcome = searched(project, '"halve"', trials=7)
    assert tried(outcome) == [0.0, 1.0, 0.0, 0.5, 0.25, 0.5, 0.25]
    assert outcome.best is not None
    assert outcome.best.values == {"train.a": 0.25}
    assert (project / "runs/m/train/score.txt").read_text() == "0.25 x"
    assert tried(searched(project, '{ use = "searches:halve", share = 0.2 }', trials=4)) == [0.0, 1.0, 0.0, 0.2]
    record = json.loads((project / "runs/m/run.json").read_text())
    assert "search halve" in record["plugins"]["searches.py"]["components"]


def test_a_search_may_list_its_combinations_at_once(project: Path) -> None:
    assert tried(searched(project, '"pair"')) == [0.0, 1.0]


def test_a_search_learns_that_a_run_failed(project: Path) -> None:
    outcome = searched(project, '"told"', '{ "train.fail" = [false, true] }')
    assert [row.values["train.fail"] for row in outcome.combinations] == [True, False]


def test_a_combination_that_is_no_valid_pipeline_is_a_row(project: Path) -> None:
    outcome = searched(project, '"pair"', '{ "train.a" = { low = 0.0, high = 11.0 } }')
    assert [row.score for row in outcome.combinations] == [0.7, None]
    assert "less than or equal to 10" in outcome.combinations[1].error


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("text", "must return a list of combinations or be a generator of them, and returned a value of type str"),
        ("nothing", "proposed no combination"),
        ("many", "returned 4 combinations; trials asks for 1 to 3"),
        ("beyond", "proposed train.a = 3; the range is 0 to 1"),
        ("unknown", "proposed a combination with the unknown name 'train.b'"),
        ("without", "proposed a combination without 'train.a'"),
        ("infinite", "proposed train.a = nan, expected a finite number"),
        ("stops", "failed: KeyError: 'lost'"),
    ],
)
def test_what_a_search_proposes_is_checked_with_the_plugins_name(project: Path, search: str, words: str) -> None:
    with pytest.raises(PluginError) as raised:
        searched(project, f'"{search}"')
    assert str(raised.value).startswith(f"search {search!r} of plugin 'searches' {words}")


def test_a_search_is_checked_before_anything_runs(project: Path) -> None:
    with pytest.raises(PlanError, match="no search called 'halv'"):
        searched(project, '"halv"')
    with pytest.raises(PlanError, match=r"matrix\.search\.share: input should be greater than 0"):
        searched(project, '{ use = "halve", share = 0 }')
    with pytest.raises(PlanError, match="no parameter called 'b'"):
        searched(project, '"halve"', '{ "train.b" = [1] }')
    assert not (project / "runs").exists()


def test_a_stopped_search_of_a_plugin_is_known_by_its_first_combination(project: Path) -> None:
    searched(project, '"halve"')
    plan = load_plan(project / "pipeline.toml")
    matrix = matrix_of(plan)
    assert matrix is not None
    assert [one.name for one in known_plans(plan, matrix)] == ["m-1"]


def test_a_range_stays_within_its_ends() -> None:
    """Rounding to four digits would leave both; so would rounding to an integer."""
    narrow = ValueRange(low=0.12344, high=0.98766)
    assert (narrow.at(0), narrow.at(1)) == (0.12344, 0.98766)
    whole = ValueRange(low=1.4, high=7.6, whole=True)
    assert [whole.at(share) for share in (0, 0.5, 1)] == [2, 4, 7]
    scale = ValueRange(low=1e-4, high=1e-2, log=True)
    assert scale.share_of(scale.at(0.25)) == pytest.approx(0.25, abs=1e-4)
    with pytest.raises(ValueError, match=r"there is no integer between 1\.2 and 1\.8"):
        ValueRange(low=1.2, high=1.8, whole=True)
