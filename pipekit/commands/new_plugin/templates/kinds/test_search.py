from ${package}.${component} import ${Component}Params, ${component}

import pipekit
from pipekit.testing import check_search


def test_it_keeps_the_promises_of_a_search():
    check_search("${component}")
    check_search("${component}", first=1, reach=1)


def test_it_comes_nearer_to_the_best_value():
    space = pipekit.SearchSpace({"train.dropout": pipekit.ValueRange(low=0, high=1)}, "max", 30, 0)
    steps, trials = ${component}(space, ${Component}Params(), pipekit.rng_for(0)), []
    proposed = next(steps)
    for _ in range(space.trials):
        trials.append(pipekit.Trial(proposed, -abs(proposed["train.dropout"] - 0.3)))
        proposed = steps.send(trials[-1])
    assert space.best(trials).score > max(trial.score for trial in trials[:5])
    assert space.best(trials).score > -0.05
