"""Steps of a run executed again in a fresh process, for audits and for the proof before training."""
