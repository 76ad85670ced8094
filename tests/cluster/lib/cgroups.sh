# shellcheck shell=bash
# Every process of a cluster is in the cgroup socketfleet-NAME or below it: the machines' own in /machines,
# the pods' in /n1, /n2, ... (the kubelets' roots). So what belongs to a cluster is known even if all
# else about it was lost, and ends for certain.

cgroup_v2() { [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; }

hierarchies() {
	local h
	if cgroup_v2; then
		echo /sys/fs/cgroup
	else
		for h in /sys/fs/cgroup/*; do
			[ -L "$h" ] || [ ! -e "$h/cgroup.procs" ] || echo "$h"
		done
	fi
}

# The one hierarchy that tells which processes belong to the cluster.
cgroup_members_root() {
	if cgroup_v2; then echo "/sys/fs/cgroup/$CGROUP"; else echo "/sys/fs/cgroup/pids/$CGROUP"; fi
}

cgroup_members() {
	find "$(cgroup_members_root)" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

make_cgroup() { # NAME: below the cluster's, in every hierarchy
	local h c
	for h in $(hierarchies); do
		for c in "$h/$CGROUP" "$h/$CGROUP/$1"; do
			mkdir -p "$c"
			# A version 1 cpuset takes no process before it has CPUs and memory nodes.
			if [ -e "$c/cpuset.cpus" ] && ! cgroup_v2; then
				cat "${c%/*}/cpuset.cpus" >"$c/cpuset.cpus"
				cat "${c%/*}/cpuset.mems" >"$c/cpuset.mems"
			fi
		done
	done
	if cgroup_v2; then
		for c in cpuset cpu io memory hugetlb pids; do
			for h in /sys/fs/cgroup "/sys/fs/cgroup/$CGROUP"; do
				echo "+$c" >"$h/cgroup.subtree_control" 2>/dev/null || true
			done
		done
	fi
}

enter_cgroup() { # the calling shell, and what it starts from now on
	make_cgroup machines
	echo "$BASHPID" >"$(cgroup_members_root)/machines/cgroup.procs"
}

kill_cgroup() {
	local end=$((SECONDS + PATIENCE)) pids
	while pids=$(cgroup_members) && [ -n "$pids" ]; do
		[ $SECONDS -lt $end ] || die "processes that do not end: ${pids//$'\n'/ }"
		# shellcheck disable=SC2086
		kill -KILL $pids 2>/dev/null || true
		sleep 0.1
	done
}

remove_cgroups() { # [NAME]
	local h c end=$((SECONDS + 10))
	for h in $(hierarchies); do
		c=$h/$CGROUP${1:+/$1}
		while [ -d "$c" ]; do
			find "$c" -depth -type d -exec rmdir {} + 2>/dev/null || true
			[ $SECONDS -lt $end ] || { log "cgroup $c is still busy" && break; }
			[ ! -d "$c" ] || sleep 0.1
		done
	done
}
