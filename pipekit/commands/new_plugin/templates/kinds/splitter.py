"""The splitter `${component}`."""

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    newest_first: bool = pipekit.param(False, "Train on the newest images, and test on the oldest")


def ${component}(
    units: list[pipekit.SplitUnit], fractions: dict[str, float], params: ${Component}Params, rng: pipekit.Rng
) -> list[str]:
    """Train on the oldest images, and test on the newest.

    A unit is a set of images that stay together. `group` is its value of the parameter `group_column` of `split`, here a date, as text
    that sorts by time. Return one of the names in `fractions` for each unit, in their order; draw from `rng` alone.
    """
    order = sorted(range(len(units)), key=lambda number: (units[number].group, units[number].key), reverse=params.newest_first)
    total, done, found = sum(unit.size for unit in units), 0, [""] * len(units)
    for number in order:
        middle, border = (done + units[number].size / 2) / max(1, total), 0.0
        for name, share in fractions.items():
            border += share
            if middle < border or name == list(fractions)[-1]:
                found[number] = name
                break
        done += units[number].size
    return found
