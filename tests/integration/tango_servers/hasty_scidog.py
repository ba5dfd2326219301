"""SciDog with shorter intervals, so that tests do not wait three seconds for each check of the properties."""

from __future__ import annotations

import sys

from tango_servers import SciDog

SciDog.PROPERTY_CHECK_SECONDS = 0.3

if __name__ == "__main__":
    sys.argv[0] = "SciDog"  # the server's name in the Tango database
    SciDog.main()
