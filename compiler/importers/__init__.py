"""Configurations of other fine-tuning tools, read without running any of them, and turned into recipes."""
