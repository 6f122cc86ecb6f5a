"""The web page of a camera loop, or of a model alone (extra ``web``).

preview = Preview(Classifier, port=8080)
preview.start()
print(preview.invitation)
for reading in digits.watch(camera):
    preview.publish(reading)
preview.close()
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from .errors import InputError, MissingDependencyError
from .web.access import Access, check_token, is_loopback, new_token
from .web.inference import Inference
from .web.limits import Limits, RateLimiter
from .web.state import LiveState, MachineState
from .web.stream import Stream

if TYPE_CHECKING:
    from .classifier import Classifier
    from .frames import LiveReading, SourceStatus
    from .web.server import Server

__all__ = ["DEFAULT_PORT", "LOCALHOST", "MAX_VIEWERS", "Preview"]

LOCALHOST = "127.0.0.1"
DEFAULT_PORT = 8080
MAX_VIEWERS = 4
"""A viewer costs a thread and, at 15 frames a second of 640×480, some 5 megabits a second."""

# What the extra brings, by the names of the modules.
EXTRA = {
    "cv2": "OpenCV",
    "flask": "Flask",
    "prometheus_client": "prometheus-client",
    "waitress": "Waitress",
    "werkzeug": "Werkzeug",
}


class Preview:
    """A page, served by threads of its own from `start` until `close`.

    Attributes:
        token: What a browser or a program has to show; None where only this machine can connect.
    """

    def __init__(
        self,
        classifier_factory: Callable[[], Classifier],
        *,
        host: str = LOCALHOST,
        port: int = DEFAULT_PORT,
        token: str | None = None,
        max_viewers: int = MAX_VIEWERS,
        camera: bool = True,
        limits: Limits | None = None,
    ) -> None:
        """Prepares the page.

        Args:
            classifier_factory: Makes the classifier for what is drawn and uploaded. Called in the
                thread that will use it; the camera loop has a classifier of its own.
            host: Where to listen; "0.0.0.0" for the whole network.
            port: The port; 0 for any that is free.
            token: The token to ask for. By default none for this machine alone, else a new one.
            max_viewers: How many may watch the live picture at once.
            camera: Whether results will be published; if not, the page says so.
            limits: Others than the usual ones.

        Raises:
            InputError: The port, the token or the number of viewers is impossible.
        """
        if not 0 <= port <= 65535:
            raise InputError(f"the port is {port}", "a number from 0 to 65535")
        if max_viewers < 1:
            raise InputError(f"{max_viewers} viewers are to be allowed", "a number from 1")
        if token is None and not is_loopback(host):
            token = new_token()
        self.token = None if token is None else check_token(token)
        self._factory, self._host, self._port, self._camera = classifier_factory, host, port, camera
        self._limits = limits or Limits()
        self._live = LiveState()
        self._stream = Stream(self._limits, max_viewers)
        self._inference = Inference(
            classifier_factory, waiting=self._limits.waiting, answer_s=self._limits.answer_s
        )
        self._server: Server | None = None

    def start(self) -> None:
        """Loads the model and opens the page; it can be visited when this returns.

        Raises:
            InputError: The address cannot be listened on.
            MissingDependencyError: The extra ``web`` is not installed.
            EdgeRuntimeError: What the factory raised.
        """
        try:
            import cv2  # noqa: F401

            from .web.api import Services
            from .web.app import create_app, create_gate
            from .web.metrics import Metrics
            from .web.server import Server, listen
        except ModuleNotFoundError as error:
            module = (error.name or "").partition(".")[0]
            if module not in EXTRA:
                raise
            raise MissingDependencyError(
                f"{EXTRA[module]}, which the web page needs, is not installed",
                remedy="pip install 'edge-runtime[web]'",
            ) from None
        listening = listen(self._host, self._port)
        self._port = listening.getsockname()[1]
        try:
            classifier = self._inference.start()
        except BaseException:
            listening.close()
            raise
        machine, limits = MachineState(), self._limits
        services = Services(
            inference=self._inference,
            live=self._live,
            stream=self._stream,
            machine=machine,
            access=Access(self.token, self._port),
            limits=limits,
            rate=RateLimiter(limits.rate, limits.burst),
            metrics=Metrics(self._live, self._stream, machine),
            contract=classifier.contract,
            backend=classifier.interpreter.name,
            camera=self._camera,
        )
        self._server = Server(create_app(services), listening, limits, create_gate(services))
        self._stream.start()
        self._server.start()

    @property
    def url(self) -> str:
        """Where the page is, without the token; right once it has started if the port was 0."""
        host = self._host
        if host in ("0.0.0.0", "::", ""):
            host = _own_address()
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}/"

    @property
    def invitation(self) -> str:
        """The address to visit once, with the token in it; the page then takes it out."""
        return self.url if self.token is None else f"{self.url}?token={self.token}"

    @property
    def viewers(self) -> int:
        """How many watch the live picture."""
        return self._stream.viewers

    @property
    def encoded(self) -> int:
        """How many pictures were encoded for viewers."""
        return self._stream.encoded

    def publish(self, reading: LiveReading) -> None:
        """Shows a result of the camera loop; takes microseconds, however many watch."""
        self._live.publish(reading)
        self._stream.publish(reading)

    def publish_status(self, status: SourceStatus) -> None:
        """Shows the state of the camera."""
        self._live.publish_status(status)

    def close(self) -> None:
        """Closes the page and ends its threads, within some seconds; never raises."""
        self._stream.close()
        if self._server is not None:
            self._server.close()
        self._inference.close()

    def __enter__(self) -> Preview:
        """Starts."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes."""
        self.close()


def _own_address() -> str:
    """This machine's address in its network; its name where it has none."""
    # Connecting a UDP socket sends nothing; it makes the system choose the way to an address (here
    # one of those that are kept for documentation, RFC 5737).
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
