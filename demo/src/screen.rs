//! The terminal: steps that stay, and below them a table that is drawn anew each second. Without a terminal,
//! one line every few seconds.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use socketfleet_plot::thousands;

use crate::record::{Change, PodSample, Sample};

const BAR: usize = 20;
/// Without a terminal a line is printed for every so many samples.
const PLAIN_EVERY: usize = 5;

pub struct Screen {
    terminal: bool,
    /// Lines of the table on the screen.
    drawn: usize,
    samples: usize,
    steps: usize,
}

impl Screen {
    pub fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), drawn: 0, samples: 0, steps: 0 }
    }

    /// Prints something that stays.
    pub fn say(&mut self, text: &str) {
        self.print(text);
        self.drawn = 0;
    }

    /// Announces the next step.
    pub fn step(&mut self, text: &str) {
        self.steps += 1;
        let number = self.steps;
        self.say(&if self.terminal {
            format!("\x1b[1m{number}. {text}\x1b[0m")
        } else {
            format!("{number}. {text}")
        });
    }

    /// Shows where things are.
    pub fn show(&mut self, sample: &Sample, change: Option<&Change>) {
        self.samples += 1;
        if self.terminal {
            let table = table(sample, change);
            let lines = table.lines().count();
            self.print(table.trim_end());
            self.drawn = lines;
        } else if self.samples % PLAIN_EVERY == 1 {
            self.print(&line(sample, change));
        }
    }

    fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let up = if self.drawn > 0 { format!("\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
        // A closed terminal must not end the demo.
        let _ = writeln!(out, "{up}{text}").and_then(|()| out.flush());
    }
}

fn table(sample: &Sample, change: Option<&Change>) -> String {
    let Sample { at, phase, revision, desired, ready, draining, pods, drains: _, clients } = sample;
    let mut out = String::new();
    let clock = format!("{:02}:{:02}", *at as u64 / 60, *at as u64 % 60);
    let _ = writeln!(
        out,
        "\n  {clock}  \x1b[1m{phase}\x1b[0m  desired {desired}  ready {ready}  draining {draining}  revision {revision}"
    );
    let _ = writeln!(
        out,
        "  \x1b[2m{:<26} {:<5} {:<11} {:<10} SOCKETS\x1b[0m",
        "POD", "NODE", "STATE", "TRAFFIC"
    );
    let most = pods.iter().filter_map(|p| p.sockets).max().unwrap_or(0).max(1);
    for PodSample { name, node, revision: _, traffic, state, sockets } in pods {
        let color = match state.as_str() {
            "Serving" => 32,
            "Starting" => 36,
            "Terminating" => 90,
            _ => 33,
        };
        let n = sockets.unwrap_or(0);
        let bar = "█".repeat((n as usize * BAR).div_ceil(most as usize));
        let count = sockets.map_or_else(|| "-".into(), thousands);
        let _ = writeln!(
            out,
            "  {name:<26} {node:<5} \x1b[{color}m{state:<11}\x1b[0m {traffic:<10} {bar:<BAR$} {count:>6}"
        );
    }
    let [sent, received, moves, p50, p99] = change.map_or([0.0; 5], rates);
    let _ = writeln!(
        out,
        "\n  messages   {:>9} sent ({sent:.0}/s)   {:>9} delivered ({received:.0}/s)   {}   {}",
        thousands(clients.sent),
        thousands(clients.received),
        verdict("lost", clients.lost),
        verdict("doubled", clients.doubled),
    );
    let _ = writeln!(
        out,
        "  clients    {:>9} connected          {:>9} reconnects ({moves:.0}/s), {} recovered   latency p50 {p50:.0} ms, p99 {p99:.0} ms",
        thousands(clients.connected),
        thousands(clients.reconnects),
        thousands(clients.recovered),
    );
    out
}

fn line(sample: &Sample, change: Option<&Change>) -> String {
    let [sent, received, moves, _, p99] = change.map_or([0.0; 5], rates);
    let Sample { at, phase, desired, ready, draining, clients, pods, .. } = sample;
    let sockets: Vec<String> =
        pods.iter().map(|p| p.sockets.map_or_else(|| "-".into(), |n| n.to_string())).collect();
    format!(
        "   {at:>5.0} s  {phase:<10}  desired {desired}  ready {ready}  draining {draining}  sockets {} ({})  sent {sent:.0}/s  delivered {received:.0}/s  p99 {p99:.0} ms  reconnects {moves:.0}/s  lost {}  doubled {}",
        clients.connected,
        sockets.join(" "),
        clients.lost,
        clients.doubled,
    )
}

fn rates(change: &Change) -> [f64; 5] {
    let Change {
        sent_per_second,
        received_per_second,
        reconnects_per_second,
        delivery_p50_ms,
        delivery_p99_ms,
    } = change;
    [*sent_per_second, *received_per_second, *reconnects_per_second, *delivery_p50_ms, *delivery_p99_ms]
}

fn verdict(what: &str, n: u64) -> String {
    let color = if n == 0 { 32 } else { 31 };
    format!("\x1b[{color}m{n} {what}\x1b[0m")
}
