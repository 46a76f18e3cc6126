#!/bin/bash
# Starts a member, with what only a pod knows.
set -euo pipefail

# What members know each other by. It is made from the instance's password, so that all have the same one and no client
# is handed it. The server wants it readable by nobody else.
umask 0077
{ printf 'kidp mongodb members: '; cat /etc/kidp/connection/password; } | sha256sum | cut -c 1-64 > /run/kidp/keyfile
chmod 0400 /run/kidp/keyfile

# A member looks for itself among the names of the set, and is none of them where its name does not lead to it yet.
until getent ahosts "$POD_NAME.$DOMAIN" | grep -q "^$POD_IP "; do
    echo "waiting for $POD_NAME.$DOMAIN to be $POD_IP in DNS"
    sleep 1
done

# The first member makes the user; the others get it with the data. With data of their own, a user's too, they could not
# be of the set when it is made.
case $POD_NAME in
    *-0)
        export MONGO_INITDB_ROOT_USERNAME_FILE=/etc/kidp/connection/username
        export MONGO_INITDB_ROOT_PASSWORD_FILE=/etc/kidp/connection/password
        ;;
esac
# As an argument, since the image leaves it out of its first start, where it makes the user.
exec docker-entrypoint.sh mongod --config /etc/mongod/mongod.conf --replSet "$SET_NAME"
