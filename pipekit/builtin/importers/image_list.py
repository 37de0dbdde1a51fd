"""Text lists of images: ``train.txt`` with a line ``path label`` per image."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pipekit.builtin.importers.annotated import (
    BesideParams,
    Folders,
    Source,
    UnusableError,
    image_folders,
    missing_files,
    sources,
)
from pipekit.builtin.importers.files import first_of, how_found, is_image_name
from pipekit.builtin.importers.lists import MOST_DIGITS, lines, listed_labels
from pipekit.builtin.importers.lookup import lookup
from pipekit.contract import Adjusted, Categories, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.params import param

SUFFIXES = (".txt", ".lst")

READS = SUFFIXES

CLASS_LISTS = ("classes.txt", "class_names.txt", "labels.txt", "names.txt", "synsets.txt")
"""Files with a class name per line, in the order of their numbers from 0."""

LOOKED_AT = 5
"""Lines that :func:`sniff` reads to recognise a list."""

LEAST_WORDS, WORDS_SNIFFED = 8, 1000
"""Labels that are compared to tell classes from texts, as of lists for text recognition."""


class ImageListParams(BesideParams):
    classes: list[str] = param([], "The class names in the order of their numbers, from 0; by default from classes.txt")


def sniff(path: Path) -> str | Rejected:
    """List the files, or say what is missing."""
    if found := sources(path, SUFFIXES, _is_list):
        if texts := next(filter(None, (_texts_of(source.file) for source in found)), ""):
            return Rejected(texts)
        return f"lists with a line 'path label' per image: {first_of(source.prefix + source.file.name for source in found)}"
    return Rejected("no .txt file with a line 'path label' per image")


def read(path: Path, params: ImageListParams) -> Iterator[Sample | Failure | Categories | Adjusted]:
    """One sample per line; the id is the image's path below the folder of the list. A path may have spaces, a label has none.

    Numbers become names if there is a list of class names. The split comes from the list's name (``train_list.txt``). A line
    that can't be used, and an image that is listed again, are listed as failed.

    Raises:
        UserError: there is no such list, or it can't be read.
    """
    found = sources(path, SUFFIXES, _is_list)
    if not found:
        raise missing_files("list of images", path, "Expected a text file with a line 'path label' per image: images/a.jpg 3")
    with lookup(()) as seen:
        for source in found:
            root = Path(params.images) if params.images else source.base
            names = params.classes or class_names(source.base)
            yield from listed_labels(dict(enumerate(names)))
            folders = image_folders(root, source.split)
            for number, line in lines(source.file):
                row = _row(f"{source.file.name} line {number}", line, folders, names)
                if isinstance(row, str):
                    yield Failure(f"{source.prefix}{source.file.name} line {number}", row)
                    continue
                image, label, how = row
                identity = source.prefix + image.relative_to(root).as_posix()
                if before := seen.get(identity):
                    yield Failure(
                        f"{identity} again", f"{source.file.name} line {number}: listed before, in {before}", str(image)
                    )
                    continue
                seen.add(identity, f"{source.file.name} line {number}")
                yield Sample(identity, str(image), label=label, split=source.split)
                if how:
                    yield Adjusted(identity, how)


def _row(where: str, line: str, folders: Folders, names: list[str]) -> tuple[Path, str, str] | str:
    """(image, label, remark on how the image was found) of a line, or what is wrong with it."""
    path, *rest = line.rsplit(None, 1)
    if not rest or not is_image_name(path):
        return f"expected 'path label', got {line[:80]!r}"
    label = rest[0]
    try:
        image = folders.find(path)
    except UnusableError as error:
        return str(error)
    if image is None:
        return f"no such image: {path[:80]}"
    if names and label.isdecimal():
        if len(label) > MOST_DIGITS or int(label) >= len(names):
            return f"label {label[:20]}, but there are {len(names)} class names, from 0"
        label = names[int(label)]
    return image, label, how_found(path, image)


def _texts_of(file: Path) -> str:
    """Why the words of a list are no classes: most lines have one of their own, as transcriptions of text do."""
    words = [line.rsplit(None, 1)[-1] for _, line in islice(lines(file), WORDS_SNIFFED)]
    several = len(words) >= LEAST_WORDS and len(set(words)) > len(words) / 2 and not all(map(str.isdecimal, words))
    return f"{file.name}: {len(set(words))} different words in {len(words)} lines are too many to be classes" if several else ""


def class_names(base: Path) -> list[str]:
    """The names of the first of :data:`CLASS_LISTS` in a folder; a line may begin with its own number. Raises UserError."""
    file = next((base / name for name in CLASS_LISTS if (base / name).is_file()), None)
    if file is None or _is_list(file):
        return []
    found = [line for _, line in lines(file)]
    words = [line.split(None, 1) for line in found]
    if all(len(parts) == 2 and parts[0] == str(number) for number, parts in enumerate(words)):
        return [name for _, name in words]
    return found


def _is_list(file: Path) -> bool:
    """Whether the first lines are images with labels, and the first image is there."""
    try:
        first = [line.rsplit(None, 1) for _, line in islice(lines(file), LOOKED_AT)]
    except UserError:
        return False
    if not first or not all(len(parts) == 2 and is_image_name(parts[0]) and not is_image_name(parts[1]) for parts in first):
        return False
    base = Source(file, file.parent, "").base
    here, above = image_folders(base), image_folders(base.parent)
    return Folders([*here.first, *here.others, *above.first, *above.others]).find(first[0][0]) is not None
