#!/bin/bash
# Entry point of the development cluster's RabbitMQ image, with the official one's rules: variables that it no longer
# takes end it, so that a manifest which would fail there fails here; RABBITMQ_DEFAULT_USER, RABBITMQ_DEFAULT_PASS,
# RABBITMQ_DEFAULT_VHOST, RABBITMQ_NODENAME and the like are read by the server itself.
set -euo pipefail

if [[ "${1-}" == rabbitmq* ]] && [ "$(id -u)" = 0 ]; then
    [ "$1" != rabbitmq-server ] || find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq {} +
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$0" "$@"
fi

refused=0
for name in RABBITMQ_DEFAULT_PASS_FILE RABBITMQ_DEFAULT_USER_FILE RABBITMQ_VM_MEMORY_HIGH_WATERMARK \
    RABBITMQ_{,MANAGEMENT_}SSL_{CACERTFILE,CERTFILE,DEPTH,FAIL_IF_NO_PEER_CERT,KEYFILE,VERIFY}; do
    if [ -n "${!name-}" ]; then
        echo >&2 "error: $name is set but deprecated"
        refused=1
    fi
done
if [ "$refused" = 1 ]; then
    echo >&2 "error: deprecated environment variables detected; use a configuration file instead"
    exit 1
fi

# With a name that has dots, nodes must be told to use it whole.
if [ "$(hostname)" != "$(hostname -s)" ]; then
    export RABBITMQ_USE_LONGNAME=${RABBITMQ_USE_LONGNAME:-true}
fi

if [ -n "${RABBITMQ_ERLANG_COOKIE-}" ]; then
    cookie=/var/lib/rabbitmq/.erlang.cookie
    if [ ! -e "$cookie" ]; then
        (umask 0177 && echo "$RABBITMQ_ERLANG_COOKIE" > "$cookie")
    elif [ "$(< "$cookie")" != "$RABBITMQ_ERLANG_COOKIE" ]; then
        echo >&2 "warning: $cookie contents do not match RABBITMQ_ERLANG_COOKIE"
    fi
fi
exec "$@"
