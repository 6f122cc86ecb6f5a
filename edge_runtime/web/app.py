"""The Flask application: routes, headers, and errors as one line of JSON."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from flask import Flask, Response, redirect, request
from werkzeug.exceptions import (
    Forbidden,
    HTTPException,
    MisdirectedRequest,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
)

from ..errors import ImageError, InputError
from . import api, metrics
from .api import Services
from .inference import BusyError
from .openapi import describe
from .server import MULTIPART_BYTES, TAKE_SOCKET, Gate, Refusal
from .stream import BOUNDARY

__all__ = ["SECURITY_HEADERS", "create_app", "create_gate"]

log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer. The page is made of its own files alone, and may stand in no other."""

PICTURE_PATHS = ("/api/classify", "/api/read")
# The form in which a person types the token.
FORM_BYTES = 4096
# What werkzeug holds of a form while it reads one: pieces of 64 KiB, and what is left of the last.
FORM_MEMORY_BYTES = 2**18
# A year: whoever was let in stays so, until the token changes.
COOKIE_S = 365 * 24 * 3600
# A picture that takes longer than this will never be done.
STUCK_S = 60.0
# What may be fetched by anybody: it is the same everywhere, and says nothing of this machine.
OPEN_ENDPOINTS = ("health", "static", "page", "log_in")
RETRY_S = 1
# A viewer leaves now and then.
RETRY_STREAM_S = 5


# Where Flask refuses, in the words of this project.
_MESSAGES = {
    404: "there is nothing here; /openapi.json says what there is",
    405: "this is not done with that method; /openapi.json says how",
    413: "the request is too large",
}


def create_gate(services: Services) -> Gate:
    """What is decided of a request before its body is read; see `server.Gate`."""

    def gate(method: str, path: str, headers: dict[str, str], length: int) -> Refusal | None:
        if length == 0:
            return None
        login = (method, path) == ("POST", "/")
        known = services.access.authorised(
            headers.get("AUTHORIZATION", ""), headers.get("COOKIE", "")
        )
        if not known and not login:
            return Refusal(401, "Unauthorized", "the token is missing or wrong")
        limit = FORM_BYTES
        if method == "POST" and path in PICTURE_PATHS:
            limit = services.limits.body_bytes + MULTIPART_BYTES
        if length > limit or (length < 0 and limit == FORM_BYTES):
            message = f"the request is too large; at most {limit:,} bytes were expected"
            return Refusal(413, "Content Too Large", message)
        return None

    return gate


def create_app(services: Services) -> Flask:
    """The application.

    Args:
        services: The parts that answer.

    Returns:
        A WSGI application; `/stream.mjpg` needs to be served by `server.Server`.
    """
    app = Flask("edge_runtime.web", static_folder="static", static_url_path="/static")
    # A redirection to the address with single slashes would repeat the name we were asked for by.
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config.update(
        MAX_CONTENT_LENGTH=services.limits.body_bytes + MULTIPART_BYTES,
        MAX_FORM_MEMORY_SIZE=FORM_MEMORY_BYTES,
        MAX_FORM_PARTS=8,
    )
    _add_checks(app, services)
    _add_page(app, services)
    _add_api(app, services)
    _add_errors(app)
    return app


def _add_checks(app: Flask, services: Services) -> None:
    access = services.access

    @app.before_request
    def check() -> None:
        if not access.host_allowed(request.headers.get("Host")):
            raise MisdirectedRequest(
                "this page answers to localhost and 127.0.0.1 alone; "
                "to use it from elsewhere start it with --host, which sets a token"
            )
        if not access.origin_allowed(request.headers):
            raise Forbidden("another page asked for this; open this one in a tab of its own")
        if request.endpoint not in OPEN_ENDPOINTS and not _authorised(services):
            raise Unauthorized("the token is missing or wrong")

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers.update(SECURITY_HEADERS)
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        route = request.url_rule.rule if request.url_rule else "other"
        services.metrics.requests.labels(route, str(response.status_code)).inc()
        return response


def _authorised(services: Services) -> bool:
    headers = request.headers
    return services.access.authorised(headers.get("Authorization", ""), headers.get("Cookie", ""))


def _add_page(app: Flask, services: Services) -> None:
    access = services.access

    @app.get("/")
    def page() -> Any:
        if "token" in request.args:
            return _let_in(request.args["token"])
        if not _authorised(services):
            return app.send_static_file("login.html"), 401
        return app.send_static_file("index.html")

    @app.post("/")
    def log_in() -> Any:
        return _let_in(request.form.get("token", "").strip())

    def _let_in(offered: str) -> Any:
        """Puts the token into a cookie and takes it out of the address."""
        if access.token is None:
            return redirect("/", 303)
        if not access.knows(offered):
            page = Path(str(app.static_folder), "login.html").read_text()
            return page.replace(" hidden", "", 1), 401
        response = redirect("/", 303)
        response.set_cookie(
            access.cookie, access.token, max_age=COOKIE_S, httponly=True, samesite="Lax"
        )
        return response


def _add_api(app: Flask, services: Services) -> None:
    document = describe(
        services.limits, len(services.contract.labels), token=services.access.token is not None
    )

    @app.post("/api/classify")
    def classify() -> Any:
        with services.metrics.answers.labels("/api/classify").time():
            return api.classify(request, services)

    @app.post("/api/read")
    def read() -> Any:
        with services.metrics.answers.labels("/api/read").time():
            return api.read(request, services)

    @app.get("/api/status")
    def status() -> Any:
        return api.status(services)

    @app.get("/healthz")
    def health() -> Any:
        if not services.inference.alive or services.inference.stuck_s > STUCK_S:
            raise ServiceUnavailable("pictures are not being answered", retry_after=RETRY_S)
        return {"status": "ok"}

    @app.get("/metrics")
    def prometheus() -> Any:
        return Response(services.metrics.text(), content_type=metrics.CONTENT_TYPE)

    @app.get("/openapi.json")
    def openapi() -> Any:
        return document

    @app.get("/stream.mjpg")
    def stream() -> Any:
        return _stream(services)


def _stream(services: Services) -> Response:
    """Hands the connection over to a thread of the stream's own."""
    if not services.camera:
        raise NotFound("there is no camera here; edge-run camera --preview shows one")
    answer = Response(
        content_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}",
        headers={"Cache-Control": "no-store"},
    )
    if request.method == "HEAD":
        return answer
    if not services.stream.admit():
        raise ServiceUnavailable("too many are watching already", retry_after=RETRY_STREAM_S)
    try:
        viewer = request.environ[TAKE_SOCKET]()
    except (KeyError, OSError):
        services.stream.dismiss()
        raise ServiceUnavailable("this connection cannot be streamed on") from None
    headers = {**dict(answer.headers), **SECURITY_HEADERS, "Connection": "close"}
    headers.pop("Content-Length", None)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    services.stream.show(viewer, f"HTTP/1.1 200 OK\r\n{head}\r\n".encode("latin-1"))
    return answer


def _add_errors(app: Flask) -> None:
    def answer(code: int, message: str, **headers: str) -> Response:
        # One line, whatever it quotes.
        body = json.dumps({"error": " ".join(message.split())}) + "\n"
        return Response(body, code, headers, content_type="application/json")

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        ours = error.description != type(error).description
        message = error.description if ours else _MESSAGES.get(error.code or 500)
        response = answer(error.code or 500, message or error.name)
        for name, value in error.get_headers(request.environ):
            if name in ("Allow", "Retry-After"):
                response.headers[name] = value
        if error.code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    @app.errorhandler(ImageError)
    @app.errorhandler(InputError)
    def unreadable(error: Exception) -> Response:
        return answer(400, str(error))

    @app.errorhandler(BusyError)
    def busy(error: BusyError) -> Response:
        response = answer(503, f"{error}; try again")
        response.headers["Retry-After"] = str(RETRY_S)
        return response

    @app.errorhandler(MemoryError)
    def too_large(_: MemoryError) -> Response:
        return answer(413, "the picture does not fit into memory; make it smaller")

    @app.errorhandler(Exception)
    def mistake(error: Exception) -> Response:
        # The path alone: a query may hold a token.
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return answer(500, "this failed, and the reason is in the log of the program")
