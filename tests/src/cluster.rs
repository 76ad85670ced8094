//! The cluster that the tests run on, with everything loaded and installed, made ready once a process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::faults::has_machines;

/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "socketfleet-system";
/// Name of the chart's release.
pub const RELEASE: &str = "socketfleet";
/// Label selector of the operator's pods.
pub const OPERATOR_PODS: &str = "app.kubernetes.io/name=socketfleet-operator";

/// A cluster with the operator on it.
pub struct Cluster {
    /// `KUBECONFIG`, a `PATH` with `kubectl` and `helm`, and the cluster's settings.
    environment: BTreeMap<String, String>,
}

impl Cluster {
    /// The cluster, made ready by the first caller: started, images loaded, operator installed.
    pub fn ready() -> &'static Self {
        static READY: OnceLock<Result<Cluster, String>> = OnceLock::new();
        let ready = READY.get_or_init(|| Self::make_ready().map_err(|e| format!("{e:#}")));
        ready.as_ref().unwrap_or_else(|e| panic!("the cluster could not be made ready: {e}"))
    }

    fn make_ready() -> Result<Self> {
        let cluster = Self::up()?;
        cluster.load_images(TAG, &IMAGES)?;
        cluster.install_operator(&[])?;
        Ok(cluster)
    }

    /// Starts the cluster of `tests/cluster` where it does not run.
    pub fn up() -> Result<Self> {
        Self::up_with(&[])
    }

    /// The same, with other settings than those of this process' environment.
    pub fn up_with(settings: &[(&str, &str)]) -> Result<Self> {
        let script = repository().join("tests/cluster/cluster");
        let mut environment =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        output(Command::new(&script).arg("up").envs(&environment))?;
        // The script prints export lines; a shell knows best how to read them.
        let exported = output(Command::new("bash").envs(&environment).args([
            "-c",
            r#"eval "$("$0" env)" && printf 'KUBECONFIG=%s\nPATH=%s\n' "$KUBECONFIG" "$PATH""#,
            &script.to_string_lossy(),
        ]))?;
        environment.extend(
            exported.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        Ok(Self { environment })
    }

    /// Builds images under a tag, where something in them changed, and loads those that this cluster has not
    /// got yet.
    pub fn load_images(&self, tag: &str, images: &[&str]) -> Result<()> {
        let mut build = Command::new(repository().join("images/build"));
        let tars = output(build.env("IMAGE_TAG", tag).args(images))?;
        let cluster_id =
            self.kubectl(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"])?;
        let stamps = repository().join("build/images/.loaded");
        std::fs::create_dir_all(&stamps)?;
        for tar in tars.lines().map(Path::new) {
            let file = std::fs::metadata(tar).with_context(|| format!("{}", tar.display()))?;
            let version = format!("{cluster_id} {:?}", file.modified()?);
            let stamp = stamps.join(tar.file_name().context("an archive has a name")?);
            if std::fs::read_to_string(&stamp).is_ok_and(|loaded| loaded == version) {
                continue;
            }
            self.script(&["load-image", &tar.to_string_lossy()])?;
            std::fs::write(stamp, version)?;
        }
        Ok(())
    }

    /// Installs or upgrades the operator from its chart, with further values, and waits until it runs.
    pub fn install_operator(&self, values: &[&str]) -> Result<()> {
        let chart = repository().join("charts/socketfleet");
        let chart = chart.to_string_lossy();
        // The tag stays the same when the image changes: the pod template has to change with it.
        let image = repository().join(format!("build/images/socketfleet-operator-{TAG}.tar"));
        let built = std::fs::metadata(&image)
            .and_then(|m| m.modified())
            .with_context(|| format!("{}", image.display()))?;
        let built = built.duration_since(std::time::UNIX_EPOCH)?.as_millis();
        let images = [
            "image.repository=localhost/socketfleet-operator".to_owned(),
            format!("image.tag={TAG}"),
            format!("podAnnotations.built=t{built}"),
            format!("defaults.serverImage=localhost/socket-server:{TAG}"),
            "defaults.redisImage=localhost/redis:7".to_owned(),
        ];
        let mut args = vec!["upgrade", "--install", RELEASE, &chart, "--namespace", OPERATOR_NAMESPACE];
        args.extend(["--create-namespace", "--wait", "--timeout", "2m"]);
        for value in images.iter().map(String::as_str).chain(values.iter().copied()) {
            args.extend(["--set", value]);
        }
        self.helm(&args).map(drop)
    }

    /// Brings the operator and the machines back to what every test finds, after one that has changed them.
    pub(crate) fn put_right(&self) -> Result<()> {
        if has_machines() {
            self.script(&["start", "cp"])?;
        }
        self.kubectl(&["uncordon", "--selector", "kubernetes.io/os=linux"])?;
        self.install_operator(&[])
    }

    /// Runs `tests/cluster/cluster` on this cluster.
    pub fn script(&self, args: &[&str]) -> Result<String> {
        output(Command::new(repository().join("tests/cluster/cluster")).args(args).envs(&self.environment))
    }

    /// Runs `kubectl`, gives what it printed.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.run("kubectl", args)
    }

    /// Runs `kubectl` with something on its standard input.
    pub fn kubectl_with(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new("kubectl");
        command.args(args).envs(&self.environment);
        output_with(&mut command, input)
    }

    /// Runs another program that reads `KUBECONFIG`, gives what it printed.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        output(Command::new(program).args(args).envs(&self.environment))
    }

    /// Runs `helm`, gives what it printed.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        self.run("helm", args)
    }

    /// Where its kubeconfig is.
    pub fn kubeconfig(&self) -> &str {
        &self.environment["KUBECONFIG"]
    }

    /// A client as cluster administrator. Each test needs its own: a client lives in one runtime.
    pub async fn client(&self) -> Result<Client> {
        let config = Kubeconfig::read_from(self.kubeconfig())?;
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }
}

/// Tag of the images that the tests run with.
pub const TAG: &str = "dev";
/// All images that tests need.
pub const IMAGES: [&str; 5] =
    ["socketfleet-operator", "socket-server", "redis", "prometheus", "socketfleet-client"];

/// The root of this repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate lies in the repository").to_owned()
}

/// Runs a command; its standard output, or an error with what it printed.
fn output(command: &mut Command) -> Result<String> {
    output_with(command, "")
}

fn output_with(command: &mut Command, input: &str) -> Result<String> {
    use std::io::Write;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    // A program that does not read its input may have ended already.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let done = child.wait_with_output()?;
    let [out, err] = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !done.status.success() {
        bail!("{command:?} ended with {}:\n{out}{err}", done.status);
    }
    ensure!(input.is_empty() || written.is_ok(), "{command:?} did not read its input");
    Ok(out)
}
