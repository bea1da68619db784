"""The language server: what `ftc validate` and the reference know, in an editor, while a recipe is being written.

`outline` reads text that is not a recipe yet, `language` knows what may stand at a place, and `server` speaks the
protocol.
"""
