"""Rows of words as a table for a terminal; and the table of one way."""


def grid(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return '\n'.join('  '.join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
                     for row in rows) + '\n'


def way(way, clients, results):
    """What each client paid for the same way. Medians, but the worst for memory."""
    change = way.change
    head = f'{way.words}: {change.files:,} files with {change.bytes:,} bytes are new or changed; seconds and MB'
    rows = [['', 'bytes', 'with heads', 'requests', 'user+sys', 'to hand', 'wall', 'memory', 'together', 'to files', 'to disk', '/changed', 'space', '/changed', 'back']]
    hand = results.get('hand')
    for client in clients:
        if client.name not in results:
            continue
        r = results[client.name]
        cpu, written = r.median('cpu'), r.median('written')
        rows.append([client.words, f'{r.sent.body:,}', f'{r.sent.all:,}', f'{r.sent.requests:,}', f'{cpu:.3f}', f'{cpu / hand.median("cpu"):.2f}' if hand else '-',
                     f'{r.median("wall"):.2f}', mb(r.worst('memory')), mb(r.room.together), mb(r.median('dirtied')), mb(written),
                     ratio(written, change.blocks), mb(r.room.space), ratio(r.room.space, change.blocks), mb(r.room.temporary)])
    return f'{head}\n{grid(rows)}'


def mb(bytes):
    return '-' if bytes is None else f'{bytes / 1e6:.1f}'


def ratio(a, b):
    return '-' if a is None or not b else f'{a / b:.2f}'
