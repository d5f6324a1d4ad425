#!/usr/bin/env bash
# Records a newcomer's first minutes, with a home folder that is new: npm run build && scripts/first-minutes.sh > docs/first-minutes.txt
# The package is the packed tarball, because it is not published yet; the model is the bundled one, so that no Hub is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
npm pack --ignore-scripts --silent --pack-destination "$place" >/dev/null
mkdir "$place/home"
cp -r examples/gpt-neo-tiny "$place/gpt-neo-tiny"
cd "$place"
userconfig=$(npm config get userconfig) # the registry and its certificates
new() { env -i ${NODE_EXTRA_CA_CERTS:+NODE_EXTRA_CA_CERTS="$NODE_EXTRA_CA_CERTS"} npm_config_userconfig="$userconfig" HOME="$place/home" PATH="$place/home/bin:$PATH" npm_config_prefix="$place/home" npm_config_fund=false npm_config_audit=false "$@"; }
say() {
  printf '\n[%3d s] $ %s\n' "$SECONDS" "${1/$repository/https:\/\/github.com\/weightpress\/weightpress}"
  new bash -c "$1" 2>&1 | sed "s#$place#.#g"
}

node --version
say 'npm install -g ./weightpress-0.1.0.tgz'
say 'du -sm home/lib/node_modules/weightpress | cut -f1'
say 'weightpress --version'
say 'weightpress compress gpt-neo-tiny'
say 'weightpress verify gpt-neo-tiny.wpk --against gpt-neo-tiny'
say 'weightpress compress gpt-neo-tiny small.wpk --kl 0.01'
say 'weightpress generate small.wpk "It was a dark night, and" --tokens 20'
cat >program.mjs <<'PROGRAM'
import { open } from 'weightpress';
const model = await open('small.wpk');
console.log(`${model.tensors.length} tensors; ${(await model.tensors[0].floats({ start: 0, end: 3 })).join(' ')}`);
await model.close();
PROGRAM
say 'npm init -y >/dev/null && npm install ./weightpress-0.1.0.tgz'
say 'cat program.mjs && node program.mjs'
say "git clone --quiet $repository clone && cd clone && npm ci --silent && echo done"
say 'cd clone && (timeout 60 npm run --silent web -- --port 5199 & for i in $(seq 50); do curl -sf localhost:5199 >page.html && break; sleep 1; done; grep -o "<h1[^>]*>[^<]*</h1>" page.html; pkill -f "port 5199")'
printf '\n[%3d s]\n' "$SECONDS"
