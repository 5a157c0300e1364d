"""The pytest side of the conformance kit (`providers.conformance`). Found by entry point; costs one small import."""

from __future__ import annotations

import pytest

KIT = ("failures", "owner", "play", "talks", "tools")


def pytest_configure(config: pytest.Config) -> None:
    """Make assertions of the kit speak, and its marker known."""
    for name in KIT:
        pytest.register_assert_rewrite(f"providers.conformance.{name}")
    config.addinivalue_line("markers", "voice_needs(*names): what a voice must claim for this test of the kit")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of the kit that need what the voice under test does not claim."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        needs = {name for marker in item.iter_markers("voice_needs") for name in marker.args}
        stage = item.cls if isinstance(item, pytest.Function) and needs else None
        (kept if stage is None or needs <= stage.abilities() else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
