#!/bin/bash
# Succeeds when this member serves: it is the primary, or a secondary that has the data, and the clients' login works.
set -euo pipefail
. /etc/mongod/ask.sh

self=$(what_is "$POD_IP")
case $self in
    primary | secondary) ;;
    uninitiated)
        first=${MEMBERS%% *}
        [ "$POD_NAME" != "$first" ] && [ "$(what_is "$first.$DOMAIN")" = alone ] && exit 0
        echo "of no set yet"
        exit 1
        ;;
    *) echo "this member is $self"; exit 1 ;;
esac
# Once is enough: a password does not change by itself, and the shell that can log in is heavy.
logged_in=/tmp/kidp-logged-in
[ -e "$logged_in" ] && exit 0
mongosh --quiet --norc --host "$POD_IP" --port 27017 /etc/mongod/login.js
touch "$logged_in"
