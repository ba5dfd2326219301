"""PathFixer with shorter intervals, so that tests do not wait ten seconds for each retry."""

from __future__ import annotations

import sys

from tango_servers import PathFixer
from tango_servers.pathfixer import consumers, upkeep

SOON = 0.3

# The texts with the interval are already formatted, and stay as users read them.
consumers.CONSUMER_CHECK_SECONDS = upkeep.UPKEEP_RETRY_SECONDS = SOON
PathFixer.CYCLE_SECONDS = SOON

if __name__ == "__main__":
    sys.argv[0] = "PathFixer"  # the server's name in the Tango database
    PathFixer.main()
