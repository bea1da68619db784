"""One file for each way of learning from rows: how they become tensors, scores, losses and predictions."""
