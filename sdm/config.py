"""Names that MXCuBE imports for `duo.UO.RestDuo`. They are empty: the office's token is in a file of its settings."""

DUOUSER = ""
DUOPASSWORD = ""
