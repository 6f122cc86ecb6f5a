from __future__ import annotations

import re

from edge_runtime.outputs.home_assistant import discovery

# Source: Home Assistant's documentation of MQTT discovery, what a topic's parts may hold.
CONFIG_TOPIC = re.compile(r"homeassistant/(sensor|binary_sensor)/[A-Za-z0-9_-]+/[a-z]+/config")


def test_home_assistant_is_told_of_the_text_and_of_the_camera() -> None:
    found = discovery("kitchen/meter", "1.2")
    assert all(CONFIG_TOPIC.fullmatch(topic) for topic in found)
    text, camera = found.values()
    assert text["state_topic"] == "kitchen/meter"
    assert "value_json.text" in text["value_template"]
    assert camera["state_topic"] == "kitchen/meter/camera"
    assert text["device"] == camera["device"]
    assert text["unique_id"] != camera["unique_id"]


def test_the_text_is_unavailable_while_the_camera_is_away() -> None:
    text, camera = discovery("meter", "1").values()
    assert text["availability_mode"] == "all"
    topics = [item["topic"] for item in text["availability"]]
    assert topics == ["meter/availability", "meter/camera"]
    # The camera's own sensor must be there then, or it could never say that it is away.
    assert [item["topic"] for item in camera["availability"]] == ["meter/availability"]


def test_topics_that_look_alike_are_different_devices() -> None:
    assert not set(discovery("a/b", "1")) & set(discovery("a_b", "1"))
    assert all(CONFIG_TOPIC.fullmatch(topic) for topic in discovery("Küche/Zähler 1", "1"))
