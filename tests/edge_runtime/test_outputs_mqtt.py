"""MQTT against Debian's own mosquitto."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.frames import CameraState
from edge_runtime.health import Health
from edge_runtime.outputs.mqtt import MqttOutput
from edge_runtime.outputs.mqtt_address import mqtt_address

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is missing; the extra mqtt")

TOPIC = "kitchen/meter"


class Broker:
    """A mosquitto on 127.0.0.1 that can be killed and started again; it forgets what it knew."""

    def __init__(self, program: str, folder: Path, port: int, *settings: str) -> None:
        self.port = port
        self._configuration = folder / "mosquitto.conf"
        lines = [f"listener {port} 127.0.0.1", "persistence false", *settings]
        self._configuration.write_text("\n".join(lines) + "\n")
        self._command = [program, "-c", str(self._configuration)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("mosquitto does not answer")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Listener:
    """Another client, that remembers the latest of each topic and whether it was retained."""

    def __init__(self, port: int) -> None:
        self.latest: dict[str, str] = {}
        self.history: list[tuple[str, str]] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("#")
        self._client.on_message = self._note
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _note(self, client: object, data: object, message: Any) -> None:
        self.latest[message.topic] = message.payload.decode()
        self.history.append((message.topic, message.payload.decode()))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(
    require_tool: Callable[[str], str], tmp_path: Path, free_port: Callable[[], int]
) -> Iterator[Broker]:
    broker = Broker(require_tool("mosquitto"), tmp_path, free_port(), "allow_anonymous true")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def listen(broker: Broker) -> Iterator[Callable[[], Listener]]:
    listeners: list[Listener] = []

    def begin() -> Listener:
        listeners.append(Listener(broker.port))
        return listeners[-1]

    yield begin
    for listener in listeners:
        listener.close()


@pytest.fixture
def publish() -> Iterator[Callable[..., MqttOutput]]:
    """``publish(port)`` is an output that is closed when the test ends."""
    outputs: list[MqttOutput] = []

    def begin(port: int, report: Callable[[str], None] = print, user: str = "") -> MqttOutput:
        address = mqtt_address(f"{user}127.0.0.1:{port}/{TOPIC}")
        outputs.append(MqttOutput(address.with_password("secret" if user else None), report))
        return outputs[-1]

    yield begin
    for output in outputs:
        output.close()


def said(listener: Listener, key: str, topic: str = TOPIC) -> Any:
    return json.loads(listener.latest.get(topic, "{}")).get(key)


def test_a_reading_and_the_state_are_there_for_whoever_comes_later(
    broker: Broker, listen: Any, publish: Any, live_reading: Any, source_status: Any,
    wait_until: Any,
) -> None:  # fmt: skip
    first = listen()
    output = publish(broker.port)
    output.status(source_status(CameraState.RUNNING, fps=30), Health(61.5))
    output.reading(live_reading("4711", changed=True))
    wait_until(lambda: said(first, "text") == "4711", "the reading")
    late = listen()
    wait_until(lambda: said(late, "text") == "4711", "the retained reading")
    wait_until(lambda: said(late, "state", f"{TOPIC}/camera") == "running", "the state")
    assert said(late, "machine", f"{TOPIC}/camera") == {"temperature_c": 61.5, "troubles": []}
    wait_until(lambda: late.latest.get(f"{TOPIC}/availability") == "online", "availability")
    assert set(json.loads(late.latest[TOPIC])) == set(live_reading("4711").to_dict())


def test_only_the_first_reading_and_changes_are_published(
    broker: Broker, listen: Any, publish: Any, live_reading: Any, wait_until: Any
) -> None:
    listener = listen()
    output = publish(broker.port)
    texts = [("", False), ("", False), ("4", True), ("4", False), ("4", False), ("5", True)]
    for text, changed in texts:
        output.reading(live_reading(text, changed))
        if changed or len(listener.history) == 0:
            wait_until(lambda text=text: said(listener, "text") == text, f"{text!r}")
    published = [json.loads(line)["text"] for topic, line in listener.history if topic == TOPIC]
    assert published == ["", "4", "5"]


def test_a_broker_that_is_killed_is_told_everything_again_when_it_is_back(
    broker: Broker, listen: Any, publish: Any, live_reading: Any, source_status: Any,
    wait_until: Any,
) -> None:  # fmt: skip
    news: list[str] = []
    output = publish(broker.port, news.append)
    output.status(source_status(CameraState.RUNNING), Health())
    output.reading(live_reading("1", changed=True))
    wait_until(lambda: any("connected" in line for line in news), "the connection")
    broker.kill()
    wait_until(lambda: any("is gone" in line for line in news), "the news")
    for text in ("2", "3"):
        output.reading(live_reading(text, changed=True))
    broker.start()
    listener = listen()
    wait_until(lambda: said(listener, "text") == "3", "the latest reading")
    wait_until(lambda: said(listener, "state", f"{TOPIC}/camera") == "running", "the state")
    wait_until(lambda: any("/config" in topic for topic in listener.latest), "the discovery")
    # What nobody could take meanwhile is not made up for: only the latest counts.
    published = [json.loads(line)["text"] for topic, line in listener.history if topic == TOPIC]
    assert "2" not in published
    assert listener.latest[f"{TOPIC}/availability"] == "online"


def test_the_broker_says_offline_for_a_loop_that_vanished(
    broker: Broker, listen: Any, publish: Any, wait_until: Any
) -> None:
    listener = listen()
    output = publish(broker.port)
    wait_until(lambda: listener.latest.get(f"{TOPIC}/availability") == "online", "online")
    # What a power cut does: the connection ends without a word.
    output._client.socket().shutdown(socket.SHUT_RDWR)
    wait_until(lambda: (f"{TOPIC}/availability", "offline") in listener.history, "the last will")


def test_closing_says_offline_and_leaves_no_thread(
    broker: Broker, listen: Any, publish: Any, wait_until: Any
) -> None:
    listener = listen()
    before = threading.active_count()
    output = publish(broker.port)
    wait_until(lambda: listener.latest.get(f"{TOPIC}/availability") == "online", "online")
    output.close()
    wait_until(lambda: listener.latest.get(f"{TOPIC}/availability") == "offline", "offline")
    wait_until(lambda: threading.active_count() <= before, "the threads' end")


def test_a_broker_that_was_never_there_holds_up_nothing(
    publish: Any, live_reading: Any, free_port: Any, wait_until: Any
) -> None:
    news: list[str] = []
    output = publish(free_port(), news.append)
    for n in range(5000):
        output.reading(live_reading(str(n), changed=True))
    wait_until(lambda: news, "the news")
    assert "no connection to the MQTT broker 127.0.0.1:" in news[0]
    assert "Connection refused" in news[0]
    assert len(output._waiting) <= 4
    output.close()


def test_a_broker_that_accepts_and_says_nothing_holds_up_nothing(
    publish: Any, live_reading: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        output = publish(mute.getsockname()[1])
        for n in range(5000):
            output.reading(live_reading(str(n), changed=True))
        output.close()
        assert len(output._waiting) <= 5


def test_a_refused_password_is_said_once_and_not_shown(
    require_tool: Callable[[str], str], tmp_path: Path, free_port: Any, publish: Any,
    wait_until: Any,
) -> None:  # fmt: skip
    passwords = tmp_path / "passwords"
    tool = require_tool("mosquitto_passwd")
    subprocess.run([tool, "-c", "-b", str(passwords), "reader", "another"], check=True)
    # Started by root it would become another user, who may not read this folder.
    secured = Broker(
        require_tool("mosquitto"), tmp_path, free_port(),
        "allow_anonymous false", f"password_file {passwords}", "user root",
    )  # fmt: skip
    secured.start()
    try:
        news: list[str] = []
        publish(secured.port, news.append, user="reader@")
        wait_until(lambda: news, "the refusal")
        time.sleep(2.5)  # Two more attempts.
        assert len(news) == 1
        assert "refuses: Not authorized" in news[0]
        assert "secret" not in news[0]
    finally:
        secured.kill()
