"""From a plan to a model: loading, heads, sharding."""
