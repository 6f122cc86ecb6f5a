from __future__ import annotations

import numpy as np

from edge_runtime.recovery import Backoff, Patience, Stillness


def test_default_times_report_every_fault_within_twenty_seconds() -> None:
    patience = Patience()
    assert max(patience.open_s, patience.read_s, patience.frozen_s) < 20
    assert (patience.first_retry_s, patience.last_retry_s) == (1, 60)
    assert patience.close_s < 1


def test_waits_double_to_the_longest_and_begin_anew_after_a_good_run() -> None:
    waits = Backoff(Patience())
    assert [waits.next_wait_s() for _ in range(7)] == [1, 2, 4, 8, 16, 32, 60]
    assert waits.next_wait_s() == 60
    waits.reset()
    assert waits.next_wait_s() == 1


def frame(value: int = 7) -> np.ndarray:
    return np.full((48, 64, 3), value, np.uint8)


def test_equal_frames_count_as_still_from_the_first_of_them() -> None:
    seen = Stillness()
    for now in (100.0, 104.0, 110.0):
        seen.see(frame(), now)
    assert seen.still_s == 10
    assert not seen.moving


def test_one_byte_of_difference_is_a_moving_picture() -> None:
    seen = Stillness()
    seen.see(frame(), 100.0)
    other = frame()
    other[13, 17, 1] += 1
    seen.see(other, 109.0)
    assert seen.moving
    assert seen.still_s == 0


def test_other_size_is_a_moving_picture() -> None:
    seen = Stillness()
    seen.see(frame(), 100.0)
    seen.see(frame()[:24], 109.0)
    assert seen.moving


def test_first_frame_moves_unless_it_is_the_one_that_froze() -> None:
    fresh, again = Stillness(), Stillness(frame())
    fresh.see(frame(), 5.0)
    again.see(frame(), 5.0)
    assert fresh.moving
    assert not again.moving
    assert again.still_s == 0  # Counted from the reopening.
