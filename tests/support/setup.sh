# What the scripts that set servers up share. The script that sources this has set
# `set -euo pipefail`.

readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tower-bearer

fail() {
    echo "$0: $*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null; }

# Installs Debian packages.
install() {
    local sudo=()
    [[ $(id -u) == 0 ]] || sudo=(sudo -n)
    export DEBIAN_FRONTEND=noninteractive
    "${sudo[@]}" apt-get update -qq &&
        "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@"
}

# The home of a Java of one of these versions.
java_home() {
    local java version
    for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" \
        /usr/lib/jvm/*/bin/java; do
        [[ -x $java ]] || continue
        version=$("$java" -version 2>&1 | sed -n 's/^[^"]* version "\([0-9]*\).*/\1/p')
        if [[ " $* " == *" $version "* ]]; then
            dirname "$(dirname "$(readlink -f "$java")")"
            return
        fi
    done
    return 1
}

# Sets JAVA_HOME to a Java of one of these versions, and installs one if there is none.
need_java() {
    if ! JAVA_HOME=$(java_home "$@"); then
        echo "no Java of the versions $* here: installing one"
        install openjdk-21-jre-headless || install openjdk-17-jre-headless || true
        JAVA_HOME=$(java_home "$@") || fail "no Java of the versions $* here, and none to be had"
    fi
    export JAVA_HOME
}

# Makes the folder RUN, for this run. Servers in it that the test did not end, since
# it was killed, end with this script: each leads a process group of its own, and its
# id is in a file.
make_run_folder() {
    RUN=$(mktemp -d)
    readonly RUN
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

clean_up() {
    local pid
    for pid in $(cat "$RUN"/*.pid 2>/dev/null); do
        kill -KILL -- "-$pid" 2>/dev/null || true
    done
    rm -rf "$RUN"
}
