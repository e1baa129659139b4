"""What a client is: how its side of the server is made, and the commands that bring a device up to date.

The commands are run by bash in the root of the device's disk, where the live tree is the folder `live`. Each leaves the live tree equal to
the release and asks the file system to store it, for that is what our program does.
"""
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """What all clients of one data set share."""
    trees: list    # folders of the releases, oldest first
    served: Path   # what nginx serves as `url`
    url: str
    rsync: str     # the folder of the trees at the rsync daemon

    @property
    def newest(self):
        return len(self.trees) - 1

    @property
    def neighbour(self):
        return self.newest - 1


class Client:
    name = words = None
    live = 'web'

    def __init__(self, stage):
        self.stage, self.served, self.url = stage, stage.served / self.name, f'{stage.url}/{self.name}'

    def publish(self):
        """Makes what the server offers, of all releases."""

    def ready(self, disk, n):
        """What has to be on the device before it is told to come to release n."""

    def install(self, n):
        """Commands that bring an empty disk to release n."""
        raise NotImplementedError

    def update(self, n):
        """Commands that bring a disk with any release to release n."""
        raise NotImplementedError

    def can(self, old):
        """Whether it has a way from this release to the newest; None: from nothing."""
        return True

    def sent(self, sent, output):
        """What was sent to it, by nginx's account, and what it said."""
        return sent

    def make(self, *command, **how):
        """Runs a command of the server's side, and returns what it said on stdout."""
        done = subprocess.run(command, capture_output=True, text=True, **how)
        if done.returncode:
            raise SystemExit(f'{" ".join(map(str, command))}: exit code {done.returncode}\n{done.stderr}')
        return done.stdout.strip()


# whole beside the live tree, then in its place; `mv -T` cannot take a folder's place, so there is a moment without one
SWAP = 'mv web web.old; mv web.new web; sync -f web; rm -rf web.old'


def tar(tree, to):
    """The plain archive that a release would have without us: the same bytes wherever it is made."""
    subprocess.run(['tar', '--sort=name', '--owner=0', '--group=0', '--numeric-owner', '-C', tree, '-cf', to, '.'], check=True)
