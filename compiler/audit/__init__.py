"""Audits of finished runs: what still has the recorded bytes, what contradicts itself, what a replay shows."""
