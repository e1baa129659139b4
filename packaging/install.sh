#!/bin/sh
# Installs pikit-updater from this folder. Asks nothing; a second run does no harm and takes a newer program in.
#
#   sudo ./install.sh                 install or bring up to date
#   sudo ./install.sh --uninstall     remove it; config, memory and backups stay
#   sudo ./install.sh --root DIR      into a system below DIR: a mounted card. Nothing is started then.
#
# With systemd it installs the units, with OpenRC its scripts, elsewhere a daily job of cron. On Debian and Raspberry Pi OS take the .deb.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=
uninstall=
while [ $# -gt 0 ]; do
    case $1 in
    --uninstall) uninstall=1 ;;
    --root) root=${2:?--root DIR}; root=${root%/}; shift ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || { echo "install.sh: this needs root: sudo $0" >&2; exit 9; }
if [ -e "$root/var/lib/dpkg/info/pikit-updater.list" ]; then
    echo "install.sh: the package pikit-updater is installed; use apt, or remove it first" >&2
    exit 5
fi

# who starts services there
if [ -d "$root/run/systemd/system" ] || [ -x "$root/usr/lib/systemd/systemd" ] || [ -x "$root/lib/systemd/systemd" ]; then
    init=systemd
elif [ -x "$root/sbin/openrc-run" ] || [ -x "$root/usr/sbin/openrc-run" ]; then
    init=openrc
else
    init=none
fi
live() { [ -z "$root" ]; }
booted() { live && [ -d /run/systemd/system ]; }
systemd_units="pikit-update-recover.service pikit-update-trial.service pikit-update-apply.path pikit-update-api.socket"

# what goes where: a line for each file, "mode from to"
files() {
    (cd "$here/root" && find . -type f | sort) | while read -r path; do
        path=${path#./}
        case $path in
        usr/lib/systemd/* | usr/lib/sysusers.d/* | usr/lib/tmpfiles.d/*) [ $init = systemd ] || continue ;;
        # a person may have changed it
        etc/nginx/*) continue ;;
        esac
        case $path in usr/bin/* | usr/lib/pikit-updater/*) mode=0755 ;; *) mode=0644 ;; esac
        echo "$mode root/$path $path"
    done
    case $init in
    openrc)
        for name in recover trial api; do echo "0755 openrc/pikit-update-$name etc/init.d/pikit-update-$name"; done
        echo "0755 openrc/openrc-control usr/lib/pikit-updater/openrc-control"
        echo "0755 openrc/pikit-update-daily etc/periodic/daily/pikit-update"
        ;;
    none) echo "0755 openrc/pikit-update-daily etc/cron.daily/pikit-update" ;;
    esac
}

# Beside its place, and when that is on the disk by one rename: a running update ends with the program it began with, and a power cut leaves
# the old or the new.
lay() {
    mkdir -p "$root/$(dirname "$3")"
    cp "$here/$2" "$root/$3.new"
    chmod "$1" "$root/$3.new"
}

# the user that reads what comes from outside
user() {
    grep -q "^$1:" "$root/etc/passwd" 2>/dev/null && return
    if command -v useradd >/dev/null 2>&1; then
        useradd ${root:+--root "$root"} --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin "$1"
    elif live && command -v adduser >/dev/null 2>&1; then
        addgroup -S "$1" 2>/dev/null || true
        adduser -S -D -H -h / -s /sbin/nologin -G "$1" "$1"
    else
        echo "install.sh: no user $1 could be made; nobody is used instead" >&2
    fi
}

if [ -n "$uninstall" ]; then
    if live && [ -e /run/pikit-update.lock ] && command -v flock >/dev/null 2>&1 && ! flock -n /run/pikit-update.lock true; then
        echo "install.sh: an update is running; uninstall when it has ended" >&2
        exit 8
    fi
    if [ -e "$root/var/lib/pikit-update/journal.json" ]; then
        echo "install.sh: an update was interrupted; settle it first: pikit-updater recover" >&2
        exit 5
    fi
    if booted; then
        # shellcheck disable=SC2086
        systemctl disable --now $systemd_units pikit-update.timer pikit-update-api.service >/dev/null 2>&1 || true
    elif [ $init = systemd ]; then
        find "$root/etc/systemd/system" -type l -path '*.wants/pikit-update*' -exec rm -f {} + 2>/dev/null || true
    elif [ $init = openrc ] && live; then
        rc-service --ifstarted pikit-update-api stop >/dev/null 2>&1 || true
        for name in recover trial api; do rc-update --quiet --all delete pikit-update-$name >/dev/null 2>&1 || true; done
    fi
    files | while read -r _ _ to; do rm -f "$root/$to"; done
    rmdir "$root/usr/lib/pikit-updater" "$root/usr/share/doc/pikit-updater" 2>/dev/null || true
    ! booted || systemctl daemon-reload
    echo "pikit-updater is removed. What stays: /etc/pikit, /var/lib/pikit-update, /var/backups/pikit, and your dashboard."
    exit 0
fi

"$here/root/usr/bin/pikit-updater" --version >/dev/null 2>&1 || [ -n "$root" ] || {
    echo "install.sh: the program in this folder does not run on this machine ($(uname -m)); is it the right archive?" >&2
    exit 5
}
files | while read -r mode from to; do lay "$mode" "$from" "$to"; done
sync
files | while read -r _ _ to; do mv -f "$root/$to.new" "$root/$to"; done
user pikit-fetch
for dir in etc/pikit etc/pikit/keys var/lib/pikit-update var/backups/pikit; do mkdir -p "$root/$dir"; done
mkdir -p "$root/var/tmp/pikit-update" && chmod 0700 "$root/var/tmp/pikit-update"

# nginx's snippet is the person's once it is there
snippet=etc/nginx/snippets/pikit-update.conf
if [ -d "$root/etc/nginx" ] && [ ! -e "$root/$snippet" ]; then
    lay 0644 "root/$snippet" "$snippet"
    mv -f "$root/$snippet.new" "$root/$snippet"
    # without systemd there is no socket that waits: the API has its own address
    [ $init = systemd ] || sed -i 's|http://unix:/run/pikit-update/api.sock|http://127.0.0.1:8686|' "$root/$snippet"
fi

case $init in
systemd)
    user pikit-update
    if booted; then
        systemd-tmpfiles --create pikit-update.conf
        systemctl daemon-reload
        systemctl enable --quiet pikit-update-recover.service pikit-update-trial.service
        systemctl enable --quiet --now pikit-update-apply.path pikit-update-api.socket
        systemctl try-restart pikit-update-api.service
    else
        # shellcheck disable=SC2086
        systemctl ${root:+--root="$root"} enable --quiet $systemd_units
    fi
    ;;
openrc)
    if live; then
        rc-update --quiet add pikit-update-recover boot
        rc-update --quiet add pikit-update-trial default
        rc-update --quiet add pikit-update-api default
    fi
    ;;
none) echo "There is neither systemd nor OpenRC here: let your boot script run \`pikit-updater recover\` before the dashboard starts." ;;
esac
# what is said to be installed is so after a power cut, too
sync
echo "pikit-updater is installed ($init). Next: /etc/pikit/updater.toml (an example lies beside it), then: pikit-updater doctor"
