// Sends COUNT messages with the official Node SDK, as its documentation says: sendEachForMulticast, batches of 500.
//
//   node node.mjs SDK DIR COUNT        SDK: where npm installed firebase-admin; DIR: of a running fcm-standin --lend
//
// Prints one JSON object of its own time, CPU and memory from the first message to the last: what Node and the SDK
// need to start is left out. The tokens are made up in place, so nothing is read, and nothing is personal or recorded.
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [sdk, dir, messages] = process.argv.slice(2);
const count = Number(messages);
const BATCH = 500;
const IN_FLIGHT = 2;

const requireSdk = createRequire(join(resolve(sdk), "from-there.js"));
const { initializeApp } = requireSdk("firebase-admin/app");
const { getMessaging } = requireSdk("firebase-admin/messaging");

const ready = JSON.parse(readFileSync(join(dir, "ready.json"), "utf8"));
const ca = readFileSync(join(dir, "ca.pem"));
const bearer = readFileSync(join(dir, "bearer"), "utf8");

// The SDK knows one host. Sessions for it are opened to the stand-in, and two things that a server may refuse are put
// right on the way: `:scheme` with a colon at its end, and a header whose name has underscores.
const connect = http2.connect;
http2.connect = (_service, options) => {
  const session = connect(ready.url, { ...options, ca });
  const request = session.request;
  session.request = (headers, ...rest) => {
    headers[":scheme"] = "https";
    headers["access_token_auth"] = undefined;
    return request.call(session, headers, ...rest);
  };
  return session;
};

const app = initializeApp({
  projectId: ready.project,
  credential: { getAccessToken: async () => ({ access_token: bearer, expires_in: 3500 }) },
});
const messaging = getMessaging(app);
const message = {
  notification: { title: "Ana, someone wants your shoes", body: "12 people want your Jordan 4" },
  data: { click_action: "https://tradeblock.us/closet", url: "https://tradeblock.us/closet" },
  android: { collapseKey: "bench", notification: { tag: "bench" } },
  apns: { headers: { "apns-collapse-id": "bench" } },
};

let next = 0;
let accepted = 0;
let failure;

async function sendBatches() {
  while (next < count) {
    const first = next;
    next = Math.min(first + BATCH, count);
    const tokens = [];
    for (let id = first; id < next; id++) tokens.push("dJ8sK2:APA91b" + String(id).padStart(130, "0"));
    const { responses, successCount } = await messaging.sendEachForMulticast({ ...message, tokens });
    accepted += successCount;
    failure ??= responses.find(({ success }) => !success)?.error;
  }
}

const began = process.hrtime.bigint();
const before = process.cpuUsage();
await Promise.all(Array.from({ length: IN_FLIGHT }, sendBatches));
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
const { user, system } = process.cpuUsage(before);

if (accepted !== count) {
  console.error(`${count - accepted} of ${count} messages were not accepted:`, failure);
  process.exit(1);
}
console.log(
  JSON.stringify({
    messages_a_second: Math.round(count / seconds),
    cpu_microseconds_a_message: (user + system) / count,
    peak_kib: process.resourceUsage().maxRSS,
  }),
);
process.exit(0);
