from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from edge_runtime.errors import ModelError
from edge_runtime.web.inference import BusyError, Inference


@pytest.fixture
def inference() -> Iterator[Inference]:
    made = Inference(lambda: "the classifier", waiting=2, answer_s=30.0)  # type: ignore[arg-type, return-value]
    made.start()
    yield made
    made.close()


def test_work_is_done_in_the_thread_that_made_the_classifier(inference: Inference) -> None:
    threads: set[Any] = {inference.run(lambda _: threading.current_thread()) for _ in range(3)}
    assert len(threads) == 1
    assert threading.current_thread() not in threads
    assert inference.run(lambda classifier: classifier) == "the classifier"  # type: ignore[comparison-overlap]


def test_errors_of_work_and_of_the_factory_reach_the_caller(inference: Inference) -> None:
    with pytest.raises(ZeroDivisionError):
        inference.run(lambda _: 1 / 0)
    assert inference.run(lambda _: 5) == 5

    def factory() -> Any:
        raise ModelError("no such model")

    with pytest.raises(ModelError, match="no such model"):
        Inference(factory, waiting=1, answer_s=1).start()


def test_no_more_pictures_than_there_is_room_for(inference: Inference) -> None:
    with inference.room(), inference.room(), pytest.raises(BusyError), inference.room():
        pass
    with inference.room():
        pass


def test_whoever_waits_too_long_is_told_and_the_work_is_not_done_later() -> None:
    inference = Inference(lambda: None, waiting=3, answer_s=0.2)  # type: ignore[arg-type, return-value]
    inference.start()
    go_on, done = threading.Event(), []
    first = threading.Thread(target=lambda: _swallow(inference, go_on))
    first.start()
    with pytest.raises(BusyError, match="too long"):
        inference.run(done.append)
    assert inference.stuck_s > 0
    go_on.set()
    first.join()
    assert inference.run(lambda _: 1) == 1
    assert not done
    assert inference.stuck_s == 0
    inference.close()


def _swallow(inference: Inference, event: threading.Event) -> None:
    # On a busy machine it may begin so late that its answer is in time.
    with suppress(BusyError):
        inference.run(lambda _: event.wait(30))


def test_closing_answers_those_who_wait() -> None:
    inference = Inference(lambda: None, waiting=3, answer_s=30)  # type: ignore[arg-type, return-value]
    inference.start()
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: object) -> None:
        begun.set()
        go_on.wait(30)

    busy = threading.Thread(target=inference.run, args=(slow,))
    busy.start()
    begun.wait(30)
    outcome: list[BaseException] = []

    def wait_in_line() -> None:
        try:
            inference.run(lambda _: None)
        except BusyError as error:
            outcome.append(error)

    waiting = threading.Thread(target=wait_in_line)
    waiting.start()
    while inference._jobs.empty():
        pass
    closing = threading.Thread(target=inference.close)
    closing.start()
    while inference.alive:
        pass
    go_on.set()
    for thread in (busy, waiting, closing):
        thread.join(30)
        assert not thread.is_alive()
    assert "closed" in str(outcome[0])
