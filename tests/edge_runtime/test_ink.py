import numpy as np
import pytest

from edge_runtime.contract import ModelContract
from edge_runtime.images import fit_image
from edge_runtime.ink import fit_ink
from edge_runtime.resize import resize

# A four, a seven and a five as strokes from (x, y) to (x, y) in a unit square; the five has two.
FOUR = [((0.6, 0.0), (0.0, 0.6)), ((0.0, 0.6), (0.8, 0.6)), ((0.6, 0.3), (0.6, 1.0))]
SEVEN = [((0.0, 0.0), (0.7, 0.0)), ((0.7, 0.0), (0.3, 1.0))]
FIVE = [
    ((0.1, 0.12), (0.05, 0.45)),
    ((0.05, 0.45), (0.6, 0.55)),
    ((0.6, 0.55), (0.5, 0.9)),
    ((0.5, 0.9), (0.0, 1.0)),
    ((0.22, 0.02), (0.7, 0.0)),
]


def draw(strokes, size: int, thickness: float) -> np.ndarray:
    """Coverage by ink, 0 to 1, of a digit `size` pixels high in a picture that it just fits in."""
    margin = int(thickness / 2 + 2)
    y, x = np.mgrid[0 : size + 2 * margin, 0 : size + 2 * margin] - float(margin)
    distance = np.full(y.shape, np.inf)
    for start, end in strokes:
        (ax, ay), (bx, by) = np.multiply(start, size), np.multiply(end, size)
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
        along = along.clip(0, 1)
        distance = np.minimum(
            distance, np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay))
        )
    return (thickness / 2 + 0.5 - distance).clip(0, 1)


def sheet(
    strokes=FOUR,
    height=240,
    width=320,
    size=120,
    at=(40, 90),
    thickness=12.0,
    paper=215.0,
    ink=40.0,
) -> np.ndarray:
    """A picture of a digit on plain paper."""
    coverage = np.zeros((height, width))
    digit = draw(strokes, size, thickness)
    coverage[at[0] : at[0] + len(digit), at[1] : at[1] + len(digit)] = digit
    return paper + (ink - paper) * coverage


def pixels(picture: np.ndarray) -> np.ndarray:
    return picture.clip(0, 255).astype(np.uint8)


def fitted(picture: np.ndarray, **options) -> np.ndarray:
    result = fit_ink(pixels(picture), 28, 28, **options)
    assert not result.empty
    assert result.pixels.shape == (28, 28, 1)
    return result.pixels[..., 0]


def box(image: np.ndarray, level: int = 90) -> tuple[int, int]:
    """Height and width of what is brighter than `level`."""
    rows, columns = np.argwhere(image > level).T
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def assert_alike(image: np.ndarray, other: np.ndarray, tolerance: float = 12) -> None:
    """The same digit, up to anti-aliasing and one pixel of its place."""
    shifts = [np.roll(image, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    assert min(np.abs(shift.astype(int) - other).mean() for shift in shifts) < tolerance


@pytest.fixture(scope="module")
def four() -> np.ndarray:
    return fitted(sheet())


# As MNIST was made


def test_digit_is_light_on_dark_with_full_contrast(four):
    assert four.max() == 255
    assert (four == 0).mean() > 0.5
    assert four[0].max() == four[-1].max() == four[:, 0].max() == four[:, -1].max() == 0


@pytest.mark.parametrize("size", [25, 60, 120, 200])
def test_longer_side_of_the_box_is_twenty_pixels(size):
    assert max(box(fitted(sheet(size=size, at=(5, 5), thickness=size / 10)))) == pytest.approx(
        20, abs=1
    )


def test_proportions_are_kept(four):
    height, width = box(four)
    assert (height, width) == (20, pytest.approx(20 * 0.9 / 1.1, abs=1))


@pytest.mark.parametrize("at", [(5, 5), (5, 180), (100, 180), (60, 70)])
def test_centre_of_mass_is_in_the_middle_wherever_the_digit_is(at, four):
    image = fitted(sheet(at=at)).astype(float)
    for axis in (0, 1):
        profile = image.sum(axis=axis)
        centre = profile @ (np.arange(28) + 0.5) / profile.sum()
        assert 14 <= centre < 15
    assert np.array_equal(image, four)


def test_mnist_images_stay_as_they_are(mnist_test):
    images = mnist_test[0][:1000, :, :, 0]
    # Of 255: full ink is 254 or 255 in MNIST, so a level may move by a step or two.
    close = [np.abs(fit_ink(x).pixels[..., 0].astype(int) - x).max() <= 12 for x in images]
    assert np.mean(close) > 0.9


def test_mnist_images_of_other_polarity_come_out_the_same(mnist_test):
    for image in mnist_test[0][:200, :, :, 0]:
        assert np.array_equal(fit_ink(255 - image).pixels, fit_ink(image).pixels)


def test_mnist_images_survive_enlarging(mnist_test):
    for image in mnist_test[0][:200, :, :, 0]:
        large = np.pad(np.kron(image, np.ones((4, 4), np.uint8)), 17)
        assert_alike(fit_ink(large).pixels[..., 0], image, tolerance=14)


@pytest.mark.parametrize(("height", "width", "side"), [(56, 56, 40), (14, 14, 10), (28, 56, 20)])
def test_box_scales_with_the_input(height, width, side):
    result = fit_ink(pixels(sheet()), height, width)
    assert result.pixels.shape == (height, width, 1)
    assert max(box(result.pixels[..., 0])) == pytest.approx(side, abs=1)


def test_models_polarity_is_met(four):
    assert np.array_equal(fitted(sheet(), polarity="dark-on-light"), 255 - four)
    assert np.array_equal(fitted(sheet(), polarity="any"), four)


# Whatever the picture


@pytest.mark.parametrize(
    ("paper", "ink"), [(255, 0), (0, 255), (200, 160), (60, 95), (128, 100), (30, 230)]
)
def test_paper_and_ink_of_any_brightness_give_the_same(paper, ink, four):
    assert_alike(fitted(sheet(paper=paper, ink=ink)), four, tolerance=2)


@pytest.mark.parametrize("turned_over", [False, True])
@pytest.mark.parametrize("ink", [40, 150])
def test_uneven_light_noise_and_texture_are_removed(ink, turned_over, four):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:240, 0:320] / 320
    light = (1 - 0.45 * x) * (1 - 0.5 * ((x - 0.4) ** 2 + (y - 0.3) ** 2))
    texture = 1 + 0.02 * np.kron(rng.normal(size=(60, 80)), np.ones((4, 4)))
    picture = sheet(ink=ink) * light * texture + rng.normal(0, 4, light.shape)
    assert_alike(fitted(255 - picture if turned_over else picture), four)


def test_edge_of_a_shadow_is_not_ink(four):
    y, x = np.mgrid[0:240, 0:320] / 320
    shadow = 1 - 0.45 / (1 + np.exp((0.45 - x - 0.2 * y) / 0.01))
    noise = np.random.default_rng(0).normal(0, 2, x.shape)
    assert_alike(fitted(sheet() * shadow + noise), four)


def test_specks_are_left_out(four):
    picture = sheet()
    for row, column in np.random.default_rng(0).integers(2, 235, (30, 2)):
        picture[row : row + 2, column : column + 2] = 30
    assert_alike(fitted(picture), four, tolerance=3)


@pytest.mark.parametrize("slope", [0.0, 0.02])
def test_ruled_line_through_the_digit_is_left_out(slope, four):
    picture = sheet()
    for column in range(320):
        row = int(135 + slope * column)
        picture[row : row + 3, column] = np.minimum(picture[row : row + 3, column], 110)
    assert_alike(fitted(picture), four)


def test_frame_around_the_paper_is_left_out(four):
    picture = sheet()
    picture[:6], picture[-6:], picture[:, :6], picture[:, -6:] = 30, 30, 30, 30
    assert_alike(fitted(picture), four, tolerance=2)


@pytest.mark.parametrize("desk", [25, 120, 180])
@pytest.mark.parametrize("noise", [0, 3])
def test_sheet_on_a_darker_desk_is_paper(desk, noise, four):
    paper = sheet(FOUR, 300, 300, size=180, at=(50, 60), thickness=20)
    picture = np.full((400, 400), float(desk))
    picture[50:350, 50:350] = paper
    picture += np.random.default_rng(desk).normal(0, noise, picture.shape)
    assert_alike(fitted(picture), fitted(paper))


def test_blank_sheet_on_a_desk_is_empty():
    picture = np.full((400, 400), 60.0)
    picture[80:330, 60:340] = 220
    assert fit_ink(pixels(picture)).empty


@pytest.mark.parametrize("desk", [25, 120])
@pytest.mark.parametrize("blur", [9, 17])
def test_blurred_edge_of_a_blank_sheet_is_not_written_on_it(desk, blur):
    # How much of each column, and each row, is sheet: a ramp as wide as the blur at both ends.
    ends = np.add.outer([50, 350], [-blur / 2, blur / 2]).ravel()
    share = np.interp(np.arange(400), ends, [0, 1, 1, 0])
    picture = desk + (220 - desk) * np.outer(share, share)
    assert fit_ink(pixels(picture)).empty


def test_zero_is_no_sheet_and_no_frame(mnist_data):
    zeros = mnist_data.x_train[mnist_data.y_train == 0][:300, :, :, 0]
    # A hole taken for what is written would leave the ring out, and with it most of the ink.
    for zero in zeros:
        assert fit_ink(zero).pixels.sum() > 0.8 * zero.sum()


def test_all_strokes_of_a_digit_are_kept():
    # Without its upper bar a five is no five.
    top = fitted(sheet(FIVE))[:8]
    assert box(top)[1] >= 9


def test_stroke_beside_another_does_not_make_that_one_a_frame():
    # A bar that misses the stem of a seven lies in the seven's box, which is mostly empty.
    bar = ((0.08, 0.5), (0.38, 0.5))
    image = fitted(sheet([*SEVEN, bar], thickness=6))
    assert box(image) == (20, pytest.approx(20 * 0.7, abs=1))
    assert_alike(image, fitted(sheet(SEVEN, thickness=6)))


@pytest.mark.parametrize("size", [30, 60])
def test_small_digit_in_a_large_photo_is_found(size, four):
    picture = sheet(height=1200, width=1600, size=size, at=(800, 300), thickness=size / 10)
    picture += np.random.default_rng(0).normal(0, 3, picture.shape)
    assert_alike(fitted(picture), four)


def test_hairline_strokes_are_as_bright_as_others():
    image = fitted(sheet(size=220, at=(5, 20), thickness=1.5))
    rows = np.flatnonzero(image.max(axis=1))
    assert (image.max(axis=1)[rows[2:-2]] > 150).all()


def test_digit_touching_the_edge_is_kept(four):
    picture = sheet(at=(0, 0), height=140, width=140)[9:, 3:]
    assert_alike(fitted(picture), four, tolerance=20)


@pytest.mark.parametrize("noise", [0, 4])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("thickness", [14, 20, 26])
@pytest.mark.parametrize("strokes", [FOUR, SEVEN, FIVE], ids=["four", "seven", "five"])
def test_digit_cut_out_to_its_ink_on_all_sides_is_the_same(strokes, thickness, inverted, noise):
    whole = sheet(strokes, thickness=thickness)
    whole += np.random.default_rng(0).normal(0, noise, whole.shape)
    if inverted:
        whole = 255 - whole
    rows, columns = np.nonzero(np.abs(whole - whole[-1, -1]) > 80)
    tight = whole[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert_alike(fitted(tight), fitted(whole))


def test_large_photo_comes_to_the_same_as_a_small_one(four):
    contract = ModelContract(
        "digits", tuple("0123456789"), 28, 28, 1, polarity="light-on-dark", fit="ink"
    )
    photo = resize(pixels(sheet()), 2400, 3200)
    colour = np.stack([photo, photo, photo // 2 + 100], axis=-1)
    result = fit_image(colour, contract)
    assert not result.empty
    assert_alike(result.pixels[..., 0], four, tolerance=4)


# Nothing there


def blank(kind: str, shape: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    slope = 220 - 120 * (x * rng.random() + y * rng.random())
    return {
        "constant": np.full(shape, float(rng.integers(0, 256))),
        "noise": rng.normal(rng.uniform(60, 200), rng.uniform(1, 25), shape),
        "any value": rng.uniform(0, 255, shape),
        "shaded paper": slope + rng.normal(0, 3, shape),
        "overexposed paper": rng.normal(252, rng.uniform(4, 12), shape),
        "salt": np.where(rng.random(shape) < 0.002, 0.0, 200.0),
        "faint marks": 200 - 10 * draw(FOUR, min(shape) - 6, 2)[: shape[0], : shape[1]],
    }[kind]


@pytest.mark.parametrize("shape", [(28, 28), (64, 64), (240, 320)])
@pytest.mark.parametrize(
    "kind",
    [
        "constant",
        "noise",
        "any value",
        "shaded paper",
        "overexposed paper",
        "salt",
        "faint marks",
    ],
)
def test_picture_without_a_digit_is_empty(kind, shape):
    if kind == "faint marks":
        shape = (min(shape), min(shape))
    for seed in range(20):
        result = fit_ink(pixels(blank(kind, shape, seed)), 28, 28)
        assert result.empty
        assert result.pixels.shape == (28, 28, 1)
        assert not result.pixels.any()


def test_line_across_a_small_picture_is_no_digit():
    picture = np.full((40, 60), 215.0)
    picture[25:29] = 60
    assert fit_ink(pixels(picture)).empty


def test_ruled_paper_is_empty():
    picture = np.full((240, 320), 220.0)
    picture[40::40] = 120
    picture[41::40] = 120
    assert fit_ink(pixels(picture)).empty


def test_empty_picture_is_plain_paper_to_a_model_of_dark_strokes():
    result = fit_ink(np.full((30, 30), 90, np.uint8), polarity="dark-on-light")
    assert result.empty
    assert (result.pixels == 255).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (3, 500), (5, 5)])
def test_pictures_of_any_size_are_no_error(shape):
    for seed in range(10):
        picture = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        assert fit_ink(picture).pixels.shape == (28, 28, 1)


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (3, 5000), (17, 20000)])
def test_strips_are_no_error(shape):
    contract = ModelContract("m", ("a", "b"), 28, 28, 1, polarity="light-on-dark", fit="ink")
    for value in (0, 255):
        assert fit_image(np.full(shape, value, np.uint8), contract).empty
    fit_image(np.random.default_rng(1).integers(0, 256, shape, np.uint8), contract)
