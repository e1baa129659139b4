"""A small disk for each run of a client: an ext4 image on a loop device when root, so that what is written and what is taken can be counted.

An image is the state of a client's disk; a run works on a copy of it. Without root an image is a folder, and nothing counts what was written.
"""
import os, shutil, subprocess, time
from contextlib import contextmanager
from pathlib import Path

ROOT = os.geteuid() == 0


def empty(image, size):
    """A new image with room for so many bytes."""
    if not ROOT:
        image.mkdir()
        return image
    with open(image, 'wb') as file:
        file.truncate(size)
    # nothing is left to be initialised behind a run's back
    run('mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image)
    return image


def copy(image, to):
    run('cp', '-a', '--sparse=always', image, to)
    return to


def remove(image):
    shutil.rmtree(image) if image.is_dir() else image.unlink()


class Disk:
    def __init__(self, path, device):
        self.path, self.device = path, device

    def written(self):
        """Bytes written to the device since it is there, with all that was promised to be on it."""
        if not self.device:
            return None
        run('sync', '-f', self.path)
        sectors = Path(f'/sys/block/{self.device.name}/stat').read_text().split()[6]
        return int(sectors) * 512

    def free(self):
        now = os.statvfs(self.path)
        return now.f_bfree * now.f_frsize


@contextmanager
def mounted(image, at):
    """The image itself as a disk: what is done to it stays in it."""
    if not ROOT:
        yield Disk(image, None)
        return
    at.mkdir(exist_ok=True)
    device = Path(subprocess.run(['losetup', '--find', '--show', image], check=True, capture_output=True, text=True).stdout.strip())
    try:
        run('mount', '-t', 'ext4', '-o', 'noatime', device, at)
        try:
            shutil.rmtree(at / 'lost+found', ignore_errors=True)
            run('sync', '-f', at)
            yield Disk(at, device)
        finally:
            unmount(at)
    finally:
        run('losetup', '--detach', device)


def unmount(at):
    for patience in range(50):  # what a killed client left running
        if subprocess.run(['umount', at], stderr=subprocess.DEVNULL if patience < 49 else None).returncode == 0:
            return
        time.sleep(0.1)


def run(*command):
    subprocess.run(command, check=True)
