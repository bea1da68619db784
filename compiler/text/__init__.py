"""Templates rendered out of process, and rows turned into token streams, without torch."""
