"""A run as a process: the plan's steps, the run's folder, verification, several processes."""
