"""Our program as a client: signed releases on a plain web server, and a board that follows them."""
import os, shutil, subprocess
from pathlib import Path
from .client import Client

PROGRAM = Path(os.environ.get('PIKIT_PROGRAM') or Path(__file__).parents[2] / 'target/release/pikit-updater').absolute()


class Ours(Client):
    name, words, live = 'ours', 'pikit-updater', 'srv/web'

    def publish(self):
        """All releases in order, each following the one before, and patches from the neighbour to the newest only."""
        self.key = self.stage.served.parent / 'key'
        self.make(PROGRAM, 'keygen', self.key, '--no-passphrase', '-q')
        self.served.mkdir()
        for n, tree in enumerate(self.stage.trees):
            recipe(self.served / f'{n}.toml', tree, n)
            # as `publish` does: each earlier release gets a patch of the manifest
            before = [word for m in range(n) for word in ('--previous', self.folder(m))] if knows('--previous') else []
            patches = ['--patch-from', self.folder(n - 1)] if n == self.stage.newest and knows('--patch-from') else []
            self.make(PROGRAM, 'pack', '-q', self.served / f'{n}.toml', '--out', self.folder(n), *before, *patches)
            self.make(PROGRAM, 'sign', self.folder(n), '--key', f'{self.key}.key', '-q')

    def folder(self, n):
        return self.served / str(n)

    def bundle(self, n):
        return self.folder(n) / f'pikit-1.{n}.0.tar.gz'

    def size(self, n):
        return self.bundle(n).stat().st_size

    def ready(self, disk, n):
        # the address stays when a release follows: what is there does not
        current = self.served / 'current'
        current.unlink(missing_ok=True)
        current.symlink_to(str(n))
        board(disk.path, f'{self.url}/current/', f'{self.key}.pub')

    def install(self, n):
        return f'"{PROGRAM}" --root . apply -y'

    update = install


def recipe(file, tree, n):
    file.write_text(f'product = "pikit"\nversion = "1.{n}.0"\nreleased = "2026-11-{n + 1:02}"\n[[include]]\nfrom = "{tree}"\nto = "web/"\n')


def board(root, url, key=None):
    """A board that takes its releases from this address, and believes this key."""
    keys = root / 'etc/pikit/keys'
    keys.mkdir(parents=True, exist_ok=True)
    (root / 'srv').mkdir(exist_ok=True)
    if key:
        shutil.copy(key, keys)
    (root / 'etc/pikit/updater.toml').write_text(f'''product = "pikit"
[source]
url = "{url}"
[trust]
required = {'true' if key else 'false'}
[[managed]]
from = "web/"
to = "/srv/web/"
[services]
control = []
[backup]
min_free = "0"
''')


def knows(flag):
    """Whether `pack` can be told so: the program may be older than these scripts."""
    return flag in subprocess.run([PROGRAM, 'pack', '--help'], check=True, capture_output=True, text=True).stdout
