"""How many devices each wave has, for a run that begins and for one that goes on."""

from __future__ import annotations

__all__ = ["DEFAULT_MAX_FAIL_PERCENTAGE", "next_waves", "wave_sizes"]

# After the canary a few, then more, then the rest: percentages of all devices of the run.
PERCENTAGES = (5, 25)
DEFAULT_MAX_FAIL_PERCENTAGE = 10.0


def wave_sizes(total: int) -> tuple[int, ...]:
    """The waves of a run: one device, 5 % of all, 25 %, the rest; each at least one.

    Args:
        total: How many devices there are, at least 1.

    Returns:
        The devices of each wave; their sum is `total`.

    >>> wave_sizes(50)
    (1, 2, 12, 35)
    >>> wave_sizes(2)
    (1, 1)
    """
    sizes: list[int] = []
    for wanted in (1, *(max(1, total * share // 100) for share in PERCENTAGES), total):
        if left := total - sum(sizes):
            sizes.append(min(wanted, left))
    return tuple(sizes)


def next_waves(total: int, done: int, left: int) -> tuple[int, ...]:
    """The waves of a run that goes on.

    The devices that are done count as those that came first. What they leave of the wave in which
    they end is the first wave, and those that follow keep their sizes. So a canary that has
    succeeded is not asked for again, and no wave is larger than it would have been.

    Args:
        total: How many devices the run has.
        done: How many of them are done.
        left: How many of them are to be tried.

    Returns:
        The devices of each wave; their sum is `left`.

    >>> next_waves(50, 1, 49)
    (2, 12, 35)
    >>> next_waves(50, 10, 40)
    (5, 35)
    """
    sizes: list[int] = []
    end = 0
    for size in wave_sizes(total):
        end += size
        if wanted := min(size, max(0, end - done), left - sum(sizes)):
            sizes.append(wanted)
    return tuple(sizes)
