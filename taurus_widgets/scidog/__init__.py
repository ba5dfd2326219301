"""The editor of SciDog: what is recorded at the left, all that there is in the Tango database at the right."""
