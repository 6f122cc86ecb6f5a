"""The devices of an inventory, as the program ``ansible-inventory`` lists them."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FlashError
from ..programs import find_program
from .engine import ask, last_error

__all__ = ["InventoryDevice", "inventory_name", "list_devices"]

# Ansible tries one plugin after the other and tells what each of them says.
REFUSAL = re.compile(r"Failed to parse inventory with '(\w+)' plugin: (.+)")
PLACE = re.compile(r"^Origin: (.+:\d+)$", re.MULTILINE)
YAML_SUFFIXES = (".yml", ".yaml", ".json")


@dataclass(frozen=True)
class InventoryDevice:
    """A device as the inventory has it.

    Attributes:
        name: Its name.
        host: Its address, where the inventory gives one; Ansible's variables in it are not filled.
        port: Its port, likewise.
    """

    name: str
    host: str | None = None
    port: str | None = None

    @property
    def address(self) -> str:
        """What tells it from another device of the same name."""
        return f"{self.host or self.name}:{self.port or ''}"


def inventory_name(inventory: str) -> str:
    """What tells an inventory from another one: "a,b," itself, of a file the whole path."""
    return inventory if "," in inventory else str(Path(inventory).resolve())


def list_devices(inventory: str, limit: str | None) -> dict[str, InventoryDevice]:
    """The devices that a run would have.

    Args:
        inventory: The inventory, as for ``ansible-playbook -i``.
        limit: A pattern of Ansible's, or None for every device.

    Returns:
        The devices by their names, in the order of the inventory.

    Raises:
        MissingDependencyError: Ansible is not installed.
        FlashError: There is no such inventory, it cannot be read, or no device matches.
    """
    # "a,b," is a list of names, for Ansible and here.
    if "," not in inventory and not Path(inventory).exists():
        raise FlashError(
            f"there is no inventory {inventory}",
            "a file or folder that names the devices",
            "see docs/fleet.md for one",
        )
    narrowed = [] if limit is None else ["--limit", limit]
    with tempfile.TemporaryDirectory(prefix="edge-fleet-") as folder:
        # Into a file: whatever ansible.cfg lets Ansible say besides is not in it.
        listing = Path(folder) / "devices.json"
        done = ask(
            find_program("ansible-inventory", extra="fleet"),
            *("--list", "--inventory", inventory, *narrowed, "--output", str(listing)),
            # A name in --limit that is misspelt must not be left out in silence.
            ANSIBLE_HOST_PATTERN_MISMATCH="error",
        )
        if done.returncode or not listing.is_file():
            raise _refusal(inventory, limit, done.stderr)
        try:
            devices = _devices(json.loads(listing.read_bytes()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FlashError(
                f"the list of devices from ansible-inventory cannot be understood: {error!r}"
            ) from None
    if devices:
        return devices
    if limit is not None:
        raise _no_match(inventory, limit)
    raise FlashError(
        f"the inventory {inventory} names no device", "at least one", "see docs/fleet.md"
    )


def _devices(listing: Mapping[str, Any]) -> dict[str, InventoryDevice]:
    """The devices, group by group from the top, in the order in which Ansible takes them."""
    variables = listing["_meta"]["hostvars"]
    devices: dict[str, InventoryDevice] = {}
    seen = groups = ["all"]
    while groups:
        for name in (name for group in groups for name in listing.get(group, {}).get("hosts", [])):
            own = variables.get(name, {})
            devices.setdefault(
                name,
                InventoryDevice(name, _text(own, "ansible_host"), _text(own, "ansible_port")),
            )
        below = [kid for group in groups for kid in listing.get(group, {}).get("children", [])]
        groups = [kid for kid in dict.fromkeys(below) if kid not in seen]
        seen = [*seen, *groups]
    return devices


def _text(variables: Mapping[str, Any], name: str) -> str | None:
    value = variables.get(name)
    return str(value) if isinstance(value, str | int) else None


def _no_match(inventory: str, limit: str) -> FlashError:
    return FlashError(
        f"no device of {inventory} matches {limit!r}",
        "a device, a group or a pattern of Ansible's",
        f"ansible-inventory -i {inventory} --graph shows them",
    )


def _refusal(inventory: str, limit: str | None, stderr: str) -> FlashError:
    """What Ansible says of an inventory or a pattern, with the place in the file."""
    error = last_error(stderr.splitlines()) or (stderr.strip().splitlines() or ["no reason"])[-1]
    if limit is not None and (unknown := re.search(r"host pattern, ignoring: (.+)", error)):
        return _no_match(inventory, unknown[1])
    refusals = [
        (found[1], found[2], origin[1] if (origin := PLACE.search(block)) else None)
        for block in stderr.split("[WARNING]: ")
        if (found := REFUSAL.match(block))
    ]
    # A plugin that the file was never meant for refuses it, too.
    plugins = ["ini"]
    if Path(inventory).suffix in YAML_SUFFIXES:
        plugins = ["auto", "yaml"]
    elif os.access(inventory, os.X_OK):
        plugins = ["script"]
    ours = [refusal for refusal in refusals if refusal[0] in plugins] or refusals
    if ours:
        _, reason, place = next((refusal for refusal in ours if refusal[2]), ours[-1])
        error = reason if place is None else f"{place}: {reason}"
    return FlashError(f"Ansible cannot read the inventory {inventory}: {error}")
