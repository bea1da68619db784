"""Every typed document of ftc and what they are made of. Imports nothing heavier than pydantic."""
