"""Counters, gauges and histograms in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@dataclass
class Counter:
    """A number that only grows, for each combination of labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, *labels: str, by: float = 1) -> None:
        self.values[labels] = self.values.get(labels, 0) + by

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.help, "counter")
        for labels, value in sorted(self.values.items()) or ([] if self.labels else [((), 0.0)]):
            yield f"{self.name}{_labelled(self.labels, labels)} {value:g}"


@dataclass
class Gauge:
    """A number that is kept elsewhere."""

    name: str
    help: str
    read: Callable[[], float]
    kind: str = "gauge"

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.help, self.kind)
        yield f"{self.name} {self.read():g}"


@dataclass
class Histogram:
    """How many values are at most each bound."""

    name: str
    help: str
    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[next((at for at, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))] += 1
        self.sum += value

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.help, "histogram")
        total = 0
        for bound, count in zip((*(f"{bound:g}" for bound in self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            yield f'{self.name}_bucket{{le="{bound}"}} {total}'
        yield f"{self.name}_sum {self.sum:g}"
        yield f"{self.name}_count {total}"


class Metrics:
    """What a server counts. No label has a name from a request or from a picture."""

    def __init__(self, waiting: Callable[[], float], restarts: Callable[[], float], ready: Callable[[], float]) -> None:
        self.requests = Counter("pipekit_requests_total", "Requests, by address and status", ("path", "status"))
        self.images = Counter("pipekit_images_total", "Images, by result: predicted, unknown, refused, failed", ("result",))
        self.seconds = Histogram("pipekit_predict_seconds", "Seconds from the request to its answer", SECONDS)
        self.batch = Histogram(
            "pipekit_batch_images", "For each image, the number of images that were predicted together", SIZES
        )
        self._gauges = (
            Gauge("pipekit_waiting_images", "Images that wait for an answer", waiting),
            Gauge("pipekit_worker_restarts_total", "How often the process of the model was started again", restarts, "counter"),
            Gauge("pipekit_ready", "1 if the model can predict", ready),
        )
        self._lock = threading.Lock()

    def answered(self, path: str, status: int) -> None:
        with self._lock:
            self.requests.add(path, str(status))

    def predicted(self, answers: list[dict[str, object]], seconds: float) -> None:
        with self._lock:
            self.seconds.add(seconds)
            for one in answers:
                bad = next((name for name in ("refused", "failed") if name in one), "")
                self.images.add(bad or ("unknown" if one.get("unknown") else "predicted"))
                if isinstance(one.get("batch"), int):
                    self.batch.add(float(str(one["batch"])))

    def text(self) -> str:
        with self._lock:
            every = (self.requests, self.images, self.seconds, self.batch, *self._gauges)
            return "".join(f"{line}\n" for one in every for line in one.lines())


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _labelled(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = ",".join(f'{name}="{value}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""
