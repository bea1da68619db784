"""Files of others: safe paths, downloads from the hub, digests, JSON with limits."""
