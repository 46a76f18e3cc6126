#!/bin/bash
# Entry point of the development cluster's Redis images, with the official one's rules: options alone, or a file that
# ends in .conf, are arguments of redis-server; root hands over the working folder and steps down.
set -euo pipefail

case ${1-} in
    -* | *.conf) set -- redis-server "$@" ;;
esac

case ${1-} in
    redis-server | redis-sentinel)
        if [ "$(id -u)" = 0 ]; then
            find . \! -user redis -exec chown redis {} + 2>/dev/null || true
            exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
        fi
        # As in the official image: what the server writes is not for everybody.
        [ "$(umask)" != 0022 ] || umask 0077
        ;;
esac
exec "$@"
