"""What a page answers, asked over HTTP as any client would."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_runtime import Classifier
from edge_runtime.frames import LiveReading, SourceStatus
from edge_runtime.web.limits import Limits

pytest.importorskip("flask")
pytest.importorskip("prometheus_client")
pytest.importorskip("waitress")

from werkzeug.test import Client

from edge_runtime.web.app import SECURITY_HEADERS

TOKEN = "a-token-of-some-length"
PAGE = "text/html; charset=utf-8"


def form(name: str, data: bytes, kind: str = "image/png") -> tuple[bytes, str]:
    """A multipart body with one file, and its content type."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n'
    body = head.encode() + f"Content-Type: {kind}\r\n\r\n".encode() + data + b"\r\n--b--\r\n"
    return body, "multipart/form-data; boundary=b"


def test_classify_answers_with_the_keys_of_the_command(client: Any, seven_png: bytes) -> None:
    answer = client("POST", "/api/classify", seven_png, Content_Type="image/png")
    assert answer.status == 200
    told = answer.json
    assert list(told) == ["label", "index", "score", "top", "rejected", "latency_ms"]
    assert (told["label"], told["index"], told["rejected"]) == ("7", 7, False)
    assert len(told["top"]) == 3
    assert told["top"][0] == {key: told[key] for key in ("label", "index", "score")}


def test_classify_agrees_with_the_classifier(
    client: Any, seven_png: bytes, seven_pixels: Callable[[int], np.ndarray]
) -> None:
    mine = Classifier().classify(seven_pixels(80), top_k=10)
    told = client("POST", "/api/classify?top_k=10&details=true", seven_png).json
    assert [one["score"] for one in told["top"]] == [one.score for one in mine.top]
    assert len(told["probabilities"]) == 10
    assert told["probabilities"][7] == pytest.approx(mine.score, abs=1e-6)
    assert told["input"]["width"] == told["input"]["height"] == 28


def test_read_answers_with_text_boxes_and_size(
    client: Any, make_png: Callable[[np.ndarray], bytes], seven_pixels: Callable[..., np.ndarray]
) -> None:
    two = np.hstack([seven_pixels(120), seven_pixels(120)])
    told = client("POST", "/api/read", make_png(two)).json
    assert list(told) == ["text", "digits", "latency_ms", "size"]
    assert told["text"].replace(" ", "") == "77"
    assert told["size"] == [240, 120]
    assert list(told["digits"][0]) == ["label", "score", "box", "rejected", "line"]
    detailed = client("POST", "/api/read?details=true", make_png(two)).json
    assert len(detailed["digits"][1]["probabilities"]) == 10
    assert detailed["digits"][1]["input"]["height"] == 28


def test_empty_paper_is_an_answer_not_an_error(
    client: Any, make_png: Callable[[np.ndarray], bytes]
) -> None:
    paper = make_png(np.full((100, 100), 250, np.uint8))
    assert client("POST", "/api/read", paper).json["text"] == ""
    assert client("POST", "/api/classify", paper).json["rejected"] is True


def test_picture_in_a_form(client: Any, seven_png: bytes) -> None:
    body, kind = form("image", seven_png)
    assert client("POST", "/api/classify", body, Content_Type=kind).json["label"] == "7"


def test_form_with_another_field_is_told_which_was_expected(client: Any, seven_png: bytes) -> None:
    body, kind = form("file", seven_png)
    answer = client("POST", "/api/classify", body, Content_Type=kind)
    assert (answer.status, "in the field 'image'" in answer.error) == (400, True)


def test_picture_as_curl_sends_it(client: Any, seven_png: bytes) -> None:
    kind = "application/x-www-form-urlencoded"
    assert client("POST", "/api/classify", seven_png, Content_Type=kind).json["label"] == "7"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("top_k=0", "top_k is '0'; a whole number from 1 to 10 was expected"),
        ("top_k=11", "from 1 to 10"),
        ("top_k=00000000000000000001", "from 1 to 10"),
        ("top_k=%D9%A3", "from 1 to 10"),
        ("top_k=", "from 1 to 10"),
        ("top_k=1&top_k=2", "given 2 times"),
        ("topk=5", "'topk' is no parameter of this; top_k or details was expected"),
        ("details=yes", "details is 'yes'; true or false was expected"),
    ],
)
def test_parameter_that_cannot_be_is_one_line(
    client: Any, seven_png: bytes, query: str, message: str
) -> None:
    answer = client("POST", f"/api/classify?{query}", seven_png)
    assert answer.status == 400
    assert message in answer.error


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the picture is empty"),
        (b"no picture", "the picture is"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "the picture is"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "the picture"),
    ],
)
@pytest.mark.parametrize("path", ["/api/classify", "/api/read"])
def test_what_is_no_picture_is_one_line(client: Any, path: str, body: bytes, message: str) -> None:
    answer = client("POST", path, body)
    assert answer.status == 400
    assert message in answer.error


@pytest.mark.parametrize("side", [30, 700])
def test_picture_in_a_form_may_be_as_large_as_one_without(
    client: Any, make_png: Callable[[np.ndarray], bytes], side: int
) -> None:
    # Noise does not compress: a picture as large as its pixels.
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    data = make_png(noise)
    body, kind = form("image", data)
    answer = client("POST", "/api/read", body, Content_Type=kind)
    assert answer.status == 200, answer.body
    assert answer.json["size"] == [side, side]
    assert client("POST", "/api/read", data).json["size"] == [side, side]


def test_form_without_a_file_is_one_line(client: Any) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n--b--\r\n'
    answer = client("POST", "/api/read", body, Content_Type="multipart/form-data; boundary=b")
    assert (answer.status, "the field 'image'" in answer.error) == (400, True)


def test_picture_that_unpacks_to_too_many_pixels_is_not_decoded(
    open_page: Callable[..., Any], make_png: Callable[[np.ndarray], bytes]
) -> None:
    bomb = make_png(np.zeros((3000, 3000), np.uint8))
    assert len(bomb) < 50_000
    with open_page(camera=False, limits=Limits(pixels=1_000_000)) as client:
        answer = client("POST", "/api/read", bomb)
        assert answer.status == 413
        assert "3000 x 3000 pixels; at most 1,000,000" in answer.error


def test_every_answer_has_the_security_headers(client: Any, seven_png: bytes) -> None:
    asked = [
        ("GET", "/", None, 200),
        ("GET", "/static/app.js", None, 200),
        ("GET", "/static/none.js", None, 404),
        ("GET", "/api/status", None, 200),
        ("GET", "/api/classify", None, 405),
        ("POST", "/api/classify", seven_png, 200),
        ("POST", "/api/classify", b"x", 400),
        ("GET", "/stream.mjpg", None, 404),
    ]
    for method, path, body, status in asked:
        answer = client(method, path, body)
        assert answer.status == status, path
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS, path
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_no_answer_says_what_serves_it(client: Any) -> None:
    assert client("GET", "/healthz").headers["Server"] is None


def test_wrong_method_says_which_is_right(client: Any) -> None:
    answer = client("DELETE", "/api/status")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
    assert "not done with that method" in answer.error


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/%2e%2e/errors.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static//etc/passwd",
        "/static/..\\app.py",
        "//etc/passwd",
        "/static/app.js%00",
        "/static/",
        "/static",
    ],
)
def test_nothing_but_the_pages_own_files_is_served(client: Any, path: str) -> None:
    answer = client("GET", path)
    assert answer.status in (400, 404)
    assert answer.error


def test_page_refers_to_its_own_files_alone(client: Any) -> None:
    page = client("GET", "/").body.decode()
    assert "http://" not in page
    assert "https://" not in page
    assert "style=" not in page
    assert "<script>" not in page
    for line in page.split('"'):
        if line.startswith("/static/"):
            assert client("GET", line).status == 200, line


def test_page_is_asked_for_anew_and_sent_only_when_changed(client: Any) -> None:
    first = client("GET", "/static/app.css")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client("GET", "/static/app.css", If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


def test_answers_are_kept_nowhere(client: Any) -> None:
    for path in ("/api/status", "/metrics", "/openapi.json", "/healthz"):
        assert client("GET", path).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org:8080", "192.168.0.2"])
def test_page_of_this_machine_does_not_answer_to_other_names(client: Any, host: str) -> None:
    for path in ("/", "/api/status", "/healthz", "/static/app.js"):
        answer = client("GET", path, Host=host)
        assert answer.status == 421
        assert "start it with --host" in answer.error


def test_other_pages_may_not_use_this_one(client: Any, seven_png: bytes) -> None:
    for method, path, body in [("POST", "/api/read", seven_png), ("GET", "/api/status", None)]:
        answer = client(method, path, body, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")
        assert answer.status == 403


def test_mistake_of_the_program_is_logged_and_not_told(
    client: Any,
    seven_png: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the program")

    monkeypatch.setattr(Classifier, "predict", fail)
    with caplog.at_level(logging.ERROR):
        answer = client("POST", "/api/classify?top_k=0007", seven_png)
    assert answer.status == 500
    assert "secret" not in answer.error
    assert "Traceback" not in answer.body.decode()
    assert "a secret of the program" in caplog.text
    assert "0007" not in caplog.text
    monkeypatch.undo()
    assert client("POST", "/api/classify", seven_png).status == 200


def test_rate_is_limited_for_pictures_alone(
    open_page: Callable[..., Any], seven_png: bytes
) -> None:
    with open_page(camera=False, limits=Limits(rate=0.01, burst=2)) as client:
        statuses = [client("POST", "/api/classify", seven_png).status for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        refused = client("POST", "/api/read", seven_png)
        assert 90 <= int(refused.headers["Retry-After"]) <= 100
        assert "more slowly" in refused.error
        assert client("GET", "/api/status").status == 200


def test_no_token_is_asked_for_on_this_machine(client: Any) -> None:
    assert client.preview.token is None
    assert client.preview.invitation == client.preview.url


@pytest.fixture
def guarded(open_page: Callable[..., Any]) -> Any:
    with open_page(camera=True, token=TOKEN) as client:
        yield client


def test_token_is_needed_for_everything_but_health_and_looks(
    guarded: Any, seven_png: bytes
) -> None:
    for method, path, body in [
        ("GET", "/api/status", None),
        ("GET", "/metrics", None),
        ("GET", "/openapi.json", None),
        ("GET", "/stream.mjpg", None),
        ("GET", "/none", None),
        ("POST", "/api/read", seven_png),
        ("POST", "/api/classify", None),
    ]:
        answer = guarded(method, path, body)
        assert answer.status == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "token is missing" in answer.error
        assert guarded(method, path, body, Authorization="Bearer wrong-wrong-wrong").status == 401
    assert guarded("GET", "/healthz").status == 200
    assert guarded("GET", "/static/app.css").status == 200
    page = guarded("GET", "/")
    assert (page.status, page.headers["Content-Type"]) == (401, PAGE)
    assert b"Token needed" in page.body


def test_token_in_a_header_lets_programs_in(guarded: Any, seven_png: bytes) -> None:
    shown = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded("GET", "/api/status", None, **shown).status == 200
    assert guarded("POST", "/api/classify", seven_png, **shown).json["label"] == "7"
    # Any name will do: a page that borrowed one has no token.
    assert guarded("GET", "/api/status", None, Host="pi.example", **shown).status == 200


@pytest.mark.parametrize("way", ["address", "form"])
def test_token_becomes_a_cookie_and_leaves_the_address(guarded: Any, way: str) -> None:
    if way == "address":
        answer = guarded("GET", f"/?token={TOKEN}")
    else:
        kind = "application/x-www-form-urlencoded"
        answer = guarded("POST", "/", f"token={TOKEN}".encode(), Content_Type=kind)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert TOKEN.encode() not in answer.body
    inside = guarded("GET", "/", Cookie=cookie.partition(";")[0])
    assert (inside.status, b'id="draw"' in inside.body) == (200, True)


def test_wrong_token_sets_no_cookie(guarded: Any) -> None:
    answer = guarded("GET", "/?token=wrong")
    assert (answer.status, answer.headers["Set-Cookie"]) == (401, None)
    assert b'role="alert">That is not the token' in answer.body


def test_token_is_in_no_log(
    guarded: Any, seven_png: bytes, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    with caplog.at_level(logging.DEBUG):
        guarded("GET", f"/?token={TOKEN}")
        guarded("GET", f"/none?token={TOKEN}", None, Authorization=f"Bearer {TOKEN}")
        guarded("POST", "/api/read", b"x", Authorization=f"Bearer {TOKEN}")
    captured = capfd.readouterr()
    assert TOKEN not in caplog.text + captured.out + captured.err


def test_status_tells_model_camera_reading_and_machine(
    open_page: Callable[..., Any],
    make_reading: Callable[..., LiveReading],
    running: SourceStatus,
) -> None:
    with open_page() as client:
        before = client("GET", "/api/status").json
        assert (before["has_camera"], before["camera"], before["live"]) == (True, None, None)
        client.preview.publish_status(running)
        client.preview.publish(make_reading(4))
        told = client("GET", "/api/status").json
        assert told["model"]["labels"] == list("0123456789")
        assert told["camera"]["state"] == "running"
        assert told["camera"]["granted"]["width"] == 640
        assert told["live"]["frame"] == 4
        assert told["live"]["digits"][0]["label"] == "7"
        assert set(told["machine"]) >= {"temperature_c", "throttled"}
        assert told["stream"] == {"viewers": 0, "max_viewers": 4}


def test_metrics_are_what_prometheus_reads(
    open_page: Callable[..., Any],
    make_reading: Callable[..., LiveReading],
    running: SourceStatus,
    seven_png: bytes,
) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    with open_page() as client:
        client.preview.publish_status(running)
        client.preview.publish(make_reading())
        for body in (seven_png, b"x"):
            client("POST", "/api/classify", body)
        client("GET", "/a-path-that-somebody-made-up")
        answer = client("GET", "/metrics")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = text_string_to_metric_families(answer.body.decode())
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }
    assert values["edge_http_requests_total", "/api/classify", "200"] == 1
    assert values["edge_http_requests_total", "/api/classify", "400"] == 1
    assert values["edge_http_requests_total", "other", "404"] == 1
    assert values["edge_answer_seconds_count", "/api/classify"] == 2
    assert values["edge_camera_state", "running"] == 1
    assert values["edge_camera_state", "absent"] == 0
    assert values["edge_camera_results_total",] == 1
    assert values["edge_camera_age_seconds",] == 0.0125
    assert not any("made-up" in str(name) for name in values)


def test_stream_says_plainly_that_there_is_no_camera(client: Any) -> None:
    answer = client("GET", "/stream.mjpg")
    assert answer.status == 404
    assert "edge-run camera --preview" in answer.error


def test_place_is_given_back_where_a_server_cannot_stream(open_page: Callable[..., Any]) -> None:
    with open_page() as client:
        browser = Client(client.preview._server._server.application)
        for _ in range(client.preview._stream.max_viewers + 1):
            answer = browser.get("/stream.mjpg", environ_base={"REMOTE_ADDR": "127.0.0.1"})
            assert answer.status_code == 503
            assert "cannot be streamed on" in answer.get_json()["error"]
        assert client.preview.viewers == 0


def open_stream(client: Any) -> socket.socket:
    viewer = socket.create_connection(client.address, timeout=30)
    viewer.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return viewer


def test_stream_has_its_headers_and_a_cap(
    open_page: Callable[..., Any], make_reading: Callable[..., LiveReading]
) -> None:
    with open_page(max_viewers=2) as client:
        client.preview.publish(make_reading())
        viewers = [open_stream(client) for _ in range(2)]
        try:
            for viewer in viewers:
                head = b""
                while b"image/jpeg" not in head:
                    head += viewer.recv(4096)
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                for name, value in SECURITY_HEADERS.items():
                    assert f"\r\n{name}: {value}\r\n".encode() in head
                assert b"multipart/x-mixed-replace; boundary=edge-runtime-frame\r\n" in head
                assert b"Content-Length: 0" not in head
                assert b"Transfer-Encoding" not in head
            refused = client("GET", "/stream.mjpg")
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "5"
            assert "too many are watching" in refused.error
            assert client("HEAD", "/stream.mjpg").status == 200
            assert client("GET", "/api/status").json["stream"]["viewers"] == 2
        finally:
            for viewer in viewers:
                viewer.close()
