"""The verbs of the flow language, one file each. `installed` finds them, and those of plugins, by entry point."""

from engine.verb import installed

__all__ = ["installed"]
