#!/usr/bin/env bash
# Writes the seed inputs of test/fuzz/corpus/ anew: the headers of images that qemu-img makes, cut to 768
# bytes. The result is checked in; this is only for whoever wants to add a seed. Needs qemu-utils.
set -euo pipefail
corpus=$(cd "$(dirname "$0")/corpus" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

qemu-img create -q -f raw r 1M
image() { # NAME QEMU-IMG-OPTIONS…: one seed for the header parser
  local name=$1
  shift
  qemu-img create -q -f qcow2 "$@" "$name" 1M
  head -c 768 "$name" > "$corpus/qcow2_header_fuzz/$name"
}
image plain
image version2 -o compat=0.10
image version2-backing -u -o compat=0.10 -F raw -b r
image backing-raw -u -F raw -b r
image backing-qcow2 -u -F qcow2 -b ./1
image data-file -o data_file=data
image data-file-raw-backing -u -F qcow2 -b 1 -o data_file=r2,data_file_raw=off
image extended-l2-zstd -o extended_l2=on,compression_type=zstd
image clusters-512 -o cluster_size=512
image clusters-2m -o cluster_size=2M
image luks --object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10

chain() { # NAME A B C: three headers of the above, one after the other
  local name=$1
  shift
  (cd "$corpus/qcow2_header_fuzz" && cat "$@") > "$corpus/image_chain_fuzz/$name"
}
# The second image is named 1, the third 2 and the raw one r, as in image_chain_fuzz.cc.
image backing-qcow2-2 -u -F qcow2 -b 2
chain one plain plain plain
chain three backing-qcow2 backing-qcow2-2 backing-raw
chain loop backing-qcow2 backing-qcow2 plain
chain data data-file-raw-backing version2-backing plain
