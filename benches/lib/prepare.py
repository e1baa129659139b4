"""What a run needs before it begins: the programs that it calls, and a folder for what it writes, gone when it ends."""
import os, shutil, signal, subprocess, sys, tempfile
from contextlib import contextmanager
from pathlib import Path
from . import ours
from .disk import ROOT
from .serve import program

# program to Debian's package
PACKAGES = {'casync': 'casync', 'zsync': 'zsync', 'zckdl': 'zchunk', 'ostree': 'ostree', 'rsync': 'rsync', 'nginx': 'nginx-light', 'curl': 'curl',
            'time': 'time', 'mkfs.ext4': 'e2fsprogs', 'losetup': 'mount'}


def programs(*names):
    """Sees to it that our program and these are there; root gets Debian's packages of what is missing."""
    if not ours.PROGRAM.exists():
        sys.exit(f'no {ours.PROGRAM}: cargo build --release')
    missing = sorted({PACKAGES[name] for name in names or PACKAGES if not shutil.which(program(name))})
    if missing and ROOT and shutil.which('apt-get'):
        subprocess.run(['sh', '-c', 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2',
                        'sh', *missing], check=True)
    elif missing:
        sys.exit(f'install them first: {" ".join(missing)}')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('stopped'))  # or nothing would be cleared away


@contextmanager
def folder(name):
    """In memory, unless TMPDIR says where."""
    shm = '/dev/shm' if os.path.isdir('/dev/shm') else None
    work = Path(tempfile.mkdtemp(prefix=f'pikit-{name}.', dir=os.environ.get('TMPDIR') or shm))
    try:
        yield work
    finally:
        shutil.rmtree(work)
