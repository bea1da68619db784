"""Compares two recipes, locks, plans or runs: what changed, why it matters, what would have to be done."""
