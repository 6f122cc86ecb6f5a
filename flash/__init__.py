"""Puts models on devices: a Raspberry Pi over SSH, a microcontroller as C source or flash image."""

from __future__ import annotations

__all__: list[str] = []
