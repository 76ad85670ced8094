# shellcheck shell=bash
# The proof that a cluster that is down left nothing.

leftovers() { # prints what there is of $CLUSTER_NAME on this machine; fails if there is anything
	local found
	found=$(
		cgroup_members | sed 's/^/process /'
		for h in $(hierarchies); do [ ! -d "$h/$CGROUP" ] || echo "cgroup $h/$CGROUP"; done
		ip -o link show dev "$LINK" 2>/dev/null | sed 's/^/interface /' || true
		awk -v d="$DIR" 'index($5, d) == 1 { print "mount " $5 }' /proc/self/mountinfo
		! nft list ruleset 2>/dev/null | grep -qE 'table .* kube-proxy' || echo "nftables rules of kube-proxy on the host"
		[ ! -e "$REGISTRY/$CLUSTER_NAME" ] || echo "entry $REGISTRY/$CLUSTER_NAME"
		[ ! -e "$DIR" ] || echo "directory $DIR"
	)
	[ -z "$found" ] || { printf '%s\n' "$found" && return 1; }
}
