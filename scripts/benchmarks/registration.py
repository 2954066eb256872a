"""Registers 4 KiB with pyverbs and gives them back: `registration.py DEVICE COUNT` prints nanoseconds a time."""
import ctypes
import sys
import time

import pyverbs.enums
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD

count = int(sys.argv[2])
memory = ctypes.create_string_buffer(8192)
address = (ctypes.addressof(memory) + 4095) & ~4095
with Context(name=sys.argv[1]) as context, PD(context) as pd:
    start = time.monotonic_ns()
    for _ in range(count):
        MR(pd, 4096, pyverbs.enums.IBV_ACCESS_LOCAL_WRITE, address=address).close()
    print((time.monotonic_ns() - start) // count)
