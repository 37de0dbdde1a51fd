"""Ask whether images whose names look like groups belong together, before a split puts them into train and test."""

from __future__ import annotations


def ask_for_groups(source: str, column: str, pattern: str, *, ask: bool = True) -> str:
    """The pattern to group by: the given one, or the one that the names suggest if a user says yes; else "".

    Nobody is asked without a terminal; then ``split`` warns.
    """
    from pipekit import ui

    if column or pattern or not ask or not ui.can_ask():
        return pattern
    from pipekit.commands.name_groups import names_in_folder

    found = names_in_folder(source)
    if found is None:
        return ""
    ui.say(f"{str(found)[0].upper()}{str(found)[1:]}.")
    ui.say("If they show one patient, video or scene, they must not lie in train and in test: the metrics would be too high.")
    return found.pattern if ui.confirm(f"Keep each in one split ({found.option})?") else ""
