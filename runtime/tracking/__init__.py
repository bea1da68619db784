"""A run as experiment trackers see it. A process beside the run reports it, so that no tracker can touch the run."""
