#!/bin/sh
# Succeeds when this member does its part: Redis answers PONG to the client's login and is the master or in sync with it,
# and its Sentinel knows enough others to fail over.
set -eu
members=$(cat /run/kidp/members)
empty=/data/kidp/empty
as_member() { REDISCLI_AUTH=$members redis-cli --user members "$@"; }

pong=$(REDISCLI_AUTH=$(cat /etc/kidp/connection/password) redis-cli -h 127.0.0.1 ping)
[ "$pong" = PONG ] || { echo "$pong"; exit 1; }
info=$(as_member -h 127.0.0.1 info replication | tr -d '\r')
case $info in
    *role:master*) ;;
    *master_link_status:up*)
        # In sync for the first time: from now on it may be promoted.
        if [ -e "$empty" ]; then
            as_member -h 127.0.0.1 config set replica-priority 100 > /dev/null
            rm "$empty"
        fi
        ;;
    *)
        # One member is about to become three: the first one still is what it was, a server alone that knows no members,
        # and is made anew when these here are ready.
        master=$(echo "$info" | sed -n 's/^master_host://p')
        if [ -e "$empty" ] && as_member -h "$master" ping 2>&1 | grep -q WRONGPASS; then
            exit 0
        fi
        echo "not in sync with $master"
        exit 1
        ;;
esac
quorum=$(as_member -h 127.0.0.1 -p 26379 sentinel ckquorum "$MASTER_NAME")
case $quorum in
    OK*) ;;
    *) echo "$quorum"; exit 1 ;;
esac
