"""A whole beamline on one machine, on loopback: for `make demo` and for the integration tests."""
