"""Time, traffic and cost of a planned run, each figure with its method."""
