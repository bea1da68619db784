"""A tuned model in other programs' formats, and the proof that it is still the same one."""
