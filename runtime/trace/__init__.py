"""One training step on tensors without memory: what it would allocate, storage by storage.

Real modules, the real loop, no weights and no device. `child` runs it in a process of its own; `tracker` counts,
`extrapolate` repeats layers to the real depth, `allocator` tells what torch would reserve.
"""
