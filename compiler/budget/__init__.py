"""Bytes, time and money of a plan, each figure with its method."""
