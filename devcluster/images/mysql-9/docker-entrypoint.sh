#!/bin/bash
# Entry point of the development cluster's MySQL image. It honours the official image's variables, so that a manifest
# that works here works there: MYSQL_ROOT_PASSWORD, MYSQL_ROOT_HOST, MYSQL_DATABASE, MYSQL_USER, MYSQL_PASSWORD (all
# also with _FILE), MYSQL_ALLOW_EMPTY_PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD, MYSQL_ONETIME_PASSWORD,
# MYSQL_INITDB_SKIP_TZINFO, and /docker-entrypoint-initdb.d. As there, passwords are spliced into SQL between single
# quotes, so that one with a quote or a backslash does not survive.
set -euo pipefail
shopt -s nullglob

log() { printf '%s [Entrypoint]: %s\n' "$(date --rfc-3339=seconds)" "$*"; }

fail() {
    log "ERROR: $*" >&2
    exit 1
}

# read_variable NAME DEFAULT: exports NAME from NAME itself, from the file that NAME_FILE names, or from DEFAULT.
read_variable() {
    local name=$1 default=${2-} file_variable="${1}_FILE" value
    value=${!name-}
    if [ -n "${!file_variable-}" ]; then
        [ -z "$value" ] || fail "Both $name and $file_variable are set (but are exclusive)"
        value=$(< "${!file_variable}")
    fi
    export "$name=${value:-$default}"
    unset "$file_variable"
}

# What the server would use, from its arguments, its files and its defaults; a configuration it refuses ends here.
read_configuration() {
    local errors
    errors=$(mktemp)
    SETTINGS=$("$@" --verbose --help --log-bin-index="$(mktemp -u)" 2> "$errors") \
        || fail "mysqld failed while attempting to check config: $* $(cat "$errors")"
    rm -f "$errors"
}

setting() {
    awk -v name="$1" '$1 == name && /^[^ \t]/ { sub(/^[^ \t]+[ \t]+/, ""); print; exit }' <<< "$SETTINGS"
}

make_folders() {
    local name path folders=("$DATADIR" "$(dirname "$SOCKET")")
    for name in general-log-file pid-file slow-query-log-file; do
        path=$(setting "$name")
        [ -z "$path" ] || folders+=("$(cd "$DATADIR" 2>/dev/null; dirname "$path")")
    done
    path=$(setting secure-file-priv)
    [ -z "$path" ] || [ "$path" = NULL ] || folders+=("$path")
    mkdir -p "${folders[@]}"
    [ "$(id -u)" != 0 ] || find "${folders[@]}" \! -user mysql -exec chown --no-dereference mysql {} +
}

check_variables() {
    [ -n "$MYSQL_ROOT_PASSWORD${MYSQL_ALLOW_EMPTY_PASSWORD-}${MYSQL_RANDOM_ROOT_PASSWORD-}" ] \
        || fail "Database is uninitialized and password option is not specified; set MYSQL_ROOT_PASSWORD," \
            "MYSQL_ALLOW_EMPTY_PASSWORD or MYSQL_RANDOM_ROOT_PASSWORD"
    [ "$MYSQL_USER" != root ] || fail 'MYSQL_USER="root": that user is configured by MYSQL_ROOT_PASSWORD'
    [ -z "$MYSQL_USER" ] || [ -n "$MYSQL_PASSWORD" ] \
        || log "MYSQL_USER specified, but missing MYSQL_PASSWORD; MYSQL_USER will not be created"
}

# Options with the root password, which is empty until PASSWORD_SET.
client_options() {
    printf '[client]\nuser=root\n'
    [ -z "${PASSWORD_SET-}" ] || printf 'password=%s\n' "$MYSQL_ROOT_PASSWORD"
}

# sql [OPTION...]: runs what it reads.
sql() {
    mysql --defaults-extra-file=<(client_options) --protocol=socket --socket="$SOCKET" --comments "$@"
}

create_accounts() {
    [ -n "${MYSQL_INITDB_SKIP_TZINFO-}" ] || mysql_tzinfo_to_sql /usr/share/zoneinfo 2>/dev/null | sql --database=mysql
    if [ -n "${MYSQL_RANDOM_ROOT_PASSWORD-}" ]; then
        MYSQL_ROOT_PASSWORD=$(head -c 18 /dev/urandom | base64)
        log "GENERATED ROOT PASSWORD: $MYSQL_ROOT_PASSWORD"
    fi
    local root=""
    if [ -n "$MYSQL_ROOT_HOST" ] && [ "$MYSQL_ROOT_HOST" != localhost ]; then
        root="CREATE USER 'root'@'$MYSQL_ROOT_HOST' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
            GRANT ALL ON *.* TO 'root'@'$MYSQL_ROOT_HOST' WITH GRANT OPTION;"
    fi
    sql --database=mysql <<< "SET autocommit = 1; SET @@SESSION.SQL_LOG_BIN = 0;
        ALTER USER 'root'@'localhost' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
        GRANT ALL ON *.* TO 'root'@'localhost' WITH GRANT OPTION; FLUSH PRIVILEGES; $root
        DROP DATABASE IF EXISTS test;"
    PASSWORD_SET=$MYSQL_ROOT_PASSWORD
    [ -z "$MYSQL_DATABASE" ] || sql <<< "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;"
    [ -n "$MYSQL_USER" ] && [ -n "$MYSQL_PASSWORD" ] || return 0
    sql <<< "CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';"
    # In a grant, an underscore would stand for any character.
    [ -z "$MYSQL_DATABASE" ] || sql <<< "GRANT ALL ON \`${MYSQL_DATABASE//_/\\_}\`.* TO '$MYSQL_USER'@'%';"
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        log "running $file"
        case $file in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) sql ${MYSQL_DATABASE:+--database="$MYSQL_DATABASE"} < "$file" ;;
            *.sql.gz) gunzip -c "$file" | sql ${MYSQL_DATABASE:+--database="$MYSQL_DATABASE"} ;;
            *) log "ignoring $file" ;;
        esac
    done
}

initialise() {
    check_variables
    log "Initializing database files"
    "$@" --initialize-insecure --default-time-zone=SYSTEM
    log "Starting temporary server"
    # It listens on its socket only: nobody outside takes it for the real one.
    "$@" --daemonize --skip-networking --default-time-zone=SYSTEM --socket="$SOCKET" || fail "Unable to start server."
    create_accounts
    run_init_files
    [ -z "${MYSQL_ONETIME_PASSWORD-}" ] || sql <<< "ALTER USER 'root'@'%' PASSWORD EXPIRE;"
    log "Stopping temporary server"
    mysqladmin --defaults-extra-file=<(client_options) shutdown --socket="$SOCKET" || fail "Unable to shut down server."
    log "MySQL init process done. Ready for start up."
}

serve() {
    read_configuration "$@"
    DATADIR=$(setting datadir)
    SOCKET=$(setting socket)
    make_folders
    if [ "$(id -u)" = 0 ]; then
        exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
    fi
    read_variable MYSQL_ROOT_HOST %
    read_variable MYSQL_DATABASE
    read_variable MYSQL_USER
    read_variable MYSQL_PASSWORD
    read_variable MYSQL_ROOT_PASSWORD
    [ -d "$DATADIR/mysql" ] || initialise "$@"
    exec "$@"
}

[ "${1-}" = "${1#-}" ] || set -- mysqld "$@"
[ "${1-}" = mysqld ] || exec "$@"
for argument in "$@"; do
    case $argument in
        '-?' | --help | --print-defaults | -V | --version) exec "$@" ;;
    esac
done
serve "$@"
