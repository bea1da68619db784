"""A data set on the hub whose README.md lists the files of two configurations in two ways."""

from __future__ import annotations

__all__ = ["CONFIGS", "FILES"]

FILES = ["en/train-0.csv", "en/train-1.csv", "en/a.csv", "en/b.csv", "de/train.csv", "de/dev.csv", "en/x/train-2.csv"]
CONFIGS = """\
- config_name: en
  data_files:
  - split: train
    path: en/train-*.csv
  - split: test
    path:
    - en/a.csv
    - "en/b.csv"

- config_name: de
  data_dir: de
"""
"""What stands under `configs:`."""
