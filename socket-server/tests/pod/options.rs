//! What the program makes of its arguments, environment and file.

use std::process::{Command, Output};

use crate::process::program;

fn run(command: &mut Command) -> (bool, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "port: 1000\nadmin: {port: 1001}\nmaxConnections: 1002\n").unwrap();
    let (_, config, said) = run(program()
        .env("PORT", "2000")
        .env("ADMIN_PORT", "2001")
        .env("REDIS_URL", "redis://:hunter2@db")
        .env("CONFIG_FILE", file.path())
        .args(["config", "--port", "3000"]));
    for line in ["port: 3000", "  port: 2001", "maxConnections: 1002", "  url: <hidden>"] {
        assert!(config.lines().any(|l| l == line), "`{line}` is missing in\n{config}{said}");
    }
    assert!(!config.contains("hunter2"));
}

#[test]
fn a_bad_file_ends_the_program_with_the_key_and_the_remedy() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "pingIntervall: 5\n").unwrap();
    let (ok, _, said) = run(program().arg("--config").arg(file.path()));
    assert!(!ok && said.contains("unknown key `pingIntervall`: did you mean `pingInterval`?"), "{said}");
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let (ok, config, said) = run(program().env("REDIS_URL", "").env("SOCKET_PATH", "").arg("config"));
    assert!(ok && !config.contains("redis:") && config.contains("path: /socket.io/"), "{config}{said}");
}

#[test]
fn a_password_is_not_taken_from_the_arguments() {
    let (ok, _, said) = run(program().args(["--redis-url", "redis://:hunter2@db"]));
    assert!(!ok && said.contains("use REDIS_URL or redis.urlFile"), "{said}");
    assert!(!said.contains("hunter2"));
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (ok, _, said) = run(program().args(["--port", &port, "--admin-port", "0"]));
    assert!(!ok && said.contains(&format!("port {port} cannot be listened on")), "{said}");
}
