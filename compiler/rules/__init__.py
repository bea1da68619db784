"""Rules between values of a recipe, as visible tables of pure functions."""
