"""Looks at the rows themselves: who is alike, what is damaged, what is private, and how far annotators agree."""
