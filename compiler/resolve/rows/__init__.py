"""Data files as rows: read, checked against the task, split, mixed."""
