"""A conformance kit for voices, run by pytest: what `docs/writing-a-voice.md` promises for a voice, tried on it.

    class TestParrot(Conformance):
        capabilities = parrot.CAPABILITIES
        plays = frozenset({"script", "drops"})

        @asynccontextmanager
        async def counterpart(self, scene):
            async with emulator(scene) as vendor:
                yield Counterpart(parrot.provider({"base_url": vendor.url}))

Tests that need what the voice does not claim are deselected (`providers.pytest_plugin`, which pytest finds by itself).
Needs pytest and nothing else.
"""

from providers.conformance.failures import Failures
from providers.conformance.play import Stage
from providers.conformance.scene import Ability, Asks, Counterpart, Fault, Nothing, Reply, Says, Scene
from providers.conformance.talks import Talks
from providers.conformance.tools import Tools

__all__ = ["Ability", "Asks", "Conformance", "Counterpart", "Fault", "Nothing", "Reply", "Says", "Scene", "Stage"]


class Conformance(Talks, Tools, Failures):
    """All tests of the kit. Subclass it as ``Test…``."""
