#!/bin/sh
# Prepares this machine; quiet when all is there. Called by the Makefile with $PYTHON set.
#   packages       system packages that `slipway up` needs
#   test-packages  those that only the tests need
#   venv           .venv with everything in requirements.lock, and slipway itself
#   sample         the static busybox that deployments/samples/simple is made of
set -eu

PYTHON=${PYTHON:-python3}
VENV=.venv
SAMPLE=deployments/samples/simple/busybox
STATIC_BUSYBOX=/bin/busybox

say() { printf '%s\n' "slipway: $*" >&2; }

# dockerd and docker-registry are in an administrator's PATH only, on some systems.
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

can_make_venv() {
    "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1
}

docker_engine_runs() {
    has docker && docker info >/dev/null 2>&1
}

has_static_busybox() {
    [ -x "$STATIC_BUSYBOX" ] && ! ldd "$STATIC_BUSYBOX" >/dev/null 2>&1
}

missing=
need() { missing="$missing $1"; }

# What not every distribution has, and what works without.
wished=
wish() { wished="$wished $1"; }
need_wished() {
    for package in $wished; do
        ! apt-cache show "$package" >/dev/null 2>&1 || need "$package"
    done
}

# Runs a command as root: as oneself if one is, else by sudo. Fails where neither works.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

may_be_root() {
    [ "$(id -u)" -eq 0 ] || { has sudo && sudo -n true 2>/dev/null; }
}

install_missing() {
    [ -n "$missing$wished" ] || return 0
    [ -n "$missing" ] || { has apt-get && may_be_root; } || return 0
    if ! has apt-get; then
        say "these programs are missing (the names are those of Debian's packages):$missing"
        say "install them with this system's package manager, then run the same command again"
        exit 1
    fi
    if ! may_be_root; then
        say "some system packages are missing; install them, then run the same command again:"
        say "    sudo apt-get install --no-install-recommends$missing"
        exit 1
    fi
    say "installing$missing$wished"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # shellcheck disable=SC2086 # a list of words
    if ! { as_root apt-get update -qq && need_wished &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } \
        >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        say "apt-get failed; its last lines are shown above"
        exit 1
    fi
    case $missing in
    *docker-registry*)
        # Only the program is wanted; Debian's service would hold the port that the embedded registry uses.
        [ ! -d /run/systemd/system ] || as_root systemctl disable --now --quiet docker-registry
        ;;
    esac
}

packages() {
    if ! has "$PYTHON"; then
        need python3-venv
    else
        "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            say "$PYTHON is not Python 3.11 or newer; choose one: make setup PYTHON=python3.12"
            exit 1
        }
        can_make_venv || need python3-venv
    fi
    has git || need git
    if ! has dockerd && ! has buildkitd && ! docker_engine_runs; then
        need docker.io
        # A release's report names the command, which Debian 13 and later have in a package of its own.
        has docker || wish docker-cli
    fi
    has docker-registry || need docker-registry
    has_static_busybox || need busybox-static
    if [ "$(id -u)" -ne 0 ] && ! has buildkitd && ! docker_engine_runs; then
        has rootlesskit || need rootlesskit
        has newuidmap || need uidmap
    fi
    install_missing
}

test_packages() {
    has skopeo || need skopeo
    has cosign || need cosign
    has docker || need docker-cli
    [ -e /usr/libexec/docker/cli-plugins/docker-buildx ] ||
        [ -e /usr/lib/docker/cli-plugins/docker-buildx ] || need docker-buildx
    has openssl || need openssl
    has ssh-agent || need openssh-client
    has sshd || need openssh-server
    has git-lfs || need git-lfs
    has tmux || need tmux
    has chromium || need chromium
    for program in podman cosign oras prometheus kustomize; do
        has "$program" || wish "$program"
    done
    install_missing
}

make_venv() {
    [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
    say "installing the locked environment into $VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        --config-settings editable_mode=compat -e .
    # A path entry instead of an import hook, and byte code although PYTHONDONTWRITEBYTECODE may be set: a command
    # starts in half the time.
    "$VENV/bin/python" -m compileall -q prefect_slipway flows blocks infra
}

sample() {
    cmp -s "$STATIC_BUSYBOX" "$SAMPLE" || cp "$STATIC_BUSYBOX" "$SAMPLE"
}

case "${1-}" in
packages) packages ;;
test-packages) test_packages ;;
venv) make_venv ;;
sample) sample ;;
*)
    say "usage: bootstrap.sh packages|test-packages|venv|sample"
    exit 2
    ;;
esac
