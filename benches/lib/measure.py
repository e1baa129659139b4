"""One run of a command: what it and everything it started cost."""
import os, subprocess, threading, time
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    wall: float
    cpu: float       # user + system, of all processes together
    memory: int      # bytes resident in the largest process
    dirtied: int     # bytes of files that were written to, in whole pages; None where nobody can tell
    written: int     # bytes that reached the device, with its journal; None where nobody can tell
    output: str


@dataclass(frozen=True)
class Room:
    together: int    # bytes resident in all processes at one moment, what they share counted as often as it is shared
    space: int       # taken on the disk at the worst moment, beyond what was taken before
    temporary: int   # of that, given back at the end


def measure(command, disk, work, watch=None):
    """Runs a shell's command on the disk. A run that fails ends the whole measurement: it would look cheap."""
    before = disk.written()
    with open(work / 'output', 'w') as output:
        start = time.monotonic()
        # time(1) stands between: a process that Python starts is charged with Python's memory
        child = subprocess.Popen(['/usr/bin/time', '-q', '-f', '%M', '-o', work / 'memory', 'bash', '-euo', 'pipefail', '-c', command],
                                 cwd=disk.path, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        if watch:
            watch.over(child.pid)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        wall = time.monotonic() - start
        dirtied = written_by(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    said = (work / 'output').read_text(errors='replace')
    if child.returncode:
        raise SystemExit(f'exit code {child.returncode} of\n{command}\nin {disk.path}:\n{said[-4000:]}')
    after = disk.written()
    return Cost(wall, usage.ru_utime + usage.ru_stime, int((work / 'memory').read_text().split()[-1]) * 1024,
                dirtied, None if before is None else after - before, said)


def watched(command, disk, work):
    """The same once more for what has to be looked at meanwhile: whoever is watched so closely takes up to four times the processor time."""
    free, watch = disk.free(), Watch(disk)
    measure(command, disk, work, watch)
    watch.end()
    end = disk.free()
    lowest = min(watch.lowest, end)
    return Room(watch.together, free - lowest, end - lowest)


def written_by(pid):
    """What a process and the children it waited for wrote to files; asked before its end is taken note of. Only root is told."""
    try:
        with open(f'/proc/{pid}/io') as io:
            return next(int(line.split()[1]) for line in io if line.startswith('write_bytes'))
    except PermissionError:
        return None


class Watch:
    """Looks every millisecond how much is free on the disk, and every tenth time at the memory of all processes."""

    def __init__(self, disk):
        self.disk, self.lowest, self.together = disk, disk.free(), 0
        self.stop = threading.Event()

    def over(self, pid):
        self.thread = threading.Thread(target=self.look, args=[pid], daemon=True)
        self.thread.start()

    def look(self, pid):
        turn = 0
        while not self.stop.wait(0.001):
            self.lowest = min(self.lowest, self.disk.free())
            if turn % 10 == 0:
                self.together = max(self.together, sum(map(resident, below(pid))))
            turn += 1

    def end(self):
        self.stop.set()
        self.thread.join()


def below(pid):
    """All processes that a process started, not itself."""
    try:
        for thread in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{thread}/children') as children:
                for child in children.read().split():
                    yield child
                    yield from below(child)
    except OSError:
        pass  # it ended meanwhile


def resident(pid):
    try:
        with open(f'/proc/{pid}/statm') as statm:
            return int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    except (OSError, IndexError):
        return 0
