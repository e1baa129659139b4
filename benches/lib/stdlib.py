"""URL FOLDER: fetches the release below the URL into a new folder, with nothing but Python's library; a client of `peers`."""
import hashlib, os, sys, tarfile, urllib.request

url, folder = sys.argv[1:]


class Hashed:
    """A stream that is hashed while it is read."""

    def __init__(self, stream):
        self.stream, self.hash = stream, hashlib.sha256()

    def read(self, size):
        piece = self.stream.read(size)
        self.hash.update(piece)
        return piece


def fetched(name):
    return urllib.request.urlopen(f'{url}/{name}', timeout=30)


def files():
    with fetched('files.sum') as sums:
        return {path: digest for digest, path in (line.decode().rstrip('\n').split('  ', 1) for line in sums)}


listed = files()
with fetched('archive.sum') as sums:
    expected = sums.read().split()[0].decode()
with fetched('web.tar.gz') as answer:
    stream = Hashed(answer)
    with tarfile.open(fileobj=stream, mode='r|gz') as archive:
        for member in archive:
            if not member.isreg():
                continue
            name = os.path.normpath(member.name)
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            source, digest = archive.extractfile(member), hashlib.sha256()
            with open(path, 'xb') as file:
                while piece := source.read(65536):
                    digest.update(piece)
                    file.write(piece)
            if listed.pop(name) != digest.hexdigest():
                sys.exit(f'{name} is not what was listed')
    while stream.read(65536):
        pass
if listed or stream.hash.hexdigest() != expected:
    sys.exit('the archive is not what was listed')
