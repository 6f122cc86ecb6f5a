"""The web page and the HTTP API (extra ``web``): Flask on waitress.

Imported inside functions alone, by `edge_runtime.preview`: nothing else of the runtime needs it.
What a request passes on its way:

    server.py     connections, time limits, JSON for what is no request; hands a socket over
    access.py     whose request it is: token, host, origin
    limits.py     how many requests: a rate for each client, some at once
    app.py        routes, headers, errors as JSON
    api.py        what the API answers
    inference.py  the one thread that owns the classifier
    state.py      what the camera loop reported last
    stream.py     one thread that encodes frames, one for each viewer
    metrics.py    the same facts for Prometheus
    openapi.py    the same promises for programs
    static/       the page
"""

from __future__ import annotations

__all__: list[str] = []
