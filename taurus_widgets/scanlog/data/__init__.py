"""What the scan log knows and does without Qt: queries, columns, texts, layouts, edits on disk."""
