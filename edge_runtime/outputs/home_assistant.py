"""What Home Assistant is told so that it finds the camera by itself (MQTT discovery).

Source: Home Assistant documentation, "MQTT discovery", "MQTT sensor", "MQTT binary sensor".
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

__all__ = ["PREFIX", "discovery"]

PREFIX = "homeassistant"
"""The topic under which Home Assistant looks for devices unless it was set otherwise."""
# Home Assistant refuses longer states.
MAX_STATE = 255


def discovery(topic: str, version: str) -> dict[str, dict[str, Any]]:
    """The retained messages that make Home Assistant show a reader.

    Args:
        topic: Where the results go; names the device.
        version: This package's version.

    Returns:
        Payloads by topic: a sensor with the steady text, and one that tells whether there is a
        camera.
    """
    # A topic may hold what an identifier may not; the hash keeps "a/b" and "a-b" apart.
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", topic).strip("_") or "reader"
    node = f"{readable[:40]}_{hashlib.sha256(topic.encode()).hexdigest()[:8]}"
    common = {
        "device": {
            "identifiers": [f"edge_runtime_{node}"],
            "name": f"Reader {topic}",
            "model": "edge-run camera",
            "sw_version": version,
        },
        "origin": {"name": "edge-runtime", "sw_version": version},
    }
    online = {"topic": f"{topic}/availability"}
    running = "{{ 'online' if value_json.state == 'running' else 'offline' }}"
    return {
        f"{PREFIX}/sensor/{node}/text/config": common
        | {
            "name": "Text",
            "unique_id": f"{node}_text",
            "state_topic": topic,
            "value_template": f"{{{{ value_json.text[:{MAX_STATE}] }}}}",
            "json_attributes_topic": topic,
            "availability": [online, {"topic": f"{topic}/camera", "value_template": running}],
            "availability_mode": "all",
            "icon": "mdi:text-recognition",
        },
        f"{PREFIX}/binary_sensor/{node}/camera/config": common
        | {
            "name": "Camera",
            "unique_id": f"{node}_camera",
            "state_topic": f"{topic}/camera",
            "value_template": "{{ 'ON' if value_json.state == 'running' else 'OFF' }}",
            "json_attributes_topic": f"{topic}/camera",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "availability": [online],
        },
    }
