"""The process that holds a model: it takes images on standard input and answers on standard output, in frames.

A frame is a JSON object and any number of files. The process ends when its input does, so that it never outlives the server.

    {"model": "runs/pets", ...}                      ->  {"ready": {"classes": [...], ...}}, or {"error": ..., "hint": ...}
    {"id": 1, "do": "predict"} and the images        ->  {"id": 1, "answers": [{"predicted": ...}, {"refused": ...}]}

Threads decode, and others predict what is decoded, as one batch: while the model works on some images, the next are decoded.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from pipekit.errors import ImageError, PipekitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.commands.serve import Served, Wanted

Frame = tuple[dict[str, Any], list[bytes]]


def write_frame(stream: IO[bytes], head: Mapping[str, Any], files: Sequence[bytes] = ()) -> None:
    parts = [json.dumps(head).encode(), *files]
    stream.write(struct.pack(f">{len(parts) + 1}I", len(parts), *map(len, parts)))
    for part in parts:
        stream.write(part)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Frame | None:
    """The next frame; None at the end, also in the middle of one."""
    sizes = _exactly(stream, 4)
    if sizes is None:
        return None
    (count,) = struct.unpack(">I", sizes)
    lengths = _exactly(stream, 4 * count)
    if lengths is None:
        return None
    parts = [_exactly(stream, length) for length in struct.unpack(f">{count}I", lengths)]
    whole = [part for part in parts if part is not None]
    return (json.loads(whole[0]), whole[1:]) if len(whole) == count else None


def _exactly(stream: IO[bytes], size: int) -> bytes | None:
    data = stream.read(size)
    return data if len(data) == size else None


@dataclass
class _Asked:
    """A request in work: the answers so far."""

    id: int
    answers: list[dict[str, Any] | None]
    left: int
    lock: threading.Lock = field(default_factory=threading.Lock)


class Loop:
    """Decodes, batches and predicts.

    Args:
        reply: sends a frame; it is called from several threads.
    """

    def __init__(self, served: Served, reply: Callable[[Mapping[str, Any]], None], max_batch: int) -> None:
        self.served, self.reply, self.max_batch = served, reply, max_batch
        self.decoders = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode")
        self.ready: queue.SimpleQueue[tuple[_Asked, int, NDArray[np.uint8]]] = queue.SimpleQueue()
        for _ in range(served.threads):
            threading.Thread(target=self._predict, daemon=True, name="predict").start()

    def take(self, identity: int, files: Sequence[bytes]) -> None:
        asked = _Asked(identity, [None] * len(files), len(files))
        if not files:
            self.reply({"id": identity, "answers": []})
        for place, data in enumerate(files):
            self.decoders.submit(self._decode, asked, place, data)

    def _decode(self, asked: _Asked, place: int, data: bytes) -> None:
        try:
            pixels = self.served.prepare(data)
        except ImageError as error:
            self._done(asked, place, {"refused": error.message})
        except Exception as error:  # a decoder's own mistake must not leave the request without an answer
            self._done(asked, place, {"refused": f"can't be decoded: {type(error).__name__}"})
        else:
            self.ready.put((asked, place, pixels))

    def _predict(self) -> None:
        while True:
            batch = [self.ready.get()]
            while len(batch) < self.max_batch and not self.ready.empty():
                try:
                    batch.append(self.ready.get_nowait())
                except queue.Empty:  # another thread was quicker
                    break
            try:
                found = self.served.predict([pixels for _, _, pixels in batch])
            except Exception as error:  # whatever the model does wrong: the next request may succeed
                message = error.message if isinstance(error, PipekitError) else f"{type(error).__name__}: {error}"
                found = [{"failed": message}] * len(batch)
            for (asked, place, _), answer in zip(batch, found, strict=True):
                self._done(asked, place, {**answer, "batch": len(batch)})

    def _done(self, asked: _Asked, place: int, answer: dict[str, Any]) -> None:
        with asked.lock:
            asked.answers[place] = answer
            asked.left -= 1
            whole = not asked.left
        if whole:
            self.reply({"id": asked.id, "answers": asked.answers})


def opened(wanted: Wanted) -> Served:
    """Open and warm up a model."""
    from pipekit.commands.serve import open_served

    served = open_served(wanted)
    served.warm_up()
    return served


def frames_of() -> tuple[IO[bytes], IO[bytes]]:
    """The input and the output of this process, for frames alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the whole group: the server ends this process
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the frames
    return sys.stdin.buffer, out


def main() -> None:
    """Serve frames until the input ends."""
    source, out = frames_of()
    lock = threading.Lock()

    def reply(head: Mapping[str, Any]) -> None:
        with lock:
            write_frame(out, head)

    first = read_frame(source)
    if first is None:
        return
    from pipekit.commands.serve import MAX_BATCH, Wanted

    asked = dict(first[0])
    max_batch = int(asked.pop("max_batch", MAX_BATCH))
    try:
        served = opened(Wanted.of(asked))
    except PipekitError as error:
        reply({"error": error.message, "hint": error.hint})
        return
    except Exception as error:
        reply({"error": f"the model can't be opened: {type(error).__name__}: {error}", "hint": ""})
        return
    loop = Loop(served, reply, max_batch)
    reply({"ready": served.facts})
    while (frame := read_frame(source)) is not None:
        loop.take(frame[0]["id"], frame[1])
    os._exit(0)  # threads of a runtime may wait for ever


if __name__ == "__main__":
    main()
