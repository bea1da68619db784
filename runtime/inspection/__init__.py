"""What training changed in a model: weights, states between layers, embeddings."""
