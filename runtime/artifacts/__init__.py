"""What a run writes of a model: checkpoints, adapters, merged and exported weights."""
