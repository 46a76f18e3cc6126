#!/bin/bash
# Entry point of the image that stands in for MongoDB: FerretDB behind the official image's variables and behaviour.
# MONGO_INITDB_ROOT_USERNAME, MONGO_INITDB_ROOT_PASSWORD (both also with _FILE), MONGO_INITDB_DATABASE and
# /docker-entrypoint-initdb.d count on the first start only. docs/mongodb-stand-in.md says what differs.
set -euo pipefail
shopt -s nullglob

fail() {
    echo >&2 "error: $*"
    exit 1
}

# read_variable NAME: exports NAME from NAME itself or from the file that NAME_FILE names.
read_variable() {
    local name=$1 file_variable="${1}_FILE" value
    value=${!name-}
    if [ -n "${!file_variable-}" ]; then
        [ -z "$value" ] || fail "both $name and $file_variable are set (but are exclusive)"
        value=$(< "${!file_variable}")
    fi
    export "$name=$value"
    unset "$file_variable"
}

# The official image's first server has no access control; this one has it from the start, and the scripts log in.
run_init_files() {
    local file
    export MONGO_INITDB_DATABASE=${MONGO_INITDB_DATABASE:-test}
    local shell=(mongosh --quiet --host 127.0.0.1 --port 27017)
    [ -z "$MONGO_INITDB_ROOT_USERNAME" ] || shell+=(--authenticationDatabase admin
        --username "$MONGO_INITDB_ROOT_USERNAME" --password "$MONGO_INITDB_ROOT_PASSWORD")
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh) echo "$0: running $file"; . "$file" ;;
            *.js) echo "$0: running $file"; "${shell[@]}" "$MONGO_INITDB_DATABASE" "$file" ;;
            *) echo "$0: ignoring $file" ;;
        esac
    done
}

# As in the official image, the first server listens on 127.0.0.1:27017, where a probe takes it for the real one.
initialise() {
    local pid tries=60
    "$@" --bind_ip 127.0.0.1 --port 27017 --stand-in-first-start &
    pid=$!
    until (exec 3<> /dev/tcp/127.0.0.1/27017) 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null || fail "mongod does not appear to have stayed running"
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "mongod does not appear to have accepted connections quickly enough"
        sleep 0.5
    done
    run_init_files
    kill -TERM "$pid"
    wait "$pid" || true
    echo "MongoDB init process complete; ready for start up."
}

serve() {
    read_variable MONGO_INITDB_ROOT_USERNAME
    read_variable MONGO_INITDB_ROOT_PASSWORD
    local init_files=(/docker-entrypoint-initdb.d/*.sh /docker-entrypoint-initdb.d/*.js) data
    if [ -n "$MONGO_INITDB_ROOT_USERNAME" ] && [ -n "$MONGO_INITDB_ROOT_PASSWORD" ]; then
        set -- "$@" --auth
    elif [ -n "$MONGO_INITDB_ROOT_USERNAME$MONGO_INITDB_ROOT_PASSWORD" ]; then
        fail "missing MONGO_INITDB_ROOT_USERNAME or MONGO_INITDB_ROOT_PASSWORD; both must be specified for a user to be created"
    fi
    # Also finds out now whether the options are any good.
    data=$("$@" --stand-in-print-dbpath)
    if [ ! -e "$data/state.json" ]; then
        if [ -n "$MONGO_INITDB_ROOT_USERNAME" ] || [ ${#init_files[@]} -gt 0 ]; then
            initialise "$@"
        fi
    fi
    unset "${!MONGO_INITDB_@}"
    # mongod alone would listen on localhost; the image listens everywhere unless it is told otherwise.
    exec "$@" --stand-in-bind-all
}

case ${1-} in
    -*) set -- mongod "$@" ;;
esac
if [[ "${1-}" == mongo* ]] && [ "$(id -u)" = 0 ]; then
    [ "$1" != mongod ] || find /data/configdb /data/db \! -user mongodb -exec chown mongodb {} +
    exec setpriv --reuid=mongodb --regid=mongodb --init-groups "$0" "$@"
fi
for argument in "$@"; do
    case $argument in
        -h | --help | --version) exec "$@" ;;
    esac
done
[ "${1-}" = mongod ] || exec "$@"
serve "$@"
