#!/bin/bash
# Succeeds when the server that clients reach says that it takes writes: the command `hello` over the wire protocol, to
# the pod's own address, where the image's first start, which is on 127.0.0.1, does not answer. In bash, since
# MongoDB's shell takes a second of CPU to start. Message: 16 bytes of header, flags, and {hello: 1, $db: "admin"};
# https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/#op_msg
set -euo pipefail

exec 3<> "/dev/tcp/$POD_IP/27017"
header='\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00'
document='\x1f\x00\x00\x00\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00'
printf "$header"'\x00\x00\x00\x00\x00'"$document" >&3
read -r -a size <<< "$(dd bs=1 count=4 <&3 2> /dev/null | od -An -v -tu1)"
answer=$(dd bs=1 count=$((size[0] + (size[1] << 8) - 4)) <&3 2> /dev/null | tr '\000\001' '01' | tr -cd '[:print:]')
case $answer in
    *isWritablePrimary01*) ;;
    *) echo "not a primary: $answer"; exit 1 ;;
esac
