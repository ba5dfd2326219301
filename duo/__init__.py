"""The client of the user office by the name that MXCuBE imports it by."""
