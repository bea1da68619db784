"""One training step on tensors without memory: what it would allocate, storage by storage."""
