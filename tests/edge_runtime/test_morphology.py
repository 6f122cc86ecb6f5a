import numpy as np
import pytest

from edge_runtime.morphology import close_dark, find_components, grow, open_along


def labelled(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """The components, found by walking from pixel to pixel."""
    left, found = {(int(y), int(x)) for y, x in np.argwhere(mask)}, []
    while left:
        waiting, component = [min(left)], set()
        left.discard(waiting[0])
        while waiting:
            y, x = waiting.pop()
            component.add((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            waiting += near
        found.append(component)
    return found


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 0.95])
@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (23, 31)])
def test_components_are_those_found_by_walking(share, shape):
    rng = np.random.default_rng(int(share * 100))
    mask = rng.random(shape) < share
    values = rng.random(shape).astype(np.float32)
    found, wanted = find_components(mask), labelled(mask)
    assert len(found) == len(wanted)
    for index, component in enumerate(wanted):
        rows, columns = np.array(sorted(component)).T
        assert found.area[index] == len(component)
        assert (found.top[index], found.bottom[index]) == (rows.min(), rows.max() + 1)
        assert (found.left[index], found.right[index]) == (columns.min(), columns.max() + 1)
        assert found.sums(values)[index] == pytest.approx(values[rows, columns].sum(), rel=1e-5)
        alone = found.mask(np.arange(len(found)) == index)
        assert {(int(y), int(x)) for y, x in np.argwhere(alone)} == component


def test_spiral_is_one_component():
    spiral = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0, 1],
            [1, 1, 1, 1, 1, 0, 1],
            [1, 0, 0, 0, 1, 0, 1],
            [1, 0, 1, 1, 1, 0, 1],
            [1, 0, 0, 0, 0, 0, 1],
            [1, 1, 1, 1, 1, 1, 1],
        ],
        bool,
    )
    assert len(find_components(spiral)) == 1


def test_empty_mask_has_no_components():
    found = find_components(np.zeros((5, 5), bool))
    assert len(found) == 0
    assert not found.mask(np.zeros(0, bool)).any()


def test_grow_reaches_the_eight_neighbours():
    mask = np.zeros((5, 6), bool)
    mask[0, 2] = True
    assert np.argwhere(grow(mask)).tolist() == [[0, 1], [0, 2], [0, 3], [1, 1], [1, 2], [1, 3]]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("length", [2, 3, 4, 7])
def test_open_along_keeps_what_is_long_enough(axis, length):
    mask = np.zeros((3, 30), bool)
    mask[1, 4 : 4 + length] = True
    mask[1, 20 : 20 + length - 1] = True
    wanted = np.zeros_like(mask)
    wanted[1, 4 : 4 + length] = True
    if axis == 0:
        mask, wanted = mask.T, wanted.T
    assert np.array_equal(open_along(mask, length, axis), wanted)


def test_closing_fills_what_is_narrow_and_leaves_what_is_wide():
    picture = np.full((40, 40), 200, np.float32)
    picture[5:30, 10:14] = 40
    assert (close_dark(picture, 9) == 200).all()
    picture[:, 20:] = 90
    assert np.array_equal(close_dark(picture, 9)[:, 20:], picture[:, 20:])


@pytest.mark.parametrize("direction", ["down", "up", "left", "right"])
def test_closing_leaves_even_slopes_of_light_alone(direction):
    slope = np.repeat(np.linspace(100, 200, 40, dtype=np.float32)[:, np.newaxis], 30, axis=1)
    turned = {"down": slope, "up": slope[::-1], "left": slope.T, "right": slope.T[:, ::-1]}
    assert np.abs(close_dark(turned[direction], 11) - turned[direction]).max() < 0.01


def test_closing_works_on_pictures_smaller_than_its_window():
    for shape in ((1, 1), (1, 9), (9, 1), (3, 3)):
        picture = np.full(shape, 7, np.float32)
        assert np.array_equal(close_dark(picture, 25), picture)
