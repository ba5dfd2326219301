"""The left side: the entries of a configuration."""
