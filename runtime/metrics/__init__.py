"""Metrics from what models answered, with intervals."""
