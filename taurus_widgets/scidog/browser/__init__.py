"""The right side: all that there is in the Tango database."""
