from __future__ import annotations

import builtins
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import Classifier
from edge_runtime.errors import InputError, MissingDependencyError
from edge_runtime.preview import Preview


def no_classifier() -> Classifier:
    raise AssertionError("it is not to be loaded")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_this_machine_needs_no_token(host: str) -> None:
    preview = Preview(no_classifier, host=host)
    assert preview.token is None
    assert preview.invitation == preview.url


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "pi.local", ""])
def test_beyond_this_machine_a_token_is_made(host: str) -> None:
    first, second = Preview(no_classifier, host=host), Preview(no_classifier, host=host)
    assert first.token is not None
    assert len(first.token) >= 32
    assert first.token != second.token
    assert first.invitation == f"{first.url}?token={first.token}"
    assert first.token not in first.url


def test_address_of_all_interfaces_is_one_that_can_be_visited() -> None:
    assert "0.0.0.0" not in Preview(no_classifier, host="0.0.0.0").url
    assert Preview(no_classifier, host="::1", port=81).url == "http://[::1]:81/"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "the port is 70000; a number from 0 to 65535"),
        ({"port": -1}, "a number from 0 to 65535"),
        ({"token": "short"}, "the token has 5 characters"),
        ({"max_viewers": 0}, "0 viewers are to be allowed; a number from 1"),
    ],
)
def test_impossible_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Preview(no_classifier, **options)


def test_port_that_is_taken_is_one_line_and_the_model_is_not_loaded() -> None:
    for module in ("cv2", "flask", "prometheus_client", "waitress"):
        pytest.importorskip(module)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 cannot be used: Address"):
            Preview(no_classifier, port=port).start()
    with pytest.raises(InputError, match="is no address of this machine"):
        Preview(no_classifier, host="name.invalid", port=0).start()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("flask", "Flask"),
        ("waitress", "Waitress"),
        ("prometheus_client", "prometheus-client"),
        ("cv2", "OpenCV"),
    ],
)
def test_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    imported = builtins.__import__

    def without(wanted: str, *args: Any, **kwargs: Any) -> Any:
        if wanted.partition(".")[0] == module:
            raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted)
        return imported(wanted, *args, **kwargs)

    for loaded in [key for key in sys.modules if key.startswith("edge_runtime.web.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(builtins, "__import__", without)
    for earlier in ("cv2", "flask", "prometheus_client", "waitress"):
        if earlier != module:
            pytest.importorskip(earlier)
    with pytest.raises(MissingDependencyError, match=rf"{name}.*edge-runtime\[web\]"):
        Preview(no_classifier, port=0).start()


def test_error_of_the_factory_is_raised_and_the_port_is_free_again(
    released_model: Callable[[str], Path],
) -> None:
    for module in ("cv2", "flask", "prometheus_client", "waitress"):
        pytest.importorskip(module)

    def factory() -> Classifier:
        raise InputError("no such model")

    preview = Preview(factory, port=0)
    with pytest.raises(InputError, match="no such model"):
        preview.start()
    port = int(preview.url.rpartition(":")[2].strip("/"))
    with Preview(lambda: Classifier(released_model("int8")), port=port):
        pass
    preview.close()


def test_closing_what_was_never_opened_is_nothing() -> None:
    preview = Preview(no_classifier)
    preview.close()
    preview.close()
