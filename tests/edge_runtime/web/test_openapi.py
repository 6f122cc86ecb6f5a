"""The API keeps what its OpenAPI document promises; Schemathesis tries to show that not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_runtime.web.limits import Limits
from edge_runtime.web.openapi import describe

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TOKEN = "a-token-of-some-length"
PICTURE_TYPES = ("image/png", "image/jpeg", "application/octet-stream")


@pytest.fixture(scope="module")
def guarded(open_page: Callable[..., Any]) -> Any:
    with open_page(camera=False, token=TOKEN, limits=Limits(rate=1e6, burst=10**6)) as client:
        yield client


@pytest.fixture(scope="module")
def schema(guarded: Any, make_png: Callable[[np.ndarray], bytes]) -> Any:
    # Pictures, not bytes at random: those are refused, which tells nothing of answers.
    sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))
    pictures = sizes.map(lambda size: make_png(np.full(size, 200, np.uint8)))
    for kind in PICTURE_TYPES:
        schemathesis.openapi.media_type(kind, pictures)
    return schemathesis.openapi.from_dict(
        guarded("GET", "/openapi.json", None, Authorization=f"Bearer {TOKEN}").json
    )


# To the others nothing can be said wrongly.
OPERATIONS = [
    ("/api/classify", "POST", "positive"),
    ("/api/classify", "POST", "negative"),
    ("/api/read", "POST", "positive"),
    ("/api/read", "POST", "negative"),
    ("/api/status", "GET", "positive"),
    ("/healthz", "GET", "positive"),
    ("/metrics", "GET", "positive"),
    ("/openapi.json", "GET", "positive"),
    ("/stream.mjpg", "GET", "positive"),
]


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_api_keeps_its_promises(
    schema: Any, guarded: Any, path: str, method: str, mode: str
) -> None:
    operation = schema[path][method]
    generation = schemathesis.GenerationMode(mode)

    # Few examples: each takes the time of a picture, and every run tries the same ones.
    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=generation))
    def holds(case: Any) -> None:
        case.call_and_validate(
            base_url=guarded.preview.url.rstrip("/"),
            headers={"Authorization": f"Bearer {TOKEN}"},
        )

    holds()


def test_document_is_valid_and_small(guarded: Any) -> None:
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    document = describe(Limits(), 10, token=True)
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )
    assert len(json.dumps(document)) < 20_000


def test_every_route_is_described_and_every_path_is_served(guarded: Any) -> None:
    document = guarded("GET", "/openapi.json", None, Authorization=f"Bearer {TOKEN}").json
    for path, methods in document["paths"].items():
        for method in methods:
            answer = guarded(method.upper(), path, None, Authorization=f"Bearer {TOKEN}")
            assert str(answer.status) in methods[method]["responses"], path
    assert set(document["paths"]) == {
        "/api/classify",
        "/api/read",
        "/api/status",
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/stream.mjpg",
    }


def test_document_without_a_token_asks_for_none() -> None:
    document = describe(Limits(), 3, token=False)
    assert document["security"] == []
    (top_k, _) = document["paths"]["/api/classify"]["post"]["parameters"]
    assert top_k["schema"]["maximum"] == 3
