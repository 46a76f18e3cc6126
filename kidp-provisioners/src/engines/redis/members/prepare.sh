#!/bin/sh
# Runs before the servers of a member and writes the files that they read, into a folder in memory: what holds a
# password, and what only a pod knows.
set -eu
umask 0077
templates=/etc/kidp/redis
run=/run/kidp
password=$(cat /etc/kidp/connection/password)
test -n "$password"

# What members log in to each other with. It is made from the instance's password, so that all have the same one and no
# client is handed it.
members=$({ printf 'kidp redis members: '; printf %s "$password"; } | sha256sum | cut -c1-64)
printf %s "$members" > "$run/members"

# Of passwords, these files have the SHA-256.
hash() { printf %s "$1" | sha256sum | cut -c1-64; }
for file in users.acl sentinel.acl; do
    sed -e "s/@PASSWORD@/$(hash "$password")/" -e "s/@MEMBERS@/$(hash "$members")/" "$templates/$file" > "$run/$file"
done

# The router asks for names in full, as its resolver knows no search list. `svc.` and the cluster's domain are in the
# list of every pod.
domain=$(tr ' \t' '\n\n' < /etc/resolv.conf | sed -n '/^svc\../{p;q;}')
test -n "$domain"
# AUTH as the protocol has it, in hexadecimal digits: whatever the password is, it stays one word.
login=$(printf '*2\r\n$4\r\nAUTH\r\n$%s\r\n%s\r\n' "$(printf %s "$password" | wc -c)" "$password" | od -An -v -tx1 | tr -d ' \n')
while IFS= read -r line; do
    case $line in
        *@LOGIN@*) printf '%s%s\n' "${line%@LOGIN@*}" "$login" ;;
        *@SVC@*) printf '%s%s%s\n' "${line%@SVC@*}" "$domain" "${line#*@SVC@}" ;;
        *) printf '%s\n' "$line" ;;
    esac
done < "$templates/router.cfg" > "$run/router.cfg"

mkdir -p /data/kidp
