# shellcheck shell=bash
# Images for the cluster: packing the first one, pause, and loading archives.

# pack_image REF TAR PROGRAM: a docker archive with just this program and its libraries, made without an image builder.
pack_image() {
	local ref=$1 tar=$2 program=$3 tmp
	tmp=$(mktemp -d "$tar.XXXXXX")
	rootfs "$tmp/root" "$(realpath "$program"):/bin/${program##*/}"
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$tmp/root" -cf "$tmp/layer.tar" .
	cat >"$tmp/config.json" <<-J
		{"architecture":"$(go env GOARCH)","os":"linux","created":"1970-01-01T00:00:00Z",
		"config":{"Entrypoint":["/bin/${program##*/}"],"WorkingDir":"/"},
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
