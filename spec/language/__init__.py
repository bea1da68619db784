"""The recipe language: from a file's text to a tree with places, and from the models to JSON Schema and reference."""
