"""Where results go by MQTT, as ``--mqtt`` names it, and who logs in there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import InputError
from ..files import read_limited

__all__ = ["PASSWORD_VARIABLE", "MqttAddress", "mqtt_address", "mqtt_password"]

PASSWORD_VARIABLE = "EDGE_RUN_MQTT_PASSWORD"
MAX_PASSWORD_BYTES = 4096
# Source: IANA, service names mqtt and secure-mqtt.
PORT, TLS_PORT = 1883, 8883
FORM = "[mqtts://][USER@]HOST[:PORT]/TOPIC"


@dataclass(frozen=True)
class MqttAddress:
    """A broker and a topic.

    Attributes:
        host: Name or address of the broker.
        port: Its port.
        topic: Where results go; states go below it.
        user: Who logs in; None for nobody.
        tls: The connection is encrypted, the broker's certificate checked.
        password: From the environment or a file; not shown.
    """

    host: str
    port: int
    topic: str
    user: str | None = None
    tls: bool = False
    password: str | None = field(default=None, repr=False)

    @property
    def broker(self) -> str:
        """The broker in words."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def with_password(self, password: str | None) -> MqttAddress:
        """The same with a password.

        Raises:
            InputError: There is a password, and no user that it belongs to.
        """
        if password is not None and self.user is None:
            raise InputError("a password for MQTT is set, but no user", f"--mqtt {FORM}")
        return replace(self, password=password)


def mqtt_address(text: str) -> MqttAddress:
    """Parses an address.

    Args:
        text: ``HOST[:PORT]/TOPIC``, before it ``USER@`` and ``mqtt://`` or ``mqtts://``.

    Returns:
        The address, without a password.

    Raises:
        InputError: It is of another form, or has a password, which the list of processes would
            show to every user of the machine.

    >>> mqtt_address("broker.local/kitchen/meter")
    MqttAddress(host='broker.local', port=1883, topic='kitchen/meter', user=None, tls=False)
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "mqtt", text
    tls = scheme == "mqtts"
    try:
        parts = urlsplit(f"//{rest}")
        port = parts.port
        (parts.hostname or "").encode("idna")  # As the name service will want it.
    except ValueError:
        raise InputError(f"{_masked(text)} is no address of a broker", FORM) from None
    if parts.password is not None:
        raise InputError(
            "the address of the broker has a password, which every user of this machine can see",
            FORM,
            f"set ${PASSWORD_VARIABLE}, or name a file with --mqtt-password-file",
        )
    # A "?" or "#" begins nothing here; "#" and "+" are wildcards, not for those who publish.
    topic = rest.partition("/")[2].rstrip("/")
    wrong = any(c in "#+" or not c.isprintable() for c in topic) or topic.startswith(("$", "/"))
    if scheme not in ("mqtt", "mqtts") or not parts.hostname or not topic or wrong or port == 0:
        raise InputError(
            f"{text} is no address of a broker", f"{FORM}, as in broker.local/kitchen/meter"
        )
    return MqttAddress(
        parts.hostname, port or (TLS_PORT if tls else PORT), topic, parts.username, tls
    )


def mqtt_password(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The password, from a file's first line or the environment.

    Args:
        file: The file, or None.
        environment: The environment's variables.

    Returns:
        The password; None where none is set.

    Raises:
        InputError: The file cannot be read or is empty.
    """
    if file is None:
        return environment.get(PASSWORD_VARIABLE) or None
    try:
        lines = read_limited(file, MAX_PASSWORD_BYTES).decode().splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text", "the password on the first line") from None
    if not lines or not lines[0]:
        raise InputError(f"{file} is empty", "the password on the first line")
    return lines[0]


def _masked(text: str) -> str:
    """The text without what may be a password."""
    return text.rpartition("@")[2]
