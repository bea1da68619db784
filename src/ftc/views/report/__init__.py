"""The report of a run and the comparison of several: one page that opens from disk, without scripts."""
