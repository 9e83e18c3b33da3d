"""DECIDES. Standard library values only: no await, no clock, no environment, no log."""
