#!/bin/bash
# Entry point of the development cluster's PostgreSQL images. It honours the official image's variables, so that a
# manifest that works here works there: POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS (the first
# three also with _FILE), POSTGRES_HOST_AUTH_METHOD, PGDATA, and /docker-entrypoint-initdb.d.
set -euo pipefail

fail() {
    echo >&2 "docker-entrypoint: $*"
    exit 1
}

# read_variable NAME DEFAULT: exports NAME from NAME itself, from the file that NAME_FILE names, or from DEFAULT.
read_variable() {
    local name=$1 default=${2-} file_variable="${1}_FILE" value
    value=${!name-}
    if [ -n "${!file_variable-}" ]; then
        [ -z "$value" ] || fail "$name and $file_variable exclude each other"
        value=$(< "${!file_variable}")
    fi
    export "$name=${value:-$default}"
    unset "$file_variable"
}

# Folders that a volume or an empty /run may have hidden. As another user than root this can only try.
prepare_folders() {
    mkdir -p "$PGDATA" 2>/dev/null || true
    mkdir -p /var/run/postgresql 2>/dev/null || true
    chmod 0700 "$PGDATA" 2>/dev/null || true
    if [ "$(id -u)" = 0 ]; then
        chown -R postgres:postgres "$PGDATA" /var/run/postgresql
        chmod 3777 /var/run/postgresql
    fi
}

# The server that is up during initialisation listens on its socket only: nobody outside takes it for the real one.
init_server() {
    pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432 $2" -w "$1" > /dev/null
}

init_sql() {
    PGPASSWORD=${PGPASSWORD-$POSTGRES_PASSWORD} psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc \
        --username "$POSTGRES_USER" "$@"
}

create_cluster() {
    local password_file
    password_file=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$password_file"
    # POSTGRES_INITDB_ARGS is a line of arguments, split as a shell would.
    eval "initdb --username=\"\$POSTGRES_USER\" --pwfile=\"\$password_file\" ${POSTGRES_INITDB_ARGS-}"
    rm -f "$password_file"
    printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >> "$PGDATA/pg_hba.conf"
}

create_database() {
    local exists
    exists=$(init_sql --dbname postgres --set db="$POSTGRES_DB" --tuples-only --no-align \
        <<< "SELECT 1 FROM pg_database WHERE datname = :'db';")
    [ -n "$exists" ] || init_sql --dbname postgres --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) init_sql --dbname "$POSTGRES_DB" -f "$file" ;;
            *.sql.gz) gunzip -c "$file" | init_sql --dbname "$POSTGRES_DB" ;;
            *) [ ! -e "$file" ] || echo "docker-entrypoint: leaving out $file" ;;
        esac
    done
}

initialise() {
    [ -n "$POSTGRES_PASSWORD" ] || [ "$POSTGRES_HOST_AUTH_METHOD" = trust ] \
        || fail "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE to the superuser's password"
    create_cluster
    export PGPASSWORD=$POSTGRES_PASSWORD PGHOST=/var/run/postgresql
    init_server start ""
    create_database
    run_init_files
    init_server stop "-m fast"
    unset PGPASSWORD PGHOST
    echo "docker-entrypoint: PostgreSQL is initialised"
}

serve() {
    prepare_folders
    if [ "$(id -u)" = 0 ]; then
        exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
    fi
    read_variable POSTGRES_PASSWORD
    read_variable POSTGRES_USER postgres
    read_variable POSTGRES_DB "$POSTGRES_USER"
    read_variable POSTGRES_INITDB_ARGS
    POSTGRES_HOST_AUTH_METHOD=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ -s "$PGDATA/PG_VERSION" ]; then
        echo "docker-entrypoint: using the database in $PGDATA"
    else
        initialise "$@"
    fi
    unset POSTGRES_PASSWORD
    exec "$@"
}

[ "${1-}" = "${1#-}" ] || set -- postgres "$@"
case ${1-} in
    postgres) serve "$@" ;;
    *) exec "$@" ;;
esac
