"""SciCow for long and while everything goes wrong: what was sent, beside what the catalogue has."""
