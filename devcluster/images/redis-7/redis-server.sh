#!/bin/bash
# redis-server and redis-sentinel as the official image has them: there, protected mode is off unless the configuration
# turns it on, since a container has no other address to listen on. Debian's server has it on, so that the option is
# added when neither the arguments nor the configuration file name it.
set -euo pipefail

program=/usr/bin/${0##*/}

says_it_itself() {
    local argument
    for argument in "$@"; do
        case ${argument,,} in
            --protected-mode* | -v | --version | -h | --help | --test-memory | --check-system | -) return 0 ;;
        esac
    done
    [ -f "${1-}" ] && grep -qiE '^[[:space:]]*protected-mode[[:space:]]' "$1"
}

says_it_itself "$@" || set -- "$@" --protected-mode no
exec "$program" "$@"
