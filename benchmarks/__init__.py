"""Accuracy and latency of converted models against the float model they came from."""

__all__: list[str] = []
