"""Puts a bundle on many devices, in waves, with Ansible as the engine.

Ansible finds the devices, connects, runs side by side, and counts. What is here hands it a playbook
and a role, keeps the account of which device has the bundle, and says in the end what came of it.
"""

from __future__ import annotations

__all__: list[str] = []
