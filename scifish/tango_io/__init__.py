"""Access to Tango: the database, the limits of its properties, and threads for calls that may hang."""
