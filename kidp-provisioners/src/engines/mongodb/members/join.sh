#!/bin/bash
# Succeeds when this member is of the set; the data follows, however long that takes. The set is made here, by the first
# member, and once: when each of the others answers that it knows of none. Where one does not answer, or is of a set, the
# first member waits: those who know the set bring it in by themselves.
set -euo pipefail
. /etc/mongod/ask.sh

self=$(what_is "$POD_IP")
first=${MEMBERS%% *}
case $self in
    primary | secondary | syncing) exit 0 ;;
    uninitiated) ;;
    *) echo "this member is $self"; exit 1 ;;
esac
if [ "$POD_NAME" != "$first" ]; then
    other=$(what_is "$first.$DOMAIN")
    # One member is about to become three: the first is made anew when these here are ready.
    [ "$other" = alone ] && exit 0
    echo "waiting for $first to make the set; it is $other"
    exit 1
fi
for name in ${MEMBERS#* }; do
    other=$(what_is "$name.$DOMAIN")
    [ "$other" = uninitiated ] || { echo "waiting for $name, which is $other"; exit 1; }
done
mongosh --quiet --norc --host "$POD_IP" --port 27017 /etc/mongod/initiate.js
echo "the set is made"
exit 1
