"""One result on disk: tables, run report, text, pictures."""
