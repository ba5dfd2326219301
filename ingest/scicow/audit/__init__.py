"""`scicow audit`: compares what was sent with what the catalogue has."""
