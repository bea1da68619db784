"""The command line: one file a verb. A verb parses, calls `ftc.api`, has a view draw the answer, and gives a number."""
