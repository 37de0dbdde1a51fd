"""Detects the importer that reads a folder or file, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipekit.errors import Reading, ReadingsError, UserError
from pipekit.files import files_in, folders_in, image_suffixes, is_archive, own_output_below, unreadable_below
from pipekit.passed_over import passed_over, sentence
from pipekit.registry.annotations import refuse_unread, with_readings_beside
from pipekit.registry.known_formats import refuse_known
from pipekit.registry.registry import Registry

MAX_WRAPPED = 3
"""The number of folders that are searched for a dataset of a certain format."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An importer's verdict on a folder or file: whether it can read it, and why or why not.

    Attributes:
        generality: the importer's ``GENERALITY``: above 0 for one that fits almost any folder of images. If several
            importers fit, the one with the smallest value is used.
        problem: set if its own format allows several readings.
        near: it can't read the path, which seems to be meant for it (:class:`~pipekit.contract.Rejected`).
    """

    importer: str
    fits: bool
    reason: str
    generality: int = 0
    problem: ReadingsError | None = None
    near: bool = False


def verdicts(registry: Registry, path: Path) -> list[Verdict]:
    """The verdicts of all importers on ``path``: first those that can read it, the most specific before the others.

    An importer whose ``sniff`` fails can't read it; a plugin's mistake must not hide the other verdicts.

    Raises:
        UserError: there is no such path.
    """
    if not path.exists():
        raise UserError(f"no such file or folder: {path}")
    if path.is_dir() and (unread := unreadable_below(path)) and unread[0][0] == str(path):
        raise UserError(f"the folder {path} can't be read: {unread[0][1]}", f"See who may read it: ls -ld {path}")
    found = []
    for component in registry.components("importer"):
        generality = 0
        try:
            importer = component.load()
            generality = int(getattr(importer, "GENERALITY", 0))
            answer = importer.sniff(path)
        except ReadingsError as error:
            found.append(Verdict(component.reference, True, error.message, generality, error))
            continue
        except Exception as error:
            found.append(Verdict(component.reference, False, f"its sniff failed: {type(error).__name__}: {error}"))
            continue
        reason = str(answer if answer else getattr(answer, "reason", ""))
        near = bool(getattr(answer, "near", False))
        found.append(Verdict(component.reference, bool(answer), reason or "no reason given", generality, near=near))
    return sorted(found, key=lambda verdict: (not verdict.fits, verdict.fits and verdict.generality))


def choose(registry: Registry, path: Path, found: list[Verdict]) -> Verdict:
    """Choose one of :func:`verdicts`.

    Raises:
        ReadingsError: several importers are equally specific, the format allows several readings, or a file beside the images
            says what they show and would not be read.
        UserError: no importer fits, or only importers that fit almost any folder, and it is in a format that none reads
            (:mod:`~pipekit.registry.known_formats`).
    """
    fitting = [verdict for verdict in found if verdict.fits]
    exact = [verdict for verdict in fitting if verdict.generality == fitting[0].generality]
    if len(exact) > 1:
        said = "; ".join(f"{verdict.importer} ({verdict.reason})" for verdict in exact)
        readings = [Reading(verdict.reason, format=verdict.importer) for verdict in exact]
        raise ReadingsError(f"{path} can be read in more than one way: {said}", readings)
    if not fitting or fitting[0].generality:
        refuse_known(path, only_beside_images=bool(fitting))
    if fitting:
        chosen = fitting[0]
        if chosen.problem and not chosen.generality:
            raise chosen.problem
        if chosen.generality and path.is_dir():
            refuse_wrapped(registry, path, chosen)
            if chosen.problem:
                raise with_readings_beside(registry, path, chosen.importer, chosen.problem)
            refuse_unread(registry, path, chosen.importer, chosen.reason)
        return chosen
    message = f"no importer recognises {path}"
    if is_archive(path):
        raise UserError(message, f"Unpack the archive: pipekit scaffold NAME --from {path}")
    if path.is_dir() and not any(path.iterdir()):
        raise UserError(message, "It is an empty folder.")
    if path.is_dir() and (unread := unreadable_below(path)):
        folder, reason = unread[0]
        raise UserError(f"{message}: the folder {folder} can't be read ({reason})", f"See who may read it: ls -ld {folder}")
    if path.is_dir() and (written := own_output_below(path)):
        raise UserError(message, f"It has folders that pipekit wrote; to read one, give its path: {', '.join(written[:4])}")
    raise UserError(message)


def refuse_wrapped(registry: Registry, path: Path, chosen: Verdict) -> None:
    """Raise if a folder in ``path``, which has only a few, is a dataset of a certain format: ``fridge/objects/annotations``.

    Raises:
        ReadingsError: with the reading of that folder, and ``chosen`` for the whole.
        UserError: the only folder is in a format that is known and not read.
    """
    folders = folders_in(path)
    if len(folders) > MAX_WRAPPED or any(files_in(path, image_suffixes())):
        return
    for name in folders:
        inner = path / name
        if len(folders) == 1:
            refuse_known(inner, only_beside_images=True)
        exact = [verdict for verdict in verdicts(registry, inner) if verdict.fits and not verdict.generality]
        if exact:
            reason = " or ".join(verdict.reason for verdict in exact)
            readings = [Reading(f"{name} alone: {verdict.reason}", str(inner), verdict.importer) for verdict in exact]
            readings += chosen.problem.readings if chosen.problem else [Reading(chosen.reason, format=chosen.importer)]
            raise ReadingsError(f"{path} has the folder {name}, a dataset by itself: {reason}", readings)


def find_importer(registry: Registry, path: Path, *, settled: bool = False) -> Verdict:
    """The importer for ``path``.

    Args:
        settled: the user has chosen among the readings of the format itself.

    Raises:
        ReadingsError: it can be read in several ways; see :func:`choose`.
        UserError: no importer fits; the error says why.
    """
    found = verdicts(registry, path)
    if settled:
        found = [replace(verdict, problem=None) for verdict in found]
    try:
        return choose(registry, path, found)
    except ReadingsError:
        raise
    except UserError as error:
        reasons = "".join(f"\n    {verdict.importer}: {verdict.reason}" for verdict in found)
        there = "" if any(verdict.fits for verdict in found) or not path.is_dir() else sentence(passed_over(path, None))
        near = "".join(f": {verdict.reason}" for verdict in found if verdict.near and not there)
        message = error.message + (f": {there}" if there else near)
        raise UserError(message, error.hint or f"The reason of each importer:{reasons}") from None


def is_one_image(path: Path) -> bool:
    """Whether ``path`` is a file with an image, rather than a dataset."""
    if not path.is_file():
        return False
    from pipekit import images

    return images.is_image(path)


def exporter_of(registry: Registry, importer: str) -> str:
    """The exporter that writes back all that an importer reads (its ``WRITTEN_AS``); "" if that is only a class for each image.

    Raises:
        UserError: the importer names an exporter that is not registered.
    """
    component = registry.get("importer", importer)
    name = str(getattr(component.load(), "WRITTEN_AS", ""))
    return registry.get("exporter", name, component.plugin).reference if name else ""
