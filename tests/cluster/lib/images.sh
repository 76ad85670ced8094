# shellcheck shell=bash
# Images made of programs of this machine, without a builder: the cluster needs one (pause) before it can run
# anything, and tests want a few of what Debian packages.

# pack_image REF TAR PROGRAM [PATH...]: a docker archive with the program as its entry point, at its own path (or in
# /bin if it lies outside /usr, /bin, /sbin and /opt), the further paths, and the shared libraries all of them need.
pack_image() {
	local ref=$1 tar=$2 program=$3 dest root tmp f
	shift 3
	program=$(type -P "$program") || die "no program $program"
	program=$(realpath -s "$program")
	mkdir -p "$(dirname "$tar")"
	tmp=$(mktemp -d "$tar.XXXXXX")
	root=$tmp/root
	mkdir -p "$root"/{bin,etc,tmp,run,data,var/log,var/tmp,var/lib,root,proc,sys,dev}
	chmod 1777 "$root/tmp" "$root/var/tmp" "$root/data"
	printf 'root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532::/tmp:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
	printf 'root:x:0:\nnonroot:x:65532:\nnogroup:x:65534:\nadm:x:4:\n' >"$root/etc/group"
	printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
	case $program in /usr/* | /bin/* | /sbin/* | /opt/*) dest=$program ;; *) dest=/bin/${program##*/} ;; esac
	install -D "$(readlink -f "$program")" "$root$dest"
	for f in "$@"; do
		mkdir -p "$root$(dirname "$f")"
		[ -e "$root$f" ] || cp -aL "$f" "$root$f"
	done
	find "$root" -type f \( -perm -100 -o -name '*.so*' \) | while read -r f; do
		ldd "$f" 2>/dev/null || true
	done | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' | sort -u | while read -r f; do
		[ -e "$root$f" ] || install -D "$(readlink -f "$f")" "$root$f"
	done
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$root" -cf "$tmp/layer.tar" .
	cat >"$tmp/config.json" <<-J
		{"architecture":"$(dpkg --print-architecture)","os":"linux","created":"1970-01-01T00:00:00Z",
		"config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Entrypoint":["$dest"],"WorkingDir":"/"},
		"rootfs":{"type":"layers","diff_ids":["sha256:$(sha256sum "$tmp/layer.tar" | cut -d' ' -f1)"]}}
	J
	echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"$ref\"],\"Layers\":[\"layer.tar\"]}]" >"$tmp/manifest.json"
	tar -C "$tmp" -cf "$tmp/image.tar" manifest.json config.json layer.tar
	mv "$tmp/image.tar" "$tar"
	rm -rf "$tmp"
}

local_load_image() { # TAR...: into every node's containerd
	local tar n pid pids=()
	[ $# -gt 0 ] || die "load-image: name the archives"
	for tar in "$@"; do
		[ -r "$tar" ] || die "no archive $tar"
	done
	for n in $(nodes); do
		pid=$(machine_pid "$n") || die "$n is off: images are loaded onto every node"
		for tar in "$@"; do
			nsenter -t "$pid" -m /mnt/debs/usr/bin/ctr -n k8s.io images import - <"$tar"
		done >/dev/null &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || die "loading ${*##*/} failed"; done
}
