"""Pictures of documents: pure functions from plans, records, events and findings to text. Nothing here decides."""
