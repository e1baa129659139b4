"""What everybody would write: the whole archive, unpacked and hashed. By hand with curl and tar, and with Python's own library."""
import os, sys
from pathlib import Path
from . import data
from .client import SWAP, Client, tar
from .ours import PROGRAM, Ours


class ByHand(Client):
    """curl | tee | tar xz, with sha256sum over the archive and `sha256sum -c` over the files."""
    name, words = 'hand', 'curl | tee | tar xz, sha256sum -c'

    def publish(self):
        for n, tree in enumerate(self.stage.trees):
            folder = self.served / str(n)
            folder.mkdir(parents=True)
            tar(tree, folder / 'web.tar')
            self.make('gzip', '-9n', folder / 'web.tar')
            self.make('bash', '-c', 'sha256sum web.tar.gz >archive.sum', cwd=folder)
            (folder / 'files.sum').write_text(''.join(f'{digest}  {path}\n' for path, digest in data.digests(tree).items()))

    def size(self, n):
        return (self.served / str(n) / 'web.tar.gz').stat().st_size

    def unpack(self, n, to):
        # a pipe by name: bash does not wait for >( … ), and its time would be lost
        return (f'curl -fsS {self.url}/{n}/archive.sum {self.url}/{n}/files.sum -o archive.sum -o files.sum; mkdir {to}; mkfifo pipe; sha256sum <pipe >sum & '
                f'curl -fsS {self.url}/{n}/web.tar.gz | tee pipe | tar xz -C {to}; wait $!; [ "$(cut -c-64 sum)" = "$(cut -c-64 archive.sum)" ]; '
                f'(cd {to}; sha256sum --quiet -c ../files.sum); rm pipe sum')

    def install(self, n):
        return f'{self.unpack(n, "web")}; sync -f web'

    def update(self, n):
        return f'{self.unpack(n, "web.new")}; {SWAP}'


class Stdlib(ByHand):
    """urllib, hashlib and tarfile: each byte seen once, in one process."""
    name, words = 'python', 'Python: urllib, hashlib, tarfile'

    def publish(self):
        os.symlink('hand', self.served)

    def unpack(self, n, to):
        return f'{sys.executable} -I {Path(__file__).with_name("stdlib.py")} {self.url}/{n} {to}'


class Bare(ByHand):
    """A single pass of gunzip, SHA-256 and write over our own bundle, by benches/bare.rs; no network, no plan, no way back."""
    name, words = 'bare', 'bare loop: gunzip, SHA-256, write'
    program = Path(os.environ.get('PIKIT_BARE') or PROGRAM.parent / 'examples/bare').absolute()

    def publish(self):
        pass

    def can(self, old):
        return old is None

    def install(self, n):
        return f'"{self.program}" {Ours(self.stage).bundle(n)} .; sync -f .'
