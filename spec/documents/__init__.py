"""The documents that ftc writes and reads back: plan, lock, record, events, and what is in them."""
