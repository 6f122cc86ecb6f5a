import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

from edge_runtime.contract import ModelContract
from edge_runtime.errors import ImageError, InputError, MissingDependencyError
from edge_runtime.images import (
    MAX_PIXELS,
    decode_image,
    fit_image,
    list_images,
    read_image,
    to_channels,
    to_uint8,
)

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")

GREY = ModelContract("grey", ("a", "b"), 8, 8, 1)
RGB = ModelContract("rgb", ("a", "b"), 8, 8, 3)


@pytest.fixture
def colours() -> np.ndarray:
    """RGB, 6 high and 10 wide: red above, blue below, and a green pixel in the top left corner."""
    image = np.zeros((6, 10, 3), np.uint8)
    image[:3, :, 0] = 250
    image[3:, :, 2] = 200
    image[0, 0] = (0, 240, 0)
    return image


@pytest.fixture
def photo() -> np.ndarray:
    """A smooth RGB picture that survives JPEG."""
    y, x = np.mgrid[0:64, 0:96]
    return np.stack([x * 2, y * 3, 255 - x - y], axis=-1).astype(np.uint8)


def encoded(image: np.ndarray, suffix: str, *options: int) -> bytes:
    stored = image[..., [2, 1, 0, *range(3, image.shape[-1])]] if image.ndim == 3 else image
    done, data = cv2.imencode(suffix, stored, options)
    assert done
    return data.tobytes()


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def exif(orientation: int, order: str = "<") -> bytes:
    """The smallest TIFF directory that says how a picture is turned."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def in_jpeg(data: bytes, content: bytes) -> bytes:
    segment = b"Exif\0\0" + content
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def in_png(data: bytes, *chunks: bytes) -> bytes:
    return data[:33] + b"".join(chunks) + data[33:]


def message(data: bytes, name: str = "picture.png") -> str:
    """What the error says; it must be one line that names the file."""
    with pytest.raises(ImageError) as caught:
        decode_image(data, name)
    text = str(caught.value)
    assert text.startswith(name)
    assert "\n" not in text
    return text


# Decoding


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_lossless_formats_give_rgb(suffix, colours):
    assert np.array_equal(decode_image(encoded(colours, suffix), "a"), colours)


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tif", ".bmp"])
def test_grey_stays_grey(suffix):
    grey = np.arange(60, dtype=np.uint8).reshape(6, 10)
    assert np.array_equal(decode_image(encoded(grey, suffix), "a"), grey)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_give_nearly_the_same_rgb(suffix, photo):
    pixels = decode_image(encoded(photo, suffix), "a")
    assert pixels.shape == photo.shape
    assert np.abs(pixels.astype(int) - photo).mean() < 4


def test_progressive_jpeg_is_read(photo):
    data = encoded(photo, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert data.count(b"\xff\xda") > 1
    assert decode_image(data, "a").shape == photo.shape


def test_jpeg_with_bytes_after_its_end_is_read(photo):
    # Phones append depth maps and previews.
    assert decode_image(encoded(photo, ".jpg") + b"appended" * 100, "a").shape == photo.shape


def test_sixteen_bits_are_rounded_to_eight():
    deep = np.array([[0, 128, 129, 257, 65535]], np.uint16)
    assert decode_image(encoded(deep, ".png"), "a").tolist() == [[0, 0, 1, 1, 255]]


def test_transparent_parts_are_put_on_white():
    image = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], np.uint8)
    assert decode_image(encoded(image, ".png"), "a").tolist() == [
        [[10, 20, 30], [255, 255, 255], [204, 204, 204]]
    ]


def test_palette_with_transparency_is_read():
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0))
    palette = chunk(b"PLTE", bytes([200, 100, 50, 1, 2, 3])) + chunk(b"tRNS", bytes([255, 0]))
    pixels = chunk(b"IDAT", zlib.compress(bytes([0, 0, 1])))
    data = b"\x89PNG\r\n\x1a\n" + header + palette + pixels + chunk(b"IEND", b"")
    assert decode_image(data, "a").tolist() == [[[200, 100, 50], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a.swapaxes(0, 1)[::-1, ::-1]),
        (8, np.rot90),
        (9, lambda a: a),
    ],
)
def test_exif_orientation_is_undone_in_png_and_jpeg(orientation, turned, colours, photo):
    png = in_png(encoded(colours, ".png"), chunk(b"eXIf", exif(orientation, ">")))
    assert np.array_equal(decode_image(png, "a"), turned(colours))
    plain = encoded(photo, ".jpg")
    upright = turned(decode_image(plain, "a"))
    assert np.array_equal(decode_image(in_jpeg(plain, exif(orientation)), "a"), upright)


def test_broken_exif_is_no_reason_to_refuse_a_picture(photo):
    data = encoded(photo, ".jpg")
    assert decode_image(in_jpeg(data, b"nonsense"), "a").shape == photo.shape


# What must be refused


def test_empty_file_is_named():
    assert message(b"", "none.png") == (
        "none.png is empty; a picture was expected; save or copy it again"
    )


@pytest.mark.parametrize("data", [b"hello, world" * 20, b"\0" * 500, b"<svg xmlns=''></svg>"])
def test_what_is_no_picture_is_refused(data):
    assert "is not a picture in a known format" in message(data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_truncated_picture_is_refused(suffix, share, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    data = encoded(noise, suffix)
    text = message(data[: int(len(data) * share)], "half" + suffix)
    assert "truncated" in text or "damaged" in text or "not a picture" in text
    assert capfd.readouterr().err == ""


def test_every_prefix_of_a_picture_is_refused_in_words(photo):
    for suffix in (".png", ".jpg", ".webp"):
        data = encoded(photo[:8, :8], suffix)
        for length in range(len(data) - 1):
            message(data[:length])


def test_png_with_a_changed_bit_is_refused(colours):
    data = bytearray(encoded(colours, ".png"))
    data[data.index(b"IDAT") + 10] ^= 1
    assert "is damaged (a PNG checksum is wrong)" in message(bytes(data))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff", ".pgm"])
def test_random_damage_ends_in_a_picture_or_an_image_error(suffix):
    rng = np.random.default_rng(1)
    data = encoded(rng.integers(0, 256, (20, 30), dtype=np.uint8), suffix)
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 3):
            broken[place] = rng.integers(0, 256)
        try:
            assert decode_image(bytes(broken), "a").dtype == np.uint8
        except ImageError as error:
            assert str(error).startswith("a")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (0, 5), (100_001, 1000)])
def test_decompression_bomb_is_refused_before_it_is_decoded(width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    text = message(data, "bomb.png")
    assert f"bomb.png says it has {width} x {height} pixels" in text
    assert f"1 to {MAX_PIXELS:,} pixels was expected" in text


def test_text_chunks_of_a_png_never_reach_the_decoder(colours, capfd):
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000), 9))
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(b"no profile"))
    data = in_png(encoded(colours, ".png"), profile, bomb)
    assert np.array_equal(decode_image(data, "a"), colours)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "is not a regular file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: (path.touch(), os.truncate(path, 2**28)), "268,435,456 bytes"),
    ],
)
def test_path_that_is_no_picture_file_is_named(make, says, tmp_path):
    path = tmp_path / "five.png"
    make(path)
    with pytest.raises(ImageError, match="five.png") as caught:
        read_image(path)
    assert says in str(caught.value)


def test_device_is_not_read():
    with pytest.raises(ImageError, match="/dev/zero is not a regular file"):
        read_image("/dev/zero")


def test_file_is_read(tmp_path, colours):
    path = tmp_path / "ünï cödé.png"
    path.write_bytes(encoded(colours, ".png"))
    assert np.array_equal(read_image(path), colours)


def test_missing_opencv_names_the_extra(monkeypatch, colours):
    data = encoded(colours, ".png")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'edge-runtime\[camera\]'"):
        decode_image(data, "a")


def test_import_does_not_bring_opencv():
    script = "import sys, edge_runtime.images; sys.exit('cv2' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_folder_lists_pictures_in_order_of_name(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.txt", ".hidden.png", "10.webp", "noext"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["10.webp", "a.jpg", "b.PNG"]


def test_link_that_leads_nowhere_is_one_bad_picture_not_a_bad_folder(tmp_path):
    (tmp_path / "a.png").symlink_to("a.png")
    (tmp_path / "b.png").touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.png"]
    with pytest.raises(ImageError, match="Too many levels of symbolic links"):
        read_image(tmp_path / "a.png")


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(ImageError, match="nowhere cannot be listed: No such file"):
        list_images(tmp_path / "nowhere")


# Arrays


@pytest.mark.parametrize(
    ("image", "pixels"),
    [
        (np.array([[True, False]]), [[[255], [0]]]),
        (np.array([[0, 7, 255]], np.uint8), [[[0], [7], [255]]]),
        (np.array([[0, 32896, 65535]], np.uint16), [[[0], [128], [255]]]),
        (np.array([[0.0, 0.5, 1.0]], np.float16), [[[0], [128], [255]]]),
        (np.array([[0.0, 1 / 255, 1.0]]), [[[0], [1], [255]]]),
        (np.array([[[1, 2, 3]]], np.uint8), [[[1, 2, 3]]]),
        (np.array([[[0.0, 0.0, 0.0, 0.0]]], np.float32), [[[255, 255, 255]]]),
    ],
)
def test_usual_arrays_become_uint8(image, pixels):
    result = to_uint8(image)
    assert result.dtype == np.uint8
    assert result.tolist() == pixels


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros(4, np.uint8), r"has the shape \[4\]"),
        (np.zeros((1, 4, 4, 1), np.uint8), r"has the shape \[1, 4, 4, 1\]"),
        (np.zeros((4, 4, 2), np.uint8), r"has the shape \[4, 4, 2\]"),
        (np.zeros((0, 4), np.uint8), r"has the shape \[0, 4\]"),
        (np.array([[0.0, np.nan]]), "float64 with NaN; a range of 0 to 1 was expected"),
        (np.array([[0.0, np.inf]]), "from 0 to inf"),
        (np.array([[0.0, 254.0]]), "from 0 to 254.*divide by 255"),
        (np.array([[-0.1, 1.0]], np.float32), "from -0.1 to 1"),
        (np.array([[1]]), r"is int64; uint8, uint16.*use .astype\(np.uint8\)"),
        (np.array([[1j]]), "is complex128"),
        (np.array([["a"]], object), "is object"),
    ],
)
def test_other_arrays_are_refused_with_what_to_do(image, says):
    with pytest.raises(InputError, match=says):
        to_uint8(image)


def test_grey_is_the_luma_of_bt601():
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    exact = np.array([0.299, 0.587, 0.114, 1.0]) * 255
    assert np.abs(to_channels(primaries, 1)[0, :, 0] - exact).max() <= 1
    assert to_channels(np.full((2, 2, 3), 255, np.uint8), 1).max() == 255


def test_grey_becomes_three_equal_channels():
    grey = np.array([[1, 2]], np.uint8)
    assert to_channels(grey, 3).tolist() == [[[1, 1, 1], [2, 2, 2]]]


# Fits


@pytest.mark.parametrize("contract", [GREY, RGB])
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (8, 8), (1, 1), (40, 30, 3), (3, 3, 4)])
def test_fit_gives_the_contracts_shape(contract, fit, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    fitted = fit_image(image, contract, fit)
    assert fitted.pixels.shape == contract.input_shape
    assert fitted.pixels.dtype == np.uint8
    assert not fitted.empty


def test_stretch_fills_the_input():
    image = np.zeros((16, 32), np.uint8)
    image[:, 16:] = 200
    pixels = fit_image(image, GREY, "stretch").pixels[..., 0]
    assert (pixels[:, :4] == 0).all()
    assert (pixels[:, 4:] == 200).all()


def test_letterbox_keeps_proportions_and_continues_the_background():
    image = np.full((16, 32), 90, np.uint8)
    image[4:12, 8:24] = 200
    pixels = fit_image(image, GREY, "letterbox").pixels[..., 0]
    expected = np.full((8, 8), 90)
    expected[3:5, 2:6] = 200
    assert np.array_equal(pixels, expected)


def test_fit_comes_from_the_contract():
    image = np.full((16, 32), 90, np.uint8)
    image[4:12, 8:24] = 200
    for fit in ("stretch", "letterbox"):
        own = fit_image(image, GREY.replace(fit=fit)).pixels
        assert np.array_equal(own, fit_image(image, GREY, fit).pixels)
    assert not np.array_equal(own, fit_image(image, GREY, "stretch").pixels)


def test_ready_picture_is_not_touched():
    image = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    assert np.array_equal(fit_image(image, GREY, None).pixels[..., 0], image)


def test_picture_of_another_size_is_not_ready():
    with pytest.raises(InputError, match=r"shape \[8, 9, 1\]; \[8, 8, 1\] was expected; choose"):
        fit_image(np.zeros((8, 9), np.uint8), GREY, None)


def test_unknown_fit_names_the_known():
    with pytest.raises(InputError, match="'crop'; stretch or letterbox or ink was expected"):
        fit_image(np.zeros((8, 8), np.uint8), GREY, "crop")


def test_pillow_files_are_read_as_pillow_reads_them(photo):
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    picture = pillow.fromarray(photo)
    for mode, kind in (("P", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("L", "WEBP")):
        file = io.BytesIO()
        picture.convert(mode).save(file, kind, quality=95)
        pixels = decode_image(file.getvalue(), f"{mode}.{kind}")
        wanted = np.asarray(pillow.open(file).convert("RGB")).astype(int)
        got = to_channels(pixels, 3)
        assert np.abs(got - wanted).mean() < 4, mode
    file = io.BytesIO()
    turned = pillow.Exif()
    turned[0x0112] = 6
    picture.save(file, "WEBP", exif=turned.tobytes())
    assert decode_image(file.getvalue(), "a").shape == (96, 64, 3)
