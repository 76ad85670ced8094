use std::io::Write;

use clap::{Args, Command, FromArgMatches};

use super::*;

/// The configuration of flags and a file, without the environment.
fn configured(flags: &[&str], file: Option<&str>) -> Result<Config, ConfigError> {
    let command = Options::augment_args(Command::new("socket-server")).mut_args(|arg| arg.env(None));
    let given = command.get_matches_from(["socket-server"].iter().chain(flags));
    let options = Options::from_arg_matches(&given).expect("options take any matches");
    let file = file.map(|text| {
        let mut file = tempfile::NamedTempFile::new().expect("a file for the test");
        file.write_all(text.as_bytes()).expect("written");
        file
    });
    load(&options, file.as_ref().map(|file| file.path()))
}

fn refused(flags: &[&str], file: Option<&str>) -> String {
    configured(flags, file).expect_err("it must be refused").to_string()
}

#[test]
fn nothing_given_is_a_working_server_with_nodes_defaults() {
    let config = configured(&[], None).expect("defaults are valid");
    assert_eq!((config.port, config.admin.port, config.path.as_str()), (3000, 8081, "/socket.io/"));
    assert_eq!(config.ping_interval, Duration::from_millis(25_000));
    assert_eq!(config.max_http_buffer_size, 1_000_000);
    assert!(config.redis.is_none() && config.cors.is_none() && config.cookie.is_none());
    let (name, digits) = config.instance_id.split_at("instance-".len());
    assert_eq!(name, "instance-");
    assert!(digits.len() == 8 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{digits}");
}

#[test]
fn the_flag_wins_over_the_file() {
    let file = "port: 4000\nmaxConnections: 7\n";
    let config = configured(&["--port", "5000"], Some(file)).expect("valid");
    assert_eq!((config.port, config.max_connections), (5000, 7));
}

#[test]
fn keys_may_be_flat_or_nested() {
    for file in ["cors:\n  origin: ['*']\nadmin: {port: 1}\n", "corsOrigin: ['*']\nadminPort: 1\n"] {
        let config = configured(&[], Some(file)).expect(file);
        assert_eq!(config.cors.map(|cors| cors.origin), Some(vec!["*".to_owned()]), "{file}");
        assert_eq!(config.admin.port, 1, "{file}");
    }
}

#[test]
fn compression_is_turned_on_by_its_name_or_by_its_threshold() {
    let threshold = |flags: &[&str], file| {
        configured(flags, Some(file)).expect(file).per_message_deflate.map(|deflate| deflate.threshold)
    };
    assert_eq!(threshold(&[], ""), None);
    assert_eq!(threshold(&["--per-message-deflate"], ""), Some(1024));
    assert_eq!(threshold(&[], "perMessageDeflate: true"), Some(1024));
    assert_eq!(threshold(&[], "perMessageDeflate: {threshold: 7}"), Some(7));
    assert_eq!(threshold(&[], "perMessageDeflate: false"), None);
}

#[test]
fn the_stream_is_as_long_as_it_is_told_to_be() {
    let flags = ["--redis-url", "redis://x", "--redis-max-len", "7"];
    let stream =
        configured(&flags, None).expect("valid").redis.and_then(|redis| redis.stream).expect("a stream");
    assert_eq!((stream.max_len, stream.read_count), (7, 100));
}

#[test]
fn an_echo_carries_no_offset_unless_it_is_told_to() {
    let recovery = |flags| configured(flags, None).expect("valid").connection_state_recovery;
    assert!(recovery(&["--app", "echo"]).max_disconnection_duration.is_zero());
    let told = ["--app", "echo", "--connection-state-recovery-max-disconnection-duration", "7"];
    assert_eq!(recovery(&told).max_disconnection_duration, Duration::from_millis(7));
}

#[test]
fn an_empty_file_is_fine() {
    assert!(configured(&[], Some("")).is_ok());
    assert!(configured(&[], Some("# nothing yet\n")).is_ok());
}

#[test]
fn what_is_wrong_is_named_with_its_remedy() {
    for (flags, file, parts) in [
        (&[][..], "pingIntervall: 5", &["unknown key `pingIntervall`", "did you mean `pingInterval`?"][..]),
        (&[], "redis: {passwort: x}", &["unknown key `redis.passwort`"]),
        (&[], "cors: {origin: ['*']}\ncorsOrigin: ['*']", &["is given twice"]),
        (&[], "- a\n- b", &["must be a mapping"]),
        (&[], "port: [", &["not a valid configuration file"]),
        (&[], "port: many", &["`port`", "u16"]),
        (&[], "port: 70000", &["`port`"]),
        (&[], "app: chess", &["`app`", "rooms"]),
        (&[], "pingTimeout: 0", &["pingTimeout is 0", "from 1 to"]),
        (&[], "transports: []", &["transports is empty"]),
        (&[], "path: socket.io", &["must begin with a slash"]),
        (&["--port", "8081"], "", &["adminPort is 8081 like port"]),
        (&["--max-connections", "0"], "", &["maxConnections is 0"]),
        (&["--cors-origin", "*", "--cors-credentials"], "", &["browsers refuse"]),
        (&["--cors-origin", "https://example.com/a"], "", &["cors.origin has `https://example.com/a`"]),
        (&["--cookie-name", "a b"], "", &["cookie.name is `a b`"]),
        (&["--per-message-deflate", "false"], "perMessageDeflate: {threshold: 1}", &["besides a threshold"]),
        (&["--redis-url", "localhost:6379"], "", &["redis.url must be SCHEME://HOST:PORT"]),
        (&["--redis-adapter", "pubsub"], "", &["redis.adapter needs a Redis server"]),
        (&["--redis-url", "redis://x", "--redis-read-count", "0"], "", &["redis.readCount is 0"]),
        (
            &["--redis-url", "redis://x", "--redis-adapter", "pubsub", "--redis-max-len", "5"],
            "",
            &["redis.maxLen is of the adapter streams alone"],
        ),
        (&["--log-level", "loud=loud=loud"], "", &["log.level"]),
        (&["--admin-token-file", "/nowhere/token"], "", &["adminTokenFile names /nowhere/token"]),
        (&["--instance-id", "a b"], "", &["instanceId must be"]),
    ] {
        let said = refused(flags, Some(file));
        for part in parts {
            assert!(said.contains(part), "`{part}` is missing for {flags:?} {file:?}: {said}");
        }
    }
}

#[test]
fn the_example_is_valid() {
    let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/socket-server.yaml"));
    let config = load(&Options::default(), Some(example)).expect("valid");
    assert_eq!(config.max_connections, 20_000);
}

#[test]
fn what_applications_need_is_checked_too() {
    for (flags, part) in [
        (&["--shard-index", "4", "--shard-count", "4"][..], "shard.index is 4 of 4 shards"),
        (&["--shard-index", "4"], "needs shard.count"),
        (&["--shard-count", "4"], "needs shard.index"),
        (&["--namespaces", "chat"], "a namespace begins with a slash"),
        (&["--jwt-secret-file", "/nowhere"], "jwt.secretFile names /nowhere"),
        (&["--jwt-jwks-url", "ftp://x"], "jwt.jwksUrl must be an http or https URL"),
        (&["--jwt-issuer", "us"], "need keys"),
        (&["--jwt-jwks-url", "https://x", "--jwt-jwks-file", "/dev/null"], "several places"),
        (&["--limit-events-per-second", "0"], "limit.eventsPerSecond must be a number above 0"),
        (&["--webhook-events", "connect"], "webhook.url is missing"),
        (&["--webhook-url", "x"], "webhook.url must be an http or https URL"),
        (&["--api-token-file", "/nowhere"], "api.tokenFile names /nowhere"),
    ] {
        let said = refused(flags, None);
        assert!(said.contains(part), "`{part}` is missing for {flags:?}: {said}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let said = refused(&["--ping-timeout", "0", "--max-connections", "0"], None);
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let said = load(&Options::default(), Some(Path::new("/nowhere.yaml"))).expect_err("refused").to_string();
    assert!(said.contains("/nowhere.yaml: cannot be read"), "{said}");
}

#[test]
fn secrets_are_neither_printed_nor_logged() {
    let config = configured(&["--redis-url", "redis://:hunter2@db:6379"], None).expect("valid");
    let yaml = serde_yaml::to_string(&config).expect("printable");
    assert!(yaml.contains("url: <hidden>") && !yaml.contains("hunter2"), "{yaml}");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn what_is_printed_can_be_read_again() {
    let flags = [
        "--cors-origin",
        "https://a.example,https://b.example",
        "--cookie-name",
        "io",
        "--per-message-deflate",
    ];
    let config = configured(&flags, None).expect("valid");
    let yaml = serde_yaml::to_string(&config).expect("printable");
    let again = configured(&[], Some(&yaml)).expect(&yaml);
    assert_eq!(serde_yaml::to_string(&again).expect("printable"), yaml);
}

#[test]
fn help_tells_the_defaults_that_are_in_force() {
    let help = Options::augment_args(Command::new("socket-server")).render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let config = configured(&[], None).expect("valid");
    for (flag, default) in [
        ("--port", config.port.to_string()),
        ("--admin-port", config.admin.port.to_string()),
        ("--path", config.path.clone()),
        ("--max-connections", config.max_connections.to_string()),
        ("--shutdown-drain-seconds", config.shutdown_drain.as_secs().to_string()),
        ("--ping-interval", config.ping_interval.as_millis().to_string()),
        ("--ping-timeout", config.ping_timeout.as_millis().to_string()),
        ("--connect-timeout", config.connect_timeout.as_millis().to_string()),
        ("--upgrade-timeout", config.upgrade_timeout.as_millis().to_string()),
        ("--max-http-buffer-size", config.max_http_buffer_size.to_string()),
        ("--per-message-deflate-threshold", "1024".into()),
        ("--max-queued-bytes", config.max_queued_bytes.to_string()),
        ("--redis-max-len", "10000".into()),
        ("--redis-read-count", "100".into()),
        ("--app", "rooms".into()),
        ("--webhook-timeout", "5000".into()),
        ("--webhook-retries", "3".into()),
        ("--log-level", config.log.level.clone()),
    ] {
        let told = help.split(&format!("{flag} ")).nth(1).and_then(|rest| rest.split("[default: ").nth(1));
        let told = told.and_then(|rest| rest.split(']').next());
        assert_eq!(told, Some(default.as_str()), "{flag}");
    }
}
