import numpy as np
import pytest

from edge_runtime.picture_header import BrokenPictureError, read_header

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")

KINDS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".bmp": "BMP",
    ".webp": "WebP",
    ".tiff": "TIFF",
    ".pgm": "Netpbm",
}


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 300), (513, 20)])
def test_kind_and_size_are_read(suffix, height, width):
    done, data = cv2.imencode(suffix, np.zeros((height, width), np.uint8))
    assert done
    header = read_header(data.tobytes())
    assert (header.kind, header.height, header.width) == (KINDS[suffix], height, width)
    assert header.orientation == 1


@pytest.mark.parametrize("quality", [50, 101])
def test_webp_with_and_without_loss_tells_its_size(quality):
    # 101 is OpenCV's word for lossless, which has another header.
    options = (cv2.IMWRITE_WEBP_QUALITY, quality)
    done, data = cv2.imencode(".webp", np.zeros((45, 67, 4), np.uint8), options)
    assert done
    header = read_header(data.tobytes())
    assert (header.height, header.width) == (45, 67)


def test_gif_tells_its_size():
    header = read_header(b"GIF89a" + bytes([44, 1, 200, 0]) + bytes(3) + b";")
    assert (header.kind, header.width, header.height) == ("GIF", 300, 200)


def test_netpbm_comments_are_skipped():
    header = read_header(b"P5\n# made by hand\n12 34\n255\n" + bytes(12 * 34))
    assert (header.width, header.height) == (12, 34)


def test_bmp_stored_from_the_top_has_a_positive_height():
    done, data = cv2.imencode(".bmp", np.zeros((5, 4), np.uint8))
    assert done
    turned = bytearray(data.tobytes())
    turned[22:26] = (-5).to_bytes(4, "little", signed=True)
    assert read_header(bytes(turned)).height == 5


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a picture"),
        (b"%PDF-1.4 ...", "not a picture"),
        (b"\x89PNG\r\n\x1a\n\0\0", "truncated within its header"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "truncated"),
        (b"II*\0\x08\0\0\0\0\0", "does not say its size"),
        (b"P5\n12", "truncated within its header"),
    ],
)
def test_what_cannot_be_a_whole_picture_says_why(data, says):
    with pytest.raises(BrokenPictureError, match=says):
        read_header(data)
