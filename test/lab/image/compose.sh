#!/bin/sh
# Makes the guest's root file system out of the unpacked packages: our policy modules go into the policy store, every
# file gets its label, and the tree becomes an ext4 image. Runs as root or under fakeroot, on a host without SELinux:
# nothing here is loaded or enforced, the labels are just extended attributes on their way into the image.
#
# Usage: compose.sh PACKAGES.TAR POLICY SOURCE-DIRECTORY NODE OUTPUT-DIRECTORY MODULE.cil…
# Lines on stdout beginning with "step: " are for the progress display.
set -eu

packages=$1 policy=$2 sources=$3 node=$4 output=$5
shift 5
root=$output/root

echo "step: unpacking the packages"
mkdir "$root"
tar --extract --file "$packages" --directory "$root" --numeric-owner
: > "$output/unpacked"

echo "step: adding Node and the guest's init"
own=$root/usr/lib/vm-entrypoint-lab
install -D -m 0755 "$sources/init.sh" "$own/init"
install -m 0644 "$sources/fstab" "$own/fstab"
mkdir "$own/dev"
ln -s /proc/self/fd "$own/dev/fd"
for descriptor in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${descriptor%:*}" "$own/dev/${descriptor#*:}"; done
# A program below /usr is labelled bin_t, whatever place the host keeps its Node in; the host's path leads there too.
install -D -m 0755 "$node" "$root/usr/local/bin/node"
if [ "$node" != /usr/local/bin/node ]; then
  mkdir -p "$root${node%/*}"
  ln -sf /usr/local/bin/node "$root$node"
fi
# Libraries of that Node which no package brought.
ldd "$node" 2>/dev/null | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | while read -r library; do
  found=
  for directory in "$root/usr/lib/x86_64-linux-gnu" "$root/lib/x86_64-linux-gnu" "$root/lib64" "$root/usr/lib"; do
    if [ -e "$directory/${library##*/}" ]; then found=1; fi
  done
  [ -n "$found" ] || install -D -m 0755 "$library" "$root/usr/lib/x86_64-linux-gnu/${library##*/}"
done
mkdir -p "$root/project" "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp"
printf 'SELINUX=enforcing\nSELINUXTYPE=%s\n' "$policy" > "$root/etc/selinux/config"
printf 'lab\n' > "$root/etc/hostname"
printf '127.0.0.1 localhost lab\n::1 localhost\n' > "$root/etc/hosts"

echo "step: installing the policy modules ($policy)"
# Node compiles JavaScript at run time: the switch which an administrator would set for it (setsebool -P).
echo allow_execmem=1 > "$root/var/lib/selinux/$policy/active/booleans.local"
modules=
for module in "$@"; do
  modules="$modules --install=$module"
done
# libsepol 3.4 sometimes takes two equal file contexts of Debian's own policy for a conflict; a second run does not.
# shellcheck disable=SC2086 # the paths are ours and have no blanks
semodule --noreload --path "$root" --store "$policy" $modules 2> "$output/semodule.log" ||
  semodule --noreload --path "$root" --store "$policy" $modules 2> "$output/semodule.log" ||
  { cat "$output/semodule.log" >&2; exit 1; }

# fakeroot shows files without a recorded owner as root's, until a label is recorded for them: then they become the
# user's. What was added here has no recorded owner yet.
find "$root" -newer "$output/unpacked" -exec chown -h 0:0 {} +

echo "step: labelling the files ($policy)"
setfiles -F -r "$root" "$root/etc/selinux/$policy/contexts/files/file_contexts" "$root"

echo "step: making the file system"
# Without a journal and with room to spare: it lives for one run. The kernel turns lazy initialisation off anyway.
truncate -s 4G "$output/root.ext4"
mke2fs -q -F -t ext4 -O ^has_journal -m 0 -E lazy_itable_init=1 -d "$root" "$output/root.ext4"
rm -rf "$root" "$output/unpacked"
