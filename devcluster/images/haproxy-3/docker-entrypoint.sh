#!/bin/sh
# Entry point of the development cluster's HAProxy image, with the official one's rules: options alone are arguments of
# haproxy, which runs as a master with workers in the foreground.
set -eu

case ${1-} in
    -*) set -- haproxy "$@" ;;
esac
if [ "${1-}" = haproxy ]; then
    shift
    set -- haproxy -W -db "$@"
fi
exec "$@"
