"""What the HTTP process counts about itself, for /metrics."""

from __future__ import annotations

import time


class Tally:
    """Counts answers by their status. Used from the event loop alone."""

    def __init__(self) -> None:
        self._answers: dict[int, int] = {}
        self._started = time.monotonic()

    def note(self, status: int) -> None:
        self._answers[status] = self._answers.get(status, 0) + 1

    @property
    def answers(self) -> dict[int, int]:
        return dict(self._answers)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started
