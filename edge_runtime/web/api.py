"""What the API does with a picture, and what it tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flask import Request
from numpy.typing import NDArray
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, TooManyRequests

from edge_runtime import __version__

from ..classifier import Classifier
from ..contract import ModelContract
from ..images import decode_image
from ..picture_header import BrokenPictureError, read_header
from .access import Access
from .inference import Inference
from .limits import Limits, RateLimiter
from .metrics import Metrics
from .state import LiveState, MachineState, digits_in_detail, picture_data
from .stream import Stream

__all__ = ["Services", "classify", "read", "status"]


@dataclass(frozen=True)
class Services:
    """The parts that answer requests.

    Attributes:
        camera: Whether there is a camera loop that reports to this page.
        backend: The interpreter's name.
    """

    inference: Inference
    live: LiveState
    stream: Stream
    machine: MachineState
    access: Access
    limits: Limits
    rate: RateLimiter
    metrics: Metrics
    contract: ModelContract
    backend: str
    camera: bool
    started: float = field(default_factory=time.monotonic)


def classify(request: Request, services: Services) -> dict[str, Any]:
    """One picture, one label; see the OpenAPI document."""
    _only(request, "top_k", "details")
    classes = len(services.contract.labels)
    top_k = _whole_number(request, "top_k", min(3, classes), classes)
    details = _boolean(request, "details")

    def work(classifier: Classifier, pixels: NDArray[np.uint8], began: float) -> dict[str, Any]:
        fitted = classifier.prepare(pixels)
        # All classes are asked for, and the answer is cut: what was computed is not done again.
        (all_of_them,) = classifier.predict([fitted], top_k=classes, started=began)
        answer = all_of_them.to_dict()
        if details:
            scores = {one.index: one.score for one in all_of_them.top}
            answer["probabilities"] = [round(scores[index], 6) for index in range(classes)]
            answer["input"] = picture_data(fitted.pixels)
        answer["top"] = answer["top"][:top_k]
        return answer

    return _with_picture(request, services, work)


def read(request: Request, services: Services) -> dict[str, Any]:
    """All digits of a picture; see the OpenAPI document."""
    _only(request, "details")
    details = _boolean(request, "details")

    def work(classifier: Classifier, pixels: NDArray[np.uint8], _: float) -> dict[str, Any]:
        reading = classifier.read(pixels)
        answer = reading.to_dict()
        if details:
            answer["digits"] = digits_in_detail(reading)
        return {**answer, "size": [pixels.shape[1], pixels.shape[0]]}

    return _with_picture(request, services, work)


def status(services: Services) -> dict[str, Any]:
    """Everything the page shows beside the pictures."""
    camera = services.live.status
    contract = services.contract
    return {
        "version": __version__,
        "uptime_s": time.monotonic() - services.started,
        "model": {
            "name": contract.name,
            "variant": contract.variant,
            "labels": list(contract.labels),
            "input": list(contract.input_shape),
            "backend": services.backend,
        },
        "limits": {
            "body_bytes": services.limits.body_bytes,
            "pixels": services.limits.pixels,
        },
        "has_camera": services.camera,
        "camera": camera.to_dict() if camera is not None else None,
        "live": services.live.to_dict(),
        "machine": services.machine.to_dict(),
        "stream": {
            "viewers": services.stream.viewers,
            "max_viewers": services.stream.max_viewers,
        },
    }


def _with_picture(
    request: Request,
    services: Services,
    work: Callable[[Classifier, NDArray[np.uint8], float], dict[str, Any]],
) -> dict[str, Any]:
    """Takes the request's picture through the queue."""
    wait_s = services.rate.wait_s(request.remote_addr or "")
    if wait_s > 0:
        raise TooManyRequests("too many pictures; send them more slowly", retry_after=_up(wait_s))
    with services.inference.room():
        data = _picture(request, services.limits)

        def in_turn(classifier: Classifier) -> dict[str, Any]:
            began = time.perf_counter()
            pixels = decode_image(data, "the picture")
            return work(classifier, pixels, began)

        return services.inference.run(in_turn)


def _picture(request: Request, limits: Limits) -> bytes:
    if request.mimetype == "multipart/form-data":
        files = list(request.files.items(multi=True))
        if request.form or [name for name, _ in files] != ["image"]:
            raise BadRequest("the form is another; one file, in the field 'image', was expected")
        data: bytes = files[0][1].read()
    else:
        # Whatever the type says: curl --data-binary calls a picture a form.
        data = request.get_data(cache=False)
    if len(data) > limits.body_bytes:
        raise RequestEntityTooLarge(
            f"the picture has {len(data):,} bytes; at most {limits.body_bytes:,} were expected"
        )
    try:
        header = read_header(data)
    except BrokenPictureError:
        return data  # Decoding says what is wrong with it.
    if header.width * header.height > limits.pixels:
        raise RequestEntityTooLarge(
            f"the picture has {header.width} x {header.height} pixels; "
            f"at most {limits.pixels:,} were expected; make it smaller"
        )
    return data


def _whole_number(request: Request, name: str, default: int, maximum: int) -> int:
    text = _single(request, name)
    if text is None:
        return default
    # isdecimal() takes all scripts' digits; nobody else's JSON does.
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= maximum):
        wanted = f"a whole number from 1 to {maximum}"
        raise BadRequest(f"{name} is {text[:40]!r}; {wanted} was expected")
    return int(text)


def _boolean(request: Request, name: str) -> bool:
    text = _single(request, name)
    if text not in (None, "true", "false"):
        raise BadRequest(f"{name} is {text[:40]!r}; true or false was expected")
    return text == "true"


def _only(request: Request, *known: str) -> None:
    for name in request.args:
        if name not in known:
            raise BadRequest(
                f"{name[:40]!r} is no parameter of this; {' or '.join(known)} was expected"
            )


def _single(request: Request, name: str) -> str | None:
    values = request.args.getlist(name)
    if len(values) > 1:
        raise BadRequest(f"{name} is given {len(values)} times; once was expected")
    return values[0] if values else None


def _up(seconds: float) -> int:
    """Whole seconds, rounded up: Retry-After knows no others."""
    return max(1, int(-(-seconds // 1)))
