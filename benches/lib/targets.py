"""What we promised ourselves, and what came of it on a data set: ours as a ratio to what it is held against, the smaller the better."""
import statistics
from dataclasses import dataclass
from .table import grid


@dataclass(frozen=True)
class Measured:
    """All of one data set."""
    name: str
    bundle: int    # bytes of our newest bundle
    archive: int   # of `tar | gzip -9` over the same files
    ways: dict     # name to scenario.Way
    results: dict  # name to client's name to scenario.Result

    def ours(self):
        return [clients['ours'] for clients in self.results.values()]

    def bytes_to_best(self, way, peers):
        """With the heads of answers for all; what an rsync client says itself is not held against it, for ours is not either."""
        clients = self.results[way]
        best = [clients[peer].sent.body if peer == 'rsync' else clients[peer].sent.all for peer in peers if peer in clients]
        return clients['ours'].sent.all / min(best) if best else None

    def cpu_to(self, peer):
        clients = self.results['full']
        if peer not in clients:
            return None
        return statistics.median(a.cpu / b.cpu for a, b in zip(clients['ours'].costs, clients[peer].costs))

    def to_changed(self, way, what):
        """In blocks of the file system, for that is how both are counted."""
        ours = self.results[way]['ours']
        amount = getattr(ours.room, what) if hasattr(ours.room, what) else ours.median(what)
        return None if amount is None else amount / self.ways[way].change.blocks


PEERS = ['casync', 'zsync', 'zchunk', 'ostree', 'rsync']

# what it is, the most it may be, how it is formed
TARGETS = [
    ('bytes, neighbours: to the best peer', 1 / 3, lambda m: m.bytes_to_best('neighbour', PEERS)),
    ('bytes, neighbours: to the best, OSTree\'s delta too', 1 / 3, lambda m: m.bytes_to_best('neighbour', [*PEERS, 'ostree-delta'])),
    ('bytes, oldest: to casync, zchunk, OSTree objects', 1, lambda m: m.bytes_to_best('oldest', ['casync', 'zchunk', 'ostree'])),
    ('requests, most of the three', 4, lambda m: max(ours.sent.requests for ours in m.ours())),
    ('bundle: to tar | gzip -9', 1, lambda m: m.bundle / m.archive),
    ('user+sys, full: to curl | tee | tar xz', 0.5, lambda m: m.cpu_to('hand')),
    ('user+sys, full: to the bare loop', 1.25, lambda m: m.cpu_to('bare')),
    ('written to files, neighbours: to changed files', 1.05, lambda m: m.to_changed('neighbour', 'dirtied')),
    ('written to the disk, neighbours: to changed files', 1.05, lambda m: m.to_changed('neighbour', 'written')),
    ('written to the disk, oldest: to changed files', 1.05, lambda m: m.to_changed('oldest', 'written')),
    ('written to the disk, full: to all files', 1.05, lambda m: m.to_changed('full', 'written')),
    ('peak memory, MB', 12, lambda m: max(ours.worst('memory') for ours in m.ours()) / 1e6),
    ('space needed, neighbours: to changed files', 1, lambda m: m.to_changed('neighbour', 'space')),
    ('space needed, oldest: to changed files', 1, lambda m: m.to_changed('oldest', 'space')),
    ('space given back, neighbours: to changed files', 1, lambda m: m.to_changed('neighbour', 'temporary')),
]


def table(measured):
    """The last table: a row for each target, a column for each data set, a mark where it is missed."""
    rows = [['', 'at most', *(m.name for m in measured)]]
    for words, most, of in TARGETS:
        ratios = [of(m) for m in measured]
        if any(ratio is not None for ratio in ratios):
            rows.append([words, f'{most:.3f}', *('-' if r is None else f'{r:.3f}{" " if r <= most else "!"}' for r in ratios)])
    return grid(rows)
