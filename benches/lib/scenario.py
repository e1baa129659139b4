"""What is measured with each client of a data set: three ways to the newest release, some rounds of each, the clients taking turns."""
import statistics, sys
from dataclasses import dataclass, replace
from . import data, disk
from .measure import measure, watched


@dataclass(frozen=True)
class Way:
    """A way to the newest release."""
    name: str
    words: str
    old: int            # the release that the device has; None: nothing
    change: data.Change


def ways(stage):
    def to_newest(old):
        return data.Change.between(None if old is None else stage.trees[old], stage.trees[-1])
    names = [tree.name for tree in stage.trees]
    near = stage.neighbour
    return [Way('neighbour', f'{names[near]} -> {names[-1]}, neighbours', near, to_newest(near)),
            Way('oldest', f'{names[0]} -> {names[-1]}, no patch of ours', 0, to_newest(0)),
            Way('full', f'full install of {names[-1]}', None, to_newest(None))]


@dataclass(frozen=True)
class Result:
    sent: object    # a serve.Sent, of one round: bytes do not vary
    room: object    # a measure.Room, of a round of its own
    costs: list     # a measure.Cost for each round

    def median(self, of):
        values = [getattr(cost, of) for cost in self.costs]
        return None if None in values else statistics.median(values)

    def worst(self, of):
        return max(getattr(cost, of) for cost in self.costs)


def run(stage, clients, way, nginx, work, rounds):
    """Client's name to Result, of the clients that know this way."""
    clients = [client for client in clients if client.can(way.old)]
    images, at = {}, work / 'disk'
    size = 64 * 2**20 + 8 * sum(-(-path.stat().st_size // 4096) * 4096 for path in stage.trees[-1].rglob('*'))
    for client in clients:
        images[client.name] = image = disk.empty(work / f'{client.name}.image', size)
        with disk.mounted(image, at) as device:
            if way.old is not None:
                client.ready(device, way.old)
                measure(client.install(way.old), device, work)
            client.ready(device, stage.newest)
    want, sent, room, costs = data.digests(stage.trees[-1]), {}, {}, {client.name: [] for client in clients}
    for turn in range(1 + rounds):
        for client in clients:
            say(f'{stage.trees[0].parent.name}, {way.words}: round {turn}, {client.words}')
            image = disk.copy(images[client.name], work / 'image')
            with disk.mounted(image, at) as device:
                command = client.install(stage.newest) if way.old is None else client.update(stage.newest)
                if turn == 0:
                    room[client.name] = watched(command, device, work)
                    if data.digests(device.path / client.live) != want:
                        raise SystemExit(f'{client.words} ended well, but its tree is not that of the release')
                else:
                    nginx.mark()
                    cost = measure(command, device, work)
                    sent[client.name] = client.sent(nginx.sent(), cost.output)
                    costs[client.name].append(replace(cost, output=''))
            disk.remove(image)
    say()
    for image in images.values():
        disk.remove(image)
    return {client.name: Result(sent[client.name], room[client.name], costs[client.name]) for client in clients}


def say(what=''):
    """What is going on, for a person who waits; the tables go to stdout."""
    if sys.stderr.isatty():
        print(f'\r\033[K{what}', end='', file=sys.stderr, flush=True)
