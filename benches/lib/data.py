"""The data sets: releases of real web interfaces, fetched by name and version through npm and pip, and unpacked once into a cache.

What no longer changes between two runs is kept: DATA/dl holds the packages as they came, DATA/trees/SET/VERSION the web folder of each.
A file's time says since which of the versions it has its content, as on a server that was brought up to date again and again.
"""
import hashlib, os, shutil, subprocess, sys, tarfile, zipfile
from dataclasses import dataclass


@dataclass(frozen=True)
class Set:
    name: str
    registry: str
    package: str
    folder: str      # of the package, that a dashboard serves
    versions: tuple  # oldest … neighbour, newest
    aside: bool = False  # nothing was tuned by it: to check with
    leave: tuple = ()    # endings of files that nobody serves


SETS = [
    Set('swagger', 'npm', 'swagger-ui-dist', 'package/', ('5.32.14', '5.33.3', '5.34.1', '5.35.0'), leave=('.map', 'package.json')),
    Set('node-red', 'npm', '@node-red/editor-client', 'package/public/', ('4.1.10', '4.1.13', '4.1.14', '4.1.15')),
    Set('homebridge', 'npm', 'homebridge-config-ui-x', 'package/public/', ('4.76.0', '5.9.0', '5.10.0')),
    Set('home-assistant', 'pip', 'home-assistant-frontend', 'hass_frontend/', ('20260826.7', '20260930.5', '20261028.6'), leave=('.gz', '.br')),
    Set('zigbee2mqtt', 'npm', 'zigbee2mqtt-frontend', 'package/dist/', ('0.9.7', '0.9.19', '0.9.21'), aside=True),
    Set('iobroker', 'npm', 'iobroker.admin', 'package/adminWww/', ('7.8.20', '8.0.16', '8.0.17'), aside=True),
]


def trees(of, data):
    """The folders of all versions of a set, oldest first; fetched and unpacked if they are not there yet."""
    folders = [data / 'trees' / of.name / version for version in of.versions]
    if not all(folder.is_dir() for folder in folders):
        for version, folder in zip(of.versions, folders):
            if folder.is_dir():
                continue
            print(f'fetching {of.package} {version}', file=sys.stderr)
            part = folder.with_name(folder.name + '.part')
            shutil.rmtree(part, ignore_errors=True)
            unpack(package(of, version, data / 'dl'), of, part)
            part.rename(folder)
        set_times(folders)
    return folders


def package(of, version, to):
    to.mkdir(parents=True, exist_ok=True)
    if of.registry == 'npm':
        file = to / f'{of.package.lstrip("@").replace("/", "-")}-{version}.tgz'
        command = ['npm', 'pack', '--silent', f'{of.package}@{version}']
    else:
        file = to / f'{of.package.replace("-", "_")}-{version}-py3-none-any.whl'
        # the wheel is wanted for its files: whether this Python could import it is of no matter
        command = [sys.executable, '-m', 'pip', 'download', '-q', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:',
                   '--python-version', '3.14', '--implementation', 'py', '--abi', 'none', '--platform', 'any', f'{of.package}=={version}', '-d', '.']
    if not file.exists():
        subprocess.run(command, cwd=to, check=True, stdout=subprocess.DEVNULL)
    return file


def unpack(file, of, to):
    """The files below the set's folder, without owners, links and whatever else a package may hold."""
    def members():
        if file.suffix == '.whl':
            with zipfile.ZipFile(file) as archive:
                yield from ((m.filename, archive.read(m)) for m in archive.infolist() if not m.is_dir())
        else:
            with tarfile.open(file) as archive:
                yield from ((m.name, archive.extractfile(m).read()) for m in archive if m.isreg())
    for name, content in members():
        if not name.startswith(of.folder) or name.endswith(of.leave) or '..' in name.split('/'):
            continue
        path = to / name[len(of.folder):]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if not to.is_dir():
        raise SystemExit(f'{file} has no {of.folder}')


def set_times(folders):
    since = {}
    for n, folder in enumerate(folders):
        for path, digest in digests(folder).items():
            since[path, digest] = when = since.get((path, digest), day(n))
            os.chmod(folder / path, 0o644)
            os.utime(folder / path, (when, when))
        for path in [folder, *(p for p in folder.rglob('*') if p.is_dir())]:
            os.chmod(path, 0o755)
            os.utime(path, (day(0), day(0)))


def day(n):
    return 1_790_000_000 + n * 7 * 86_400


def digests(folder):
    """Path to SHA-256, of every file: what two trees are compared by."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob('*')) if path.is_file()}


@dataclass(frozen=True)
class Change:
    """What differs between two versions, as whole files."""
    files: int
    bytes: int
    blocks: int  # the same in blocks of 4 KiB, as a file system stores it

    @classmethod
    def between(cls, old, new):
        before = digests(old) if old else {}
        changed = [new / path for path, digest in digests(new).items() if before.get(path) != digest]
        sizes = [path.stat().st_size for path in changed]
        return cls(len(sizes), sum(sizes), sum(-(-size // 4096) * 4096 for size in sizes))
