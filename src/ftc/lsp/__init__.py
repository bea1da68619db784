"""The language server: what `ftc validate` and the reference know, in an editor, while a recipe is being written.

`outline` reads text that is not a recipe yet, `language` tells what may stand at a place, `assist` and `findings` make
answers of it, and `server` speaks the protocol.
"""
