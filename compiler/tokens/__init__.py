"""From rows to token streams, without torch: templates in a sandbox, encoding, the stream's files."""
