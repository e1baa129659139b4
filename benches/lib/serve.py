"""The server side of a run, on loopback: nginx over a folder, with an account of what it sent, and an rsync daemon over another."""
import os, shutil, socket, subprocess, time, urllib.request
from dataclasses import dataclass


@dataclass(frozen=True)
class Sent:
    """What crossed the wire towards a client."""
    requests: int
    body: int   # bytes of files
    all: int    # with the heads of answers; over rsync, also what the client had to say


class Nginx:
    def __init__(self, work):
        self.served, self.log, self.port = work / 'served', work / 'access.log', free_port()
        self.served.mkdir()
        (work / 'nginx.conf').write_text(CONFIG.format(work=work, root=self.served, port=self.port, user='user root;' if os.geteuid() == 0 else ''))
        self.process = subprocess.Popen([program('nginx'), '-p', work, '-c', work / 'nginx.conf', '-e', work / 'nginx.err'])
        self.url = f'http://127.0.0.1:{self.port}'
        until(lambda: self._connections(), 'nginx does not answer')

    def mark(self):
        """From here on sent() counts."""
        until(lambda: self._connections() == 1, 'a connection to nginx does not end')
        self.start = self.log.stat().st_size

    def sent(self):
        # a request is logged when its connection is done with, which may be a moment after the client ended
        until(lambda: self._connections() == 1, 'a connection to nginx does not end')
        with open(self.log) as log:
            log.seek(self.start)
            lines = [line.split() for line in log]
        return Sent(len(lines), sum(int(body) for body, *_ in lines), sum(int(sent) for _, sent, *_ in lines))

    def requests(self):
        """The lines that sent() counts, for people."""
        with open(self.log) as log:
            log.seek(self.start)
            return log.read()

    def _connections(self):
        try:
            with urllib.request.urlopen(f'{self.url}/.status', timeout=5) as answer:
                return int(answer.readline().split()[-1])
        except OSError:
            return 0

    def close(self):
        self.process.terminate()
        self.process.wait()


class RsyncDaemon:
    def __init__(self, work, root):
        self.port = free_port()
        config = work / 'rsyncd.conf'
        # uid: the daemon would become nobody, who may not read a cache in somebody's home
        config.write_text(f'use chroot = no\n{"uid = root" if os.geteuid() == 0 else ""}\n[web]\npath = {root}\nread only = yes\n')
        self.process = subprocess.Popen([program('rsync'), '--daemon', '--no-detach', f'--config={config}', f'--port={self.port}',
                                         '--address=127.0.0.1', f'--log-file={work}/rsyncd.log'])
        self.url = f'rsync://127.0.0.1:{self.port}/web'
        until(lambda: answers(self.port), 'the rsync daemon does not answer')

    def close(self):
        self.process.terminate()
        self.process.wait()


# one worker, no buffer: a line is in the log when the worker is idle again
CONFIG = '''
{user}
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.err;
events {{ worker_connections 256; }}
http {{
    types {{ application/json json; application/gzip gz; }}
    default_type application/octet-stream;
    log_format sent '$body_bytes_sent $bytes_sent $status $request_method $request_uri $http_range';
    access_log {work}/access.log sent;
    client_body_temp_path {work}/tmp; proxy_temp_path {work}/tmp; fastcgi_temp_path {work}/tmp; uwsgi_temp_path {work}/tmp; scgi_temp_path {work}/tmp;
    sendfile on; keepalive_timeout 60;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        location = /.status {{ stub_status; access_log off; }}
    }}
}}
'''


def program(name):
    """Servers lie in /usr/sbin, which is not on everybody's path."""
    return shutil.which(name, path=os.environ['PATH'] + ':/usr/sbin') or name


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(('127.0.0.1', port)) == 0


def until(true, complaint):
    for _ in range(500):
        if true():
            return
        time.sleep(0.02)
    raise SystemExit(complaint)
