#!/bin/bash
# `mongod` of the image that stands in for MongoDB: reads mongod's options, and becomes FerretDB with what they mean.
set -euo pipefail

# A plan is lines of KEY=VALUE; values have no line breaks, mongod-options refuses them.
plan=$(mongod-options "$@")
value() { sed -n "s/^$1=//p" <<< "$plan"; }

case $(value action) in
    print-dbpath) value dbpath; exit 0 ;;
    print) value text; exit 0 ;;
esac

data=$(value dbpath)
[ -d "$data" ] || { echo >&2 "NonExistentPath: Data directory $data not found"; exit 100; }
[ -w "$data" ] || { echo >&2 "IllegalOperation: Attempted to create a lock file on a read-only directory: $data"; exit 100; }

arguments=(--handler=sqlite "--sqlite-url=file:$data/" "--state-dir=$data" --telemetry=disable --debug-addr=-
    "--listen-addr=$(value listen)" "--listen-unix=$(value socket)" "--log-level=$(value log-level)")
if [ -n "$(value tls)" ]; then
    arguments+=("--listen-tls=$(value tls)" "--listen-tls-cert-file=$(value certificate)"
        "--listen-tls-key-file=$(value certificate)" "--listen-tls-ca-file=$(value ca)")
fi
[ -z "$(value auth)" ] || arguments+=(--test-enable-new-auth)
if [ -n "$(value first-start)" ] && [ -n "${MONGO_INITDB_ROOT_USERNAME-}" ]; then
    export FERRETDB_SETUP_DATABASE=admin FERRETDB_SETUP_USERNAME=$MONGO_INITDB_ROOT_USERNAME \
        FERRETDB_SETUP_PASSWORD=$MONGO_INITDB_ROOT_PASSWORD
fi

# More than a log line: whoever reads the log must not take this for MongoDB.
echo "stand-in: this is FerretDB with SQLite, not MongoDB; see docs/mongodb-stand-in.md"
sed -n 's/^note=/stand-in: /p' <<< "$plan"
exec ferretdb "${arguments[@]}"
