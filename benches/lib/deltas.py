"""The peers that fetch only what a device lacks, each as its manual has it: casync, zsync, zchunk, OSTree, rsync."""
import re
from . import serve
from .client import SWAP, Client, tar


class Casync(Client):
    """Content-defined chunks in a store, found again in the live tree."""
    name, words, make_options = 'casync', 'casync', ()
    keep = ('--with=permissions', '--with=sec-time', '--with=symlinks')  # no owners: nobody but root could set them

    def publish(self):
        self.served.mkdir()
        for n, tree in enumerate(self.stage.trees):
            self.make('casync', 'make', *self.make_options, *self.keep, f'--store={self.served}/store', self.served / f'{n}.caidx', tree)

    def extract(self, n, to, seed=''):
        return f'casync extract {seed} --hardlink=yes {" ".join(self.keep)} --store={self.url}/store {self.url}/{n}.caidx {to} >/dev/null'

    def install(self, n):
        return f'{self.extract(n, "web")}; sync -f web'

    def update(self, n):
        # in place it stumbles over its own changes now and then ("stale file handle")
        return f'{self.extract(n, "web.new", "--seed=web")}; {SWAP}'


class CasyncSmall(Casync):
    name, words, make_options = 'casync-16k', 'casync, 16 KiB', ('--chunk-size=16384',)


class Zsync(Client):
    """Blocks of an archive, found again in the archive that the device has kept. -z: compressed so that blocks can be had of it."""
    name, words = 'zsync', 'zsync'

    def publish(self):
        self.served.mkdir()
        for n, tree in enumerate(self.stage.trees):
            tar(tree, self.served / f'{n}.tar')
            self.make('zsyncmake', '-z', f'{n}.tar', cwd=self.served)
            (self.served / f'{n}.tar').unlink()

    def install(self, n):
        return f'zsync -q -o web.tar {self.url}/{n}.tar.zsync; mkdir web; tar xf web.tar -C web; sync -f web'

    def update(self, n):
        return (f'zsync -q -i web.tar -o new.tar {self.url}/{n}.tar.zsync; mkdir web.new; tar xf new.tar -C web.new; '
                f'{SWAP}; mv new.tar web.tar')


class Zchunk(Client):
    """An archive of independently compressed chunks, found again in the one that the device has kept."""
    name, words = 'zchunk', 'zchunk'

    def publish(self):
        for n, tree in enumerate(self.stage.trees):
            folder = self.served / str(n)
            folder.mkdir(parents=True)
            tar(tree, folder / 'tar')
            self.make('zck', '-o', folder / 'web.zck', folder / 'tar')
            (folder / 'tar').unlink()

    def install(self, n):
        return f'zckdl -q {self.url}/{n}/web.zck; mkdir web; unzck -c web.zck | tar x -C web; sync -f web'

    def update(self, n):
        return (f'mkdir new; (cd new; zckdl -q -s ../web.zck {self.url}/{n}/web.zck); mkdir web.new; unzck -c new/web.zck | tar x -C web.new; '
                f'{SWAP}; mv new/web.zck web.zck; rmdir new')


class OSTree(Client):
    """Files by their content, each fetched by itself, linked into the live tree."""
    name, words = 'ostree', 'OSTree, objects'

    def publish(self):
        self.ostree('init', '--mode=archive')
        self.commits = [self.ostree('commit', '--branch=web', f'--tree=dir={tree}', '--owner-uid=0', '--owner-gid=0', '--no-xattrs', '--timestamp=2026-11-20')
                        for tree in self.stage.trees]
        self.ostree('summary', '-u')

    def ostree(self, *command):
        return self.make('ostree', f'--repo={self.served}', *command)

    def init(self):
        return f'ostree --repo=repo init --mode=bare-user-only; ostree --repo=repo remote add --no-gpg-verify origin {self.url}'

    def fetch(self, n):
        return f'ostree --repo=repo pull --disable-static-deltas origin web@{self.commits[n]} >/dev/null'

    def checkout(self, n, to):
        return f'ostree --repo=repo checkout -U -H {self.commits[n]} {to}'

    def install(self, n):
        return f'{self.init()}; {self.fetch(n)}; {self.checkout(n, "web")}; sync -f web'

    def update(self, n):
        return f'{self.fetch(n)}; {self.checkout(n, "web.new")}; {SWAP}; ostree --repo=repo prune --refs-only --depth=0 >/dev/null'


class OSTreeDelta(OSTree):
    """The same with a delta made beforehand, from the neighbour and from nothing, fetched as a file: `ostree pull` of Debian 12 fetches
    the delta and then the objects all the same, which would not be fair (ostreedev/ostree issue 2680)."""
    name, words = 'ostree-delta', 'OSTree, static delta'

    def publish(self):
        super().publish()
        for file, start in (('near', f'--from={self.commits[self.stage.neighbour]}'), ('full', '--empty')):
            self.ostree('static-delta', 'generate', '--inline', '--min-fallback-size=0', f'--filename={self.served / file}', start, f'--to={self.commits[-1]}')

    def can(self, old):
        return old in (None, self.stage.neighbour)

    def apply(self, file, n):
        return (f'curl -fsS {self.url}/{file} -o delta; ostree --repo=repo static-delta apply-offline delta; rm delta; '
                f'ostree --repo=repo refs --force --create=origin:web {self.commits[n]}')

    def install(self, n):
        if n != self.stage.newest:
            return super().install(n)
        return f'{self.init()}; {self.apply("full", n)}; {self.checkout(n, "web")}; sync -f web'

    def update(self, n):
        return f'{self.apply("near", n)}; {self.checkout(n, "web.new")}; {SWAP}; ostree --repo=repo prune --refs-only --depth=0 >/dev/null'


class Rsync(Client):
    """File by file, changed in place: a device is neither old nor new meanwhile."""
    name, words = 'rsync', 'rsync -z, daemon'

    def install(self, n):
        return f'mkdir -p web; rsync -az --delete --stats {self.stage.rsync}/{self.stage.trees[n].name}/ web/; sync -f web'

    update = install

    def sent(self, _, output):
        """By its own account; what the client said counts as overhead, and there is one connection."""
        def total(what):
            return int(re.search(rf'Total bytes {what}: ([\d,]+)', output)[1].replace(',', ''))
        return serve.Sent(1, total('received'), total('received') + total('sent'))


PEERS = [Casync, Zsync, Zchunk, OSTree, OSTreeDelta, Rsync]
