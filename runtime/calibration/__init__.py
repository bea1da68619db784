"""Measures this machine's device by the run's own loop and evaluation."""
