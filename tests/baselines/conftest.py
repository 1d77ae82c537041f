"""Fits of these tests start from the identity after few steps, which most of their seconds would go to."""

import pytest

from brenier.baselines import identity_start


@pytest.fixture(autouse=True)
def short_start(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Bring maps near the identity in at most twenty steps, but where a test is marked `whole_start`."""
    if request.node.get_closest_marker("whole_start") is None:
        few = identity_start.IdentitySettings(most_steps=20)
        monkeypatch.setattr(identity_start, "IDENTITY", few)
