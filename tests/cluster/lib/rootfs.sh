# shellcheck shell=bash
# File systems of images made of programs of this machine.

# rootfs ROOT PATH[:DESTINATION]...: the usual directories and users, each path (a program, a file or a directory), and
# the shared libraries that they need.
rootfs() {
	local root=$1 from to f
	shift
	mkdir -p "$root"/{bin,etc,tmp,run,data,var/log,var/tmp,var/lib,root,proc,sys,dev}
	chmod 1777 "$root/tmp" "$root/var/tmp" "$root/data"
	printf '%s\n' root:x:0:0:root:/root:/bin/sh redis:x:999:999::/data:/bin/sh nonroot:x:65532:65532::/tmp:/bin/sh \
		nobody:x:65534:65534:nobody:/:/bin/sh >"$root/etc/passwd"
	printf '%s\n' root:x:0: redis:x:999: nonroot:x:65532: nogroup:x:65534: >"$root/etc/group"
	printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
	for f in "$@"; do
		from=${f%%:*} to=${f#*:}
		mkdir -p "$root$(dirname "$to")"
		[ -e "$root$to" ] || cp -aL "$from" "$root$to"
	done
	find "$root" -type f \( -perm -100 -o -name '*.so*' \) | while read -r f; do
		ldd "$f" 2>/dev/null || true
	done | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' | sort -u | while read -r f; do
		[ -e "$root$f" ] || install -D "$(readlink -f "$f")" "$root$f"
	done
}
