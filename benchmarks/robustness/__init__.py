"""How well a digit model reads digits from elsewhere, and whether it knows what is no digit."""

from .measuring import measure

__all__ = ["measure"]
