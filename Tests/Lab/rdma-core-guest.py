"""Runs rdma-core's tests, each in a process of its own, so that one that hangs or crashes is one line of many.
In the lab's guest: rdma-core-guest.py FOLDER DEVICE SECONDS TRACEBACKS NAME...; FOLDER holds the tests, NAME is test_qp,
test_qp.QPTest or test_qp.QPTest.test_create_rc_qp. Each line: ok, skipped or failed, the test, and why, one tab between."""

import importlib.machinery
import multiprocessing
import os
import select
import signal
import sys
import time
import unittest

folder, device, seconds, tracebacks, *wanted = sys.argv[1:]


def one_line(text):
    """Printable, and without what changes from run to run."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


class Result(unittest.TestResult):
    """What became of one test: its kind and its reason; the first failure counts."""

    def __init__(self):
        super().__init__()
        self.end = None
        self.traceback = ""

    def _take(self, kind, reason):
        if self.end is None or self.end[0] == "ok":
            self.end = (kind, one_line(reason))

    def addSuccess(self, test):
        self._take("ok", "")

    def addSkip(self, test, reason):
        self._take("skipped", reason)

    def addError(self, test, err):
        self._take("failed", f"{err[0].__name__}: {err[1]}")
        self.traceback += self._exc_info_to_string(err, test)

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addError(test, err)


def each(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from each(item)
        else:
            yield item


def child(test, pipe):
    """Never returns. The process group is the test's, as some start processes of their own."""
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    result = Result()
    # A suite, so that a class is set up as well.
    unittest.TestSuite([test]).run(result)
    kind, reason = result.end or ("failed", "the suite says nothing of it")
    os.write(pipe, f"{kind}\t{reason}\n{result.traceback}".encode(errors="replace")[:60000])
    os._exit(0)


def run(test):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            child(test, writer)
        finally:
            os._exit(1)
    os.close(writer)
    text, deadline = b"", time.monotonic() + float(seconds)
    while True:
        ready, _, _ = select.select([reader], [], [], max(0, deadline - time.monotonic()))
        part = os.read(reader, 65536) if ready else None
        if not part:
            break
        text += part
        if len(text) > 1 << 20:
            break
    os.close(reader)
    for target in (-pid, pid):
        try:
            os.kill(target, signal.SIGKILL)
        except ProcessLookupError:
            pass
    status = os.waitpid(pid, 0)[1]
    if text:
        return text.decode(errors="replace")
    if part is None:
        return f"failed\tno end after {seconds} s\n"
    return f"failed\tits process ended with {os.waitstatus_to_exitcode(status)}\n"


# What the tests were written for; Python 3.14 would start another interpreter.
multiprocessing.set_start_method("fork")
sys.path.insert(0, folder)
sys.argv[1:] = ["--dev", device]
from args_parser import parser  # noqa: E402

parser.parse_args()
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
importlib.machinery.SourceFileLoader("tests", os.path.join(folder, "__init__.py")).load_module()

for name in wanted:
    found = list(each(unittest.defaultTestLoader.loadTestsFromName("tests." + name)))
    for test in found:
        end, _, traceback = run(test).partition("\n")
        kind, _, reason = end.partition("\t")
        print(f"{kind}\t{test.id().removeprefix('tests.')}\t{reason}", flush=True)
        if tracebacks == "yes":
            for line in traceback.splitlines():
                print(f"\t{one_line(line)}", flush=True)
