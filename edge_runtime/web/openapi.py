"""What the API promises, as an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from edge_runtime import __version__

from .limits import Limits

__all__ = ["describe"]

Json = dict[str, Any]

SCORE: Json = {"type": "number", "minimum": 0, "maximum": 1}
MILLISECONDS: Json = {"type": "number", "minimum": 0}
COUNT: Json = {"type": "integer", "minimum": 0}


def describe(limits: Limits, classes: int, *, token: bool) -> Json:
    """The document.

    Args:
        limits: Those of this page.
        classes: How many labels its model has.
        token: Whether a token is needed.

    Returns:
        A JSON object.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edge-runtime",
            "version": __version__,
            "description": "Pictures in, labels and readings out. "
            f"One client may send {limits.rate:g} pictures a second, {limits.burst} after a pause.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"cookie": []}] if token else [],
        "paths": {
            "/api/classify": {"post": _classify(limits, classes)},
            "/api/read": {"post": _read(limits)},
            "/api/status": {
                "get": _get("status", "Model, camera, newest reading, machine", _STATUS)
            },
            "/healthz": {
                "get": {
                    **_get("health", "Whether pictures are answered; needs no token", _HEALTH),
                    "security": [],
                }
            },
            "/metrics": {
                "get": _answers(
                    "metrics",
                    "The same facts for Prometheus",
                    {"text/plain": {"schema": {"type": "string"}}},
                )
            },
            "/stream.mjpg": {"get": _stream()},
            "/openapi.json": {
                "get": _get("openapi", "This document", {"type": "object", "required": ["openapi"]})
            },
        },
        "components": {
            "schemas": _schemas(classes),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "edge_token_PORT",
                    "description": "Set by a visit to /?token=…; PORT is this server's.",
                },
            }
            if token
            else {},
        },
    }


_STATUS: Json = {"$ref": "#/components/schemas/Status"}
_HEALTH: Json = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"const": "ok"}},
}
_RETRY: Json = {
    "Retry-After": {
        "description": "Seconds after which another try makes sense",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    }
}


def _error(text: str, headers: Json | None = None) -> Json:
    answer: Json = {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    return {**answer, "headers": headers} if headers else answer


def _answers(name: str, summary: str, content: Json) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": content},
            "400": _error("Not a request that can be understood"),
            "401": _error("The token is missing or wrong"),
            "403": _error("Another page asks, in a browser"),
            "421": _error("Asked for by a name that is not this machine's"),
            "500": _error("A mistake of the program; it is in its log"),
            "503": _error("Too much at once, or no answer in time", _RETRY),
        },
    }


def _get(name: str, summary: str, schema: Json) -> Json:
    return _answers(name, summary, {"application/json": {"schema": schema}})


def _picture(name: str, summary: str, schema: str, limits: Limits, parameters: list[Json]) -> Json:
    described = _get(name, summary, {"$ref": f"#/components/schemas/{schema}"})
    described["parameters"] = [
        *parameters,
        {
            "name": "details",
            "in": "query",
            "description": "Add all probabilities, and the pixels that the model saw",
            "schema": {"type": "boolean", "default": False},
        },
    ]
    binary: Json = {"schema": {"type": "string", "format": "binary"}}
    described["requestBody"] = {
        "required": True,
        "description": "A picture file: PNG, JPEG, WebP, BMP, TIFF, GIF or PNM, of at most "
        f"{limits.body_bytes:,} bytes and {limits.pixels:,} pixels. As multipart/form-data it is "
        "the field `image`; with any other content type it is the body itself.",
        "content": {
            "image/png": binary,
            "image/jpeg": binary,
            "application/octet-stream": binary,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "format": "binary"}},
                    "additionalProperties": False,
                },
                "encoding": {"image": {"contentType": "image/png, image/jpeg"}},
            },
        },
    }
    described["responses"]["400"] = _error("No picture, or one that cannot be decoded")
    described["responses"]["413"] = _error("Too many bytes or pixels")
    described["responses"]["429"] = _error("Too many pictures from this client", _RETRY)
    return described


def _classify(limits: Limits, classes: int) -> Json:
    top_k: Json = {
        "name": "top_k",
        "in": "query",
        "description": "How many classes to report",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": classes,
            "default": min(3, classes),
        },
    }
    summary = "One picture, one label"
    return _picture("classify", summary, "Prediction", limits, [top_k])


def _read(limits: Limits) -> Json:
    return _picture("read", "All digits of a picture, in reading order", "Reading", limits, [])


def _stream() -> Json:
    kind = "multipart/x-mixed-replace"
    described = _answers(
        "stream", "Live pictures with boxes and readings", {kind: {"schema": {"type": "string"}}}
    )
    described["responses"]["404"] = _error("There is no camera")
    described["responses"]["503"] = _error("Too many are watching", _RETRY)
    return described


def _object(properties: Json, optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _schemas(classes: int) -> Json:
    text: Json = {"type": "string"}
    probabilities: Json = {"type": "array", "items": SCORE, "minItems": classes}
    seen: Json = {"$ref": "#/components/schemas/Input"}
    score: Json = {"label": text, "index": COUNT, "score": SCORE}
    or_null: Json = {"type": ["object", "null"]}
    return {
        "Error": _object({"error": {"type": "string", "pattern": r"^[^\r\n]+$"}}),
        "Input": _object(
            {
                "width": COUNT,
                "height": COUNT,
                "channels": COUNT,
                "data": {"type": "string", "contentEncoding": "base64"},
            }
        ),
        "Prediction": _object(
            {
                **score,
                "top": {"type": "array", "items": _object(score), "minItems": 1},
                "rejected": {"type": "boolean"},
                "latency_ms": MILLISECONDS,
                "probabilities": probabilities,
                "input": seen,
            },
            optional=("probabilities", "input"),
        ),
        "Digit": _object(
            {
                "label": text,
                "score": SCORE,
                "box": {"type": "array", "items": COUNT, "minItems": 4, "maxItems": 4},
                "rejected": {"type": "boolean"},
                "line": COUNT,
                "probabilities": probabilities,
                "input": seen,
            },
            optional=("probabilities", "input"),
        ),
        "Reading": _object(
            {
                "text": text,
                "digits": {"type": "array", "items": {"$ref": "#/components/schemas/Digit"}},
                "size": {
                    "description": "Width and height of the picture, upright, in pixels",
                    "type": "array",
                    "items": COUNT,
                    "minItems": 2,
                    "maxItems": 2,
                },
                "latency_ms": MILLISECONDS,
            }
        ),
        "Status": _object(
            {
                "version": text,
                "uptime_s": MILLISECONDS,
                "model": {"type": "object"},
                "limits": {"type": "object"},
                "has_camera": {"type": "boolean"},
                "camera": or_null,
                "live": or_null,
                "machine": {"type": "object"},
                "stream": {"type": "object"},
            }
        ),
    }
