#!/bin/sh
# Starts this member's Redis as what the Sentinels say that it is. They are asked until two of three have answered: a
# failover has been voted for by two, so that one of these knows of it, and the newest epoch is right.
set -eu
umask 0077
me=$POD_NAME.$DOMAIN
empty=/data/kidp/empty
REDISCLI_AUTH=$(cat /run/kidp/members)
export REDISCLI_AUTH

# What a Sentinel says: name and value, a line each.
ask() { timeout 3 redis-cli -h "$1.$DOMAIN" -p 26379 --user members sentinel master "$MASTER_NAME" 2> /dev/null; }

# Sets `answers`, and of the newest epoch `master`; `replicas` is the largest number that any knows.
poll() {
    answers=0 epoch=-1 master= replicas=0
    for member in $MEMBERS; do
        said=$(ask "$member") || continue
        ip='' config_epoch='' num_slaves=''
        while IFS= read -r key && IFS= read -r value; do
            case $key in
                ip) ip=$value ;;
                config-epoch) config_epoch=$value ;;
                num-slaves) num_slaves=$value ;;
            esac
        done <<END
$said
END
        [ -n "$ip" ] && [ -n "$config_epoch" ] && [ -n "$num_slaves" ] || continue
        answers=$((answers + 1))
        [ "$num_slaves" -le "$replicas" ] || replicas=$num_slaves
        if [ "$config_epoch" -gt "$epoch" ]; then
            epoch=$config_epoch master=$ip
        fi
    done
}

# Has this volume ever had the set's data?
has_data() { [ -d /data/appendonlydir ] && [ ! -e "$empty" ]; }

while true; do
    poll
    if [ "$answers" -lt 2 ]; then
        echo "waiting: $answers of 3 Sentinels answer, two are needed"
    elif [ "$master" != "$me" ] || has_data || [ "$replicas" = 0 ]; then
        break
    else
        # As a master without data it would empty the others. They vote for another while it is away.
        echo "waiting: this volume is empty, and others have the data; one of them is to become master"
    fi
    sleep 1
done

priority=100
if [ "$master" != "$me" ] && ! has_data; then
    # Not to be promoted before it has the data once; ready.sh sees that it has.
    touch "$empty"
    priority=0
elif [ "$master" = "$me" ]; then
    rm -f "$empty"
fi
{
    echo "include /etc/kidp/redis/redis.conf"
    echo "masterauth $REDISCLI_AUTH"
    echo "replica-announce-ip $me"
    echo "replica-priority $priority"
    [ "$master" = "$me" ] || echo "replicaof $master 6379"
} > /run/kidp/redis.conf
echo "epoch $epoch: master is $master"
unset REDISCLI_AUTH
exec docker-entrypoint.sh /run/kidp/redis.conf
