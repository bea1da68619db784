"""Executes a plan: the only part of ftc that imports torch. Start reading at `execute`, then `loop`."""
