"""A simulated DashScope to develop, demonstrate and test against; no key, no cost."""
