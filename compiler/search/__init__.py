"""The solver: what a recipe leaves open, the candidates, and the fastest of them that fits."""
