"""The lock file: made from the inputs, compared with the one on disk, renewed."""
