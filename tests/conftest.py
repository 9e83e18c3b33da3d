"""What every test shares: how hard hypothesis looks."""

import os

from hypothesis import HealthCheck, settings

# No deadline: machines are noisy, and a slow example is no wrong example.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("test", _patient, max_examples=300)
settings.register_profile("fuzz", _patient, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))
