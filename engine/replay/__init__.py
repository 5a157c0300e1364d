"""Makes a test of a flow (``*.test.yaml``) from a recorded call: what the caller did, what the world answered, and what
the flow did then, step by step."""

from engine.replay.document import replayed

__all__ = ["replayed"]
