"""Training: the loop, its hooks, optimizers, batches, distillation."""
