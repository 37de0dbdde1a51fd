"""The codec of the box: what ``pipekit.images`` decodes with libjpeg-turbo and the installed Pillow."""

from __future__ import annotations

from collections.abc import Iterable

from pipekit.files import suffixes_of_pillow


class Pillow:
    """The suffixes that the installed Pillow decodes. It has no ``decode``: ``pipekit.images`` does that by itself."""

    @staticmethod
    def suffixes() -> Iterable[str]:
        return suffixes_of_pillow()
