"""What a strategy trains of a model, counted from the shapes of its tensors."""
