"""Sweeps: settings of a recipe searched by validation, planned before anything runs, each trial an ordinary run."""
