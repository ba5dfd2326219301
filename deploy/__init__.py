"""How the parts are installed on machines."""
