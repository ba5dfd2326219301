"""The detail pane and its pages."""
