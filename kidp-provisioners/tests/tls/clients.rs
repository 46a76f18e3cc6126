//! The engines' own clients, as scripts in a pod that has the connection Secret under `/binding`.

/// An image with `openssl`.
pub const TLS_IMAGE: &str = "docker.io/library/rabbitmq:4";

/// How an engine is asked.
pub struct Client {
    /// Its version.
    pub version: &'static str,
    /// Its image.
    pub image: &'static str,
    /// How `openssl` gets to TLS.
    pub starttls: &'static str,
    /// A client that verifies chain and name, as far as it can.
    pub over_tls: &'static str,
    /// What it says.
    pub answer: &'static str,
    /// A client without TLS, which must not fail the script.
    pub plain: &'static str,
    /// What it says.
    pub refusal: &'static str,
    /// Whether the server refuses versions below the lowest. The stand-in for MongoDB cannot.
    pub honours_lowest: bool,
    /// Whether a renewed certificate starts the pod anew.
    pub restarts: bool,
}

pub const POSTGRESQL: Client = Client {
    version: "17",
    image: "docker.io/library/postgres:17",
    starttls: "-starttls postgres",
    over_tls: "PGSSLROOTCERT=/binding/ca.crt psql \"$(cat /binding/uri)\" -tAc \
               'select version from pg_stat_ssl where pid = pg_backend_pid()'",
    answer: "TLSv1.3",
    plain: "uri=$(cat /binding/uri); psql \"${uri/verify-full/disable}\" -tAc 'select 1' 2>&1 || echo turned away",
    refusal: "no encryption",
    honours_lowest: true,
    restarts: true,
};

pub const REDIS: Client = Client {
    version: "8",
    image: "docker.io/library/redis:8",
    starttls: "",
    over_tls: "redis-cli --no-auth-warning -u \"$(cat /binding/uri)\" --cacert /binding/ca.crt \
               --sni \"$(cat /binding/host)\" ping",
    answer: "PONG",
    plain: "redis-cli -h \"$(cat /binding/host)\" ping 2>&1 | grep -q -e PONG -e NOAUTH || echo turned away",
    refusal: "turned away",
    honours_lowest: true,
    restarts: true,
};

pub const MYSQL: Client = Client {
    version: "9",
    image: "docker.io/library/mysql:9",
    starttls: "-starttls mysql",
    over_tls: "printf '[client]\\npassword=%s\\n' \"$(cat /binding/password)\" | mysql --defaults-file=/dev/stdin \
               -h \"$(cat /binding/host)\" -u app --ssl-mode=VERIFY_IDENTITY --ssl-ca=/binding/ca.crt \
               -NBe \"show status like 'Ssl_version'\"",
    answer: "TLSv1.3",
    plain: "printf '[client]\\npassword=%s\\n' \"$(cat /binding/password)\" | mysql --defaults-file=/dev/stdin \
            -h \"$(cat /binding/host)\" -u app --ssl-mode=DISABLED --get-server-public-key -NBe 'select 1' 2>&1 \
            || echo turned away",
    refusal: "insecure transport",
    honours_lowest: true,
    restarts: true,
};

pub const MONGODB: Client = Client {
    version: "7",
    image: "docker.io/library/mongo:7",
    starttls: "",
    over_tls: "mongosh --quiet --norc \"$(cat /binding/uri)\" --tlsCAFile /binding/ca.crt \
               --eval 'print(db.runCommand({ping: 1}).ok)'",
    answer: "1",
    plain: "uri=$(cat /binding/uri); mongosh --quiet --norc \"${uri/&tls=true/&serverSelectionTimeoutMS=5000}\" \
            --eval 'print(1)' > /dev/null 2>&1 || echo turned away",
    refusal: "turned away",
    honours_lowest: false,
    restarts: true,
};

pub const RABBITMQ: Client = Client {
    version: "4",
    image: TLS_IMAGE,
    starttls: "",
    over_tls: r#"
cat > /tmp/client.escript <<'END'
#!/usr/bin/env escript
%%! -noinput
main(_) ->
    ok = code:add_pathsa(filelib:wildcard("/opt/rabbitmq/plugins/*/ebin")),
    {ok, _} = application:ensure_all_started(amqp_client),
    {module, _} = code:ensure_loaded(amqp_auth_mechanisms),
    [Uri, Host] = [begin {ok, Text} = file:read_file("/binding/" ++ Name), binary_to_list(Text) end
        || Name <- ["uri", "host"]],
    {ok, Params} = amqp_uri:parse(Uri ++ "?cacertfile=/binding/ca.crt&verify=verify_peer&server_name_indication=" ++ Host),
    {ok, Connection} = amqp_connection:start(Params),
    {ok, Channel} = amqp_connection:open_channel(Connection),
    {'queue.declare_ok', <<"orders">>, _, _} =
        amqp_channel:call(Channel, {'queue.declare', 0, <<"orders">>, false, true, false, false, false, []}),
    ok = amqp_connection:close(Connection),
    io:format("declared~n"),
    halt(0).
END
escript /tmp/client.escript"#,
    answer: "declared",
    plain: r#"
host=$(cat /binding/host)
first="${host%%.*}-0.${host%%.*}-headless.${host#*.}"
if (exec 3<> "/dev/tcp/$first/5672") 2> /dev/null; then echo "somebody listens on 5672"; exit 0; fi
exec 3<> "/dev/tcp/$host/5671"
printf 'AMQP\x00\x00\x09\x01' >&3
read -r -d '' -t 5 answer <&3 || true
case $answer in *product*) echo "answered in plain" ;; *) echo "turned away" ;; esac"#,
    refusal: "turned away",
    honours_lowest: true,
    restarts: false,
};
