"""How the parts are put on machines."""
