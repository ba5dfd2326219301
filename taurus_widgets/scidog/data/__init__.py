"""What is edited: drafts, checks, values of now, the names in the Tango database. No Qt."""
