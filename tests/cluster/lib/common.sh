# shellcheck shell=bash
# What every other part uses: messages, waiting, and the programs taken from Debian.

PATIENCE=180 # seconds: a machine with too much to do is slow, not broken

log() { printf 'cluster: %s\n' "$*" >&2; }

die() {
	log "$*"
	exit 1
}

# wait_for SECONDS COMMAND...: until it succeeds; fails after that time.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# with_progress TEXT LOG COMMAND...: runs it into the log, saying once a minute that it still does.
with_progress() {
	local text=$1 out=$2 start=$SECONDS pid status=0
	shift 2
	"$@" >>"$out" 2>&1 &
	pid=$!
	# shellcheck disable=SC2064
	trap "kill $pid 2>/dev/null" EXIT # a command in the background does not get the terminal's interrupt
	while kill -0 $pid 2>/dev/null; do
		sleep 1
		if [ $(((SECONDS - start) % 60)) = 0 ]; then log "$text: $(((SECONDS - start) / 60)) min so far"; fi
	done
	wait $pid || status=$?
	trap - EXIT
	return $status
}

apt() { # ARG...: apt-get, without questions, and without removing anything
	DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-remove -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300 "$@"
}

# apt_or_update LOG ARG...: once more with fresh package lists if it fails, for they may be missing or old.
apt_or_update() {
	local out=$1
	shift
	command -v apt-get >/dev/null || die "this machine has no apt-get, so install by hand what '$*' would bring"
	apt "$@" >>"$out" 2>&1 || { apt update >>"$out" 2>&1 && apt "$@" >>"$out" 2>&1; } || die "apt-get $* failed; see $out"
}

# need PROGRAM:PACKAGE...: installs the packages of the programs that are not there. None of them brings a service.
need() {
	local pair missing=()
	for pair in "$@"; do
		type -P "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || die "as root, install: ${missing[*]}"
	log "installing ${missing[*]}"
	mkdir -p "$CACHE"
	apt_or_update "$CACHE/apt.log" install --no-install-recommends "${missing[@]}"
}
