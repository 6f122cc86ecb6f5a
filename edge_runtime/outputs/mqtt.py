"""Results by MQTT: retained, with a last will, and never in the way of the loop."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .. import __version__
from ..errors import MissingDependencyError
from ..frames import LiveReading, SourceStatus
from ..health import Health
from .home_assistant import discovery
from .mqtt_address import MqttAddress

__all__ = ["MqttOutput"]

ONLINE, OFFLINE = "online", "offline"
# The broker tells others that we are gone after one and a half times this; MQTT 3.1.1, 3.1.2.10.
KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 5.0
# As for a camera that is away: soon at first, then rarely.
MIN_DELAY_S, MAX_DELAY_S = 1, 60
# Ctrl-C is to end everything within two seconds; a broker in the same house answers in a few
# milliseconds.
GOODBYE_S = 0.5
POLL_S = 0.2
# "At most once" loses a message only with the connection, and after each connection all is said
# anew. An acknowledged message would be sent again by itself then, behind a newer one perhaps.
QOS = 0


class MqttOutput:
    """Publishes the steady text when it changes, and the camera's state.

    On TOPIC the result as JSON, on TOPIC/camera the state, on TOPIC/availability "online" or
    "offline", which the broker says for us if we vanish. All are retained, and all are said again
    after each connection: a broker may forget. The loop only leaves the latest of each behind; a
    thread of its own waits for the broker and publishes one after the other.
    """

    def __init__(self, address: MqttAddress, report: Callable[[str], None]) -> None:
        """Begins to connect; does not wait for it.

        Args:
            address: Where to.
            report: Gets one line whenever the connection comes or goes; called by a thread.

        Raises:
            MissingDependencyError: paho-mqtt is not installed.
        """
        self._address = address
        self._report = report
        self._told = ""
        self._wake = threading.Condition()
        self._latest: dict[str, str] = {
            topic: json.dumps(payload)
            for topic, payload in discovery(address.topic, __version__).items()
        }
        self._latest[f"{address.topic}/availability"] = ONLINE
        self._waiting: dict[str, str] = {}
        self._connected = False
        self._closing = False
        self._published = False
        self._client = self._connect()
        self._publisher = threading.Thread(target=self._publish, name="mqtt", daemon=True)
        self._publisher.start()

    def reading(self, reading: LiveReading) -> None:
        """Leaves a result to be published if its text is another one, or if it is the first."""
        if reading.changed or not self._published:
            self._published = True
            self._leave(self._address.topic, json.dumps(reading.to_dict()))

    def status(self, status: SourceStatus, health: Health) -> None:
        """Leaves the state to be published."""
        state = {**status.to_dict(), "machine": health.to_dict()}
        self._leave(f"{self._address.topic}/camera", json.dumps(state))

    def close(self) -> None:
        """Says goodbye, and waits for the broker half a second at most."""
        ends = time.monotonic() + GOODBYE_S
        with self._wake:
            self._closing = True
            self._latest[f"{self._address.topic}/availability"] = OFFLINE
            self._waiting[f"{self._address.topic}/availability"] = OFFLINE
            self._wake.notify_all()
        self._publisher.join(max(0.0, ends - time.monotonic()))
        waits_s = max(0.1, ends - time.monotonic()) if self._connected else 0.0
        self._client.disconnect()
        # paho's own `loop_stop` waits for its thread, which may be waiting for a connection.
        stopping = threading.Thread(target=self._client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(waits_s)

    def _connect(self) -> Any:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "paho":
                raise
            raise MissingDependencyError(
                "paho-mqtt is not installed, and --mqtt needs it",
                remedy="pip install 'edge-runtime[mqtt]'",
            ) from error
        address = self._address
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.reconnect_delay_set(MIN_DELAY_S, MAX_DELAY_S)
        client.will_set(f"{address.topic}/availability", OFFLINE, QOS, retain=True)
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if address.tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        # Neither resolves the name nor connects: paho's thread does, again and again.
        client.connect_async(address.host, address.port, KEEPALIVE_S)
        client.loop_start()
        return client

    def _leave(self, topic: str, payload: str) -> None:
        with self._wake:
            self._latest[topic] = self._waiting[topic] = payload
            self._wake.notify_all()

    def _publish(self) -> None:
        """The thread: one message after the other, each once the one before is on its way."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closing or (self._connected and self._waiting))
                if not (self._connected and self._waiting):
                    return
                topic = next(iter(self._waiting))
                payload = self._waiting.pop(topic)
            message = self._client.publish(topic, payload, QOS, retain=True)
            # A connection that broke just now; the next one gets the latest of everything.
            with suppress(RuntimeError):
                while self._connected and not message.is_published():
                    message.wait_for_publish(POLL_S)

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._tell(f"the MQTT broker {self._address.broker} refuses: {reason}; trying again")
            return
        with self._wake:
            self._connected = True
            self._waiting = dict(self._latest)
            self._wake.notify_all()
        self._tell(f"connected to the MQTT broker {self._address.broker}")

    def _on_disconnect(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        was_connected, self._connected = self._connected, False
        if was_connected and not self._closing:
            self._tell(f"the MQTT broker {self._address.broker} is gone; trying again")

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        # paho calls this while it handles the exception, and tells the reason in no other way.
        error = sys.exc_info()[1]
        reason = getattr(error, "strerror", None) or error or "no answer"
        self._tell(
            f"no connection to the MQTT broker {self._address.broker}: {reason}; trying again"
        )

    def _tell(self, line: str) -> None:
        """Each piece of news once: attempts go on for as long as the broker is away."""
        if line != self._told:
            self._told = line
            self._report(line)
