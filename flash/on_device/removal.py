"""The device's part of ``python -m flash pi --uninstall``: removes what was installed."""

from __future__ import annotations

import os

from .changes import Changes
from .locks import no_transfer
from .places import (
    AUTHORIZED_KEYS,
    DEPLOY_HOME,
    DEPLOY_USER,
    FILES,
    FOLDERS,
    GECOS,
    LINK,
    SERVICE_USER,
    SUDOERS,
    UNIT_FOLDER,
    UNITS,
    environments,
    full_name,
    is_ours,
)
from .programs import end_processes, run, succeeds

__all__ = ["remove"]


def remove(changes: Changes) -> None:
    """Removes everything that an installation makes, models included, and nothing else.

    Args:
        changes: What does it, or says it.

    Raises:
        StepError: A model is being received, or a step failed; a second try goes on from there.
    """
    if changes.dry:
        _remove(changes)
        return
    with no_transfer():
        _remove(changes)


def _remove(changes: Changes) -> None:
    # Before anything goes that says what is ours.
    ours = {path for path in (*FILES, *FOLDERS, LINK) if os.path.lexists(path) and is_ours(path)}
    users = [name for name in (SERVICE_USER, DEPLOY_USER) if full_name(name) == GECOS]
    if DEPLOY_HOME in ours:
        changes.delete(AUTHORIZED_KEYS)  # From here on nobody comes in.
    if DEPLOY_USER in users and not changes.dry:
        end_processes(DEPLOY_USER)
    for path in FILES:
        changes.remove_unfinished(path)
    _remove_units(changes, [unit for unit in UNITS if UNIT_FOLDER / unit in ours])
    # The users last: a folder is known by their group.
    for path in (SUDOERS, LINK, *FOLDERS):
        if path in ours:
            changes.delete(path)
    for path in environments():
        changes.delete(path)
    for name in users:
        changes.tell(f"user {name} removed")
        if not changes.dry:
            end_processes(name)
            run("userdel", name)


def _remove_units(changes: Changes, units: list[str]) -> None:
    if units and not changes.dry:
        run("systemctl", "disable", "--now", *units)
    for unit in units:
        changes.delete(UNIT_FOLDER / unit)
    if units and not changes.dry:
        run("systemctl", "daemon-reload")
        succeeds("systemctl", "reset-failed", *units)
