"""The recipe language: from the text of a file to a tree with places, and from the models to JSON Schema and reference."""
