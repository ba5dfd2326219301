"""Makes a storage hang like one over NFS. Python runs this at its start if the folder is on PYTHONPATH.

While the file named by SCIZOO_HANG exists, calls for folders below the path in that file do not return. A file `.held`
beside it has the names of the waiting threads.
"""

import os
import threading
import time


def _hangs(switch: str, call):
    def hanging(path, *args, **kwargs):
        listed = False
        while True:
            try:
                with open(switch, encoding="utf-8") as file:
                    below = file.read()
            except FileNotFoundError:
                return call(path, *args, **kwargs)
            place = kwargs.get("dir_fd")
            above = os.readlink(f"/proc/self/fd/{place}") if place is not None else ""
            if isinstance(path, int) or not f"{above}/{os.fspath(path)}/".replace("//", "/").startswith(f"{below}/"):
                return call(path, *args, **kwargs)
            if not listed:
                listed = True
                with open(f"{switch}.held", "a", encoding="utf-8") as file:
                    file.write(f"{threading.current_thread().name}\n")
            time.sleep(0.02)

    return hanging


if "SCIZOO_HANG" in os.environ:
    for name in ("mkdir", "open", "stat"):
        setattr(os, name, _hangs(os.environ["SCIZOO_HANG"], getattr(os, name)))
