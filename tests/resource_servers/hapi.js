// A hapi server whose plugin hapi-auth-jwt2 reads the token. Writes its port and an
// expired token to the files that it is told.
"use strict";

const fs = require("node:fs");
const Hapi = require("@hapi/hapi");
const jwt = require("jsonwebtoken");

const SECRET = "only for tests, and long enough for HS256";
const counts = { tokens: 0, accepted: 0, rejected: 0 };
// Of a token with a lower number the session has ended.
let alive = 0;

function token(options) {
  return jwt.sign({ number: counts.tokens }, SECRET, { algorithm: "HS256", ...options });
}

async function main() {
  const [portFile, expiredFile] = process.argv.slice(2);
  const server = Hapi.server({ host: "127.0.0.1", port: 0 });
  await server.register(require("hapi-auth-jwt2"));
  server.auth.strategy("jwt", "jwt", {
    key: SECRET,
    validate: (decoded) => ({ isValid: decoded.number >= alive }),
    verifyOptions: { algorithms: ["HS256"] },
  });
  server.route([
    {
      method: "POST",
      path: "/token",
      handler: () => {
        counts.tokens += 1;
        return { access_token: token({ expiresIn: 3600 }), token_type: "Bearer", expires_in: 3600 };
      },
    },
    {
      method: "POST",
      path: "/kill",
      handler: () => {
        alive = counts.tokens + 1;
        return "";
      },
      options: { response: { emptyStatusCode: 200 } },
    },
    { method: "GET", path: "/counts", handler: () => counts },
    { method: "GET", path: "/calls", options: { auth: "jwt" }, handler: () => ({ calls: [] }) },
  ]);
  server.ext("onPreResponse", (request, h) => {
    if (request.path === "/calls") {
      counts[request.response.isBoom ? "rejected" : "accepted"] += 1;
    }
    return h.continue;
  });
  await server.start();
  fs.writeFileSync(expiredFile, token({ expiresIn: -10 }));
  fs.writeFileSync(`${portFile}.new`, String(server.info.port));
  fs.renameSync(`${portFile}.new`, portFile);
}

main();
