"""A finished run in the formats of other people's tools. Only facts of its documents; what isn't known is left out."""
