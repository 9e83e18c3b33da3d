"""What every test shares: how hard hypothesis looks, and that the search for secrets comes last."""

import os

import pytest
from hypothesis import HealthCheck, settings

# No deadline: machines are noisy, and a slow example is no wrong example.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("test", _patient, max_examples=300)
settings.register_profile("fuzz", _patient, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`test_secrets.py` searches what all the others have written."""
    items.sort(key=lambda item: item.path.name == "test_secrets.py")
