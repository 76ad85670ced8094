# shellcheck shell=bash
# The settings of a cluster: from the environment, else as it was started, else the defaults.

REMEMBERED=(CLUSTER_NODES CLUSTER_NODE_NET CLUSTER_POD_NET CLUSTER_SERVICE_NET CLUSTER_APISERVER_ARGS CLUSTER_KCM_ARGS CLUSTER_SCHEDULER_ARGS)
REGISTRY=/run/socketfleet/clusters # NAME: the settings and the directory of each cluster of this machine

load_settings() {
	: "${CLUSTER:=local}" "${CLUSTER_NAME:=dev}"
	CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/socketfleet
	[[ $CLUSTER =~ ^(local|current)$ ]] || die "CLUSTER=$CLUSTER: only 'local' and 'current' are known"
	[[ $CLUSTER_NAME =~ ^[a-z0-9][a-z0-9-]{0,11}$ ]] || die "CLUSTER_NAME=$CLUSTER_NAME: at most 12 of a-z, 0-9 and -"
	DIR=$(realpath -m "${CLUSTER_DIR:-$REPO/build/cluster/$CLUSTER_NAME}")
	LINK=sf-$CLUSTER_NAME # the host's interface
	CGROUP=socketfleet-$CLUSTER_NAME
	CONTEXT=socketfleet-$CLUSTER_NAME
	local line name value
	if [ -r "$DIR/settings" ]; then
		while IFS= read -r line; do
			name=${line%%=*} value=${line#*=}
			if [ -z "${!name:-}" ] || { [ "$name" = CLUSTER_NODES ] && [ "${!name}" -lt "$value" ]; }; then
				printf -v "$name" %s "$value" # nodes can be added to a running cluster, the rest stays
			elif [ "$name" != CLUSTER_NODES ] && [ "${!name}" != "$value" ]; then
				die "$CLUSTER_NAME runs with $line, not '${!name}': 'cluster down' first"
			fi
		done <"$DIR/settings"
	fi
	: "${CLUSTER_NODES:=2}" "${CLUSTER_NODE_NET:=}" "${CLUSTER_POD_NET:=}" "${CLUSTER_SERVICE_NET:=}"
	: "${CLUSTER_APISERVER_ARGS:=}" "${CLUSTER_KCM_ARGS:=}" "${CLUSTER_SCHEDULER_ARGS:=}"
	[[ $CLUSTER_NODES =~ ^[1-$MAXNODES]$ ]] || die "CLUSTER_NODES=$CLUSTER_NODES: 1 to $MAXNODES"
	[ "$CLUSTER" = local ] || return 0
	export CLUSTER_DIR=$DIR CLUSTER_NAME "${REMEMBERED[@]}" # for the machines
}

# users_of NET: the interfaces through which parts of NET (as in 10.99.0.0/24) are already reached, and the clusters that reserved it.
users_of() {
	local f
	{ ip -4 route show root "$1" && ip -4 route show match "$1"; } | sed -n '/^default/d;s/.* dev \([^ ]*\).*/interface \1/p'
	for f in "$REGISTRY"/*; do
		[ ! -r "$f" ] || [ "${f##*/}" = "$CLUSTER_NAME" ] || ! grep -qxF "range=$1" "$f" || echo "cluster ${f##*/}"
	done
}

ranges() { echo "$CLUSTER_NODE_NET.0/24" "$CLUSTER_POD_NET.0.0/16" "$CLUSTER_SERVICE_NET.0.0/16"; }

taken_ranges() { # one line for each of our ranges that something else has
	local net users
	for net in $(ranges); do
		users=$(users_of "$net" | sort -u | xargs)
		[ -z "$users" ] || echo "$net is already in use ($users)"
	done
}

# claim: reserves the name and the ranges of this cluster on this machine, choosing ranges that are free.
claim() {
	local lock taken slot dir
	mkdir -p "$REGISTRY" "$DIR"
	exec {lock}>"$REGISTRY.lock"
	flock "$lock"
	if [ -r "$REGISTRY/$CLUSTER_NAME" ]; then
		dir=$(sed -n 's/^dir=//p' "$REGISTRY/$CLUSTER_NAME")
		[ "$dir" = "$DIR" ] || die "a cluster named $CLUSTER_NAME runs already, from $dir: choose another CLUSTER_NAME, or end it there with 'make cluster-down'"
	fi
	if [ ! -r "$DIR/settings" ]; then
		if [ -n "$CLUSTER_NODE_NET$CLUSTER_POD_NET$CLUSTER_SERVICE_NET" ]; then
			: "${CLUSTER_NODE_NET:=10.99.0}" "${CLUSTER_POD_NET:=10.200}" "${CLUSTER_SERVICE_NET:=10.100}"
			taken=$(taken_ranges)
			[ -z "$taken" ] || die "$taken
Choose others with CLUSTER_NODE_NET, CLUSTER_POD_NET and CLUSTER_SERVICE_NET, or set none of them: free ones are found then"
		else
			for slot in 0 1 2 3 4 5 6 7 8 9 none; do
				[ $slot != none ] || die "no free ranges are left for another cluster; the last ones tried: $taken"
				CLUSTER_NODE_NET=10.99.$slot CLUSTER_POD_NET=10.$((200 + slot)) CLUSTER_SERVICE_NET=10.$((100 + slot))
				taken=$(taken_ranges)
				[ -n "$taken" ] || break
			done
		fi
	fi
	local name net
	for name in "${REMEMBERED[@]}"; do printf '%s=%s\n' "$name" "${!name}"; done >"$DIR/settings"
	{
		echo "dir=$DIR"
		for net in $(ranges); do echo "range=$net"; done
	} >"$REGISTRY/$CLUSTER_NAME"
	exec {lock}>&-
}

# one_at_a_time: holds this cluster's lock on file descriptor 8 until the script ends. Machines must not inherit it.
one_at_a_time() {
	mkdir -p "${REGISTRY%/*}"
	exec 8>"${REGISTRY%/*}/$CLUSTER_NAME.lock"
	flock -n 8 || { log "$CLUSTER_NAME is being started or ended by someone else: waiting" && flock 8; }
	load_settings # whoever had the lock may have started it
}

control_plane_ip() { echo "$CLUSTER_NODE_NET.2"; }
node_ip() { echo "$CLUSTER_NODE_NET.1${1#n}"; }
nodes() { local i; for ((i = 1; i <= CLUSTER_NODES; i++)); do echo "n$i"; done; }
known_machine() { [[ ${1:-} == cp || ${1:-} =~ ^n[1-$CLUSTER_NODES]$ ]] || die "no machine is called '${1:-}'; there are: cp $(nodes | xargs)"; }
