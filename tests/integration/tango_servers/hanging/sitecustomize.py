"""Python runs this first where its folder is on PYTHONPATH: a storage that hangs, as one over NFS does.

While the file that SCIZOO_HANG names is there, calls for folders below the path that is written in it do not return.
Beside it, in a file `.held`, are the names of the threads that wait so.
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
