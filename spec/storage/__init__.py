"""Where files are, how they are written so that a crash loses nothing, and how a change to them is seen."""
