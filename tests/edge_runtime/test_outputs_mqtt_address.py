from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import InputError
from edge_runtime.outputs.mqtt_address import (
    PASSWORD_VARIABLE,
    MqttAddress,
    mqtt_address,
    mqtt_password,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("broker/meter", MqttAddress("broker", 1883, "meter")),
        ("broker:1884/a/b", MqttAddress("broker", 1884, "a/b")),
        ("mqtt://10.0.0.3/a/", MqttAddress("10.0.0.3", 1883, "a")),
        ("mqtts://broker/a", MqttAddress("broker", 8883, "a", tls=True)),
        ("reader@broker/a", MqttAddress("broker", 1883, "a", "reader")),
        ("[::1]:1884/a", MqttAddress("::1", 1884, "a")),
    ],
)
def test_an_address_is_a_broker_and_a_topic(text: str, expected: MqttAddress) -> None:
    assert mqtt_address(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "broker", "broker/", "/meter", "broker:0/a", "broker:99999/a", "broker:x/a", "broker/a/#",
     "broker/+/a", "broker//a", "broker/$SYS/a", "http://broker/a", "broker/a\nb", "a..b/c",
     "[::1/a"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InputError, match=r"no address of a broker; .*HOST\[:PORT\]/TOPIC"):
        mqtt_address(text)


@pytest.mark.parametrize("text", ["me:hunter2@broker/a", "me:hunter2@broker:x/a"])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError) as refused:
        mqtt_address(text)
    assert "hunter2" not in str(refused.value)


def test_the_refusal_of_a_password_names_the_ways_to_give_one() -> None:
    with pytest.raises(InputError, match=PASSWORD_VARIABLE) as refused:
        mqtt_address("me:hunter2@broker/a")
    assert "--mqtt-password-file" in str(refused.value)


def test_a_password_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from the file\nnot this\n")
    environment = {PASSWORD_VARIABLE: "from the environment"}
    assert mqtt_password(file, environment) == "from the file"
    assert mqtt_password(None, environment) == "from the environment"
    assert mqtt_password(None, {}) is None
    assert mqtt_password(None, {PASSWORD_VARIABLE: ""}) is None


def test_a_password_file_without_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match="empty is empty; the password on the first line"):
        mqtt_password(tmp_path / "empty")
    with pytest.raises(InputError, match="binary is not UTF-8"):
        mqtt_password(tmp_path / "binary")
    with pytest.raises(InputError, match="absent does not exist"):
        mqtt_password(tmp_path / "absent")


def test_a_password_is_not_shown_and_needs_a_user() -> None:
    address = mqtt_address("reader@broker/a").with_password("hunter2")
    assert address.password == "hunter2"
    assert "hunter2" not in repr(address)
    with pytest.raises(InputError, match="no user"):
        mqtt_address("broker/a").with_password("hunter2")
