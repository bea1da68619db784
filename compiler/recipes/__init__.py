"""Recipes as files: layers and overrides, fixes, edits of one value, and a recipe to start from."""
