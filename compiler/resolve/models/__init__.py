"""A model's files as facts: config.json, tensors, tokenizer, license. Nothing is executed."""
